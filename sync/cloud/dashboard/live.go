package dashboard

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/wire"
)

const (
	liveFor     = 30                      // seconds that a nudge asks for
	liveEvery   = 20 * time.Second        // between nudges of all
	liveSilent  = 1200 * time.Millisecond // without a word a box is nudged again, each second: it may just have come
	livePending = 8                       // events that wait for a reader
	liveLeast   = 300 * time.Millisecond  // between two values of a box
)

// live passes on what boxes say of this second, while somebody watches. A site has
// one subscription, and a box one nudge when it is due, however many watch.
type live struct {
	cfg     *Config
	metrics *metrics

	mu     sync.Mutex
	sites  map[string]*liveSite
	closed bool
	done   sync.WaitGroup
}

// liveSite is a site that somebody watches.
type liveSite struct {
	stop     context.CancelFunc
	watchers map[*watcher]struct{} // guarded by live.mu
}

// watcher is one reader. Its queue holds events; when it is full the oldest goes.
type watcher struct {
	queue chan []byte
}

func newLive(cfg *Config, m *metrics) *live {
	return &live{cfg: cfg, metrics: m, sites: map[string]*liveSite{}}
}

// watch begins to watch a site; leave ends it.
func (l *live) watch(site string) (w *watcher, leave func(), err error) {
	w = &watcher{queue: make(chan []byte, livePending)}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.sites[site]
	if s == nil && !l.closed {
		if s, err = l.begin(site); err != nil {
			return nil, nil, err
		}
		l.sites[site] = s
	}
	if l.closed {
		return w, func() {}, nil
	}
	s.watchers[w] = struct{}{}
	return w, func() { l.leave(site, s, w) }, nil
}

func (l *live) leave(site string, s *liveSite, w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(s.watchers, w)
	if len(s.watchers) == 0 && l.sites[site] == s {
		delete(l.sites, site)
		s.stop()
	}
}

// begin subscribes to a site and keeps its boxes awake.
func (l *live) begin(site string) (*liveSite, error) {
	ctx, stop := context.WithCancel(context.Background())
	s := &liveSite{stop: stop, watchers: map[*watcher]struct{}{}}
	subject := wire.BoxID{Tenant: l.cfg.Tenant, Site: site, Box: "*"}.LiveSubject()
	messages := make(chan *nats.Msg, 64)
	subscription, err := l.cfg.Conn.ChanSubscribe(subject, messages)
	if err != nil {
		stop()
		return nil, err
	}
	l.done.Go(func() {
		defer func() { _ = subscription.Unsubscribe() }() // it is closed with its connection too
		l.run(ctx, site, s, messages)
	})
	return s, nil
}

func (l *live) run(ctx context.Context, site string, s *liveSite, messages chan *nats.Msg) {
	turn := time.NewTicker(time.Second)
	defer turn.Stop()
	last := map[string]time.Time{} // by box of the registry
	l.nudge(site, func(string) bool { return true })
	all := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-turn.C:
			due := now.Sub(all) >= liveEvery
			if due {
				all = now
			}
			l.nudge(site, func(box string) bool { return due || now.Sub(last[box]) >= liveSilent })
		case m := <-messages:
			if event := l.event(m, last); event != nil {
				l.pass(s, event)
			}
		}
	}
}

// nudge asks boxes of a site to speak up.
func (l *live) nudge(site string, which func(box string) bool) {
	data, _ := json.Marshal(wire.Nudge{Live: liveFor}) // a number can be encoded
	for _, m := range l.cfg.Registry.Members(site) {
		if m.Revoked.IsZero() && which(m.ID.Box) {
			_ = l.cfg.Conn.Publish(m.ID.NudgeSubject(), data) // the next is soon
		}
	}
}

// event makes one of what a box says, nil when it says nonsense or too much.
func (l *live) event(m *nats.Msg, last map[string]time.Time) []byte {
	id, err := wire.ParseSubject(m.Subject)
	var said wire.Live
	if err != nil || len(m.Data) > wire.MaxTalkBytes || json.Unmarshal(m.Data, &said) != nil {
		l.metrics.liveDropped.WithLabelValues(liveMalformed).Inc()
		return nil
	}
	now := time.Now()
	if now.Sub(last[id.Box]) < liveLeast {
		l.metrics.liveDropped.WithLabelValues(liveTooOften).Inc()
		return nil
	}
	last[id.Box] = now // only the site's own boxes may publish there
	values := LiveValues{Box: id.Box, At: said.At, Gauges: make(map[string]int64, len(said.Gauges))}
	for metric, value := range said.Gauges {
		if known, ok := metricOf(metric); ok && known.Kind == wire.Level {
			values.Gauges[known.Name] = value
		}
	}
	data, err := json.Marshal(values)
	if err != nil {
		l.metrics.liveDropped.WithLabelValues(liveMalformed).Inc() // a year that no calendar has
		return nil
	}
	return append(append([]byte("event: live\ndata: "), data...), "\n\n"...)
}

// pass gives an event to all who watch. One that is slow misses the oldest: the
// newest is what counts.
func (l *live) pass(s *liveSite, event []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := range s.watchers {
		select {
		case w.queue <- event:
			continue
		default:
		}
		select {
		case <-w.queue:
			l.metrics.liveDropped.WithLabelValues(liveSlow).Inc()
		default:
		}
		select {
		case w.queue <- event:
		default:
		}
	}
}

// close ends every subscription and waits for it.
func (l *live) close() {
	l.mu.Lock()
	l.closed = true
	for _, s := range l.sites {
		s.stop()
	}
	clear(l.sites)
	l.mu.Unlock()
	l.done.Wait()
}

func (d *Dashboard) streamLive(c *call) error {
	site := c.r.PathValue("site")
	if _, ok := d.cfg.Registry.Site(site); !ok {
		return siteNotFound(site)
	}
	if c.r.Method == http.MethodHead {
		return d.open(c, nil)
	}
	w, leave, err := d.live.watch(site)
	if err != nil {
		return err
	}
	defer leave()
	return d.open(c, func(s *eventSource) (string, error) {
		for {
			event, reason, err := s.next(w.queue)
			if reason != "" {
				return reason, err
			}
			if err := s.send(event); err != nil {
				return streamFault(err), err
			}
		}
	})
}

// next waits for an event, or says why the stream is over.
func (s *eventSource) next(queue <-chan []byte) (event []byte, reason string, err error) {
	for {
		select {
		case event := <-queue:
			return event, "", nil
		case <-s.c.r.Context().Done():
			return nil, streamGone, nil
		case <-s.d.stopped:
			return nil, streamStopped, nil
		case <-s.beat.C:
			if reason, err := s.pulse(); reason != "" {
				return nil, reason, err
			}
		}
	}
}
