package dashboard

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"signalbox/sync/wire"
)

// What is looked up in the history is old by at most trendsEvery, or a little
// more where there are many thousand sites.
const (
	trendsEvery = 5 * time.Minute
	trendsPace  = 10 * time.Millisecond // between two sites: reading is not to hold others up
	trendsTurn  = time.Second           // between looks for what is old
)

// trends keeps what only the history tells.
type trends struct {
	cfg  *Config
	log  *slog.Logger
	tell func(site string)
	wake chan struct{} // holds one token while a site is asked for

	mu     sync.RWMutex
	boxes  map[wire.BoxID]Trends
	count  map[string]int64 // devices of today, by site
	asked  map[string]bool
	looked map[string]time.Time // run's own
}

func newTrends(cfg *Config, tell func(site string)) *trends {
	return &trends{
		cfg: cfg, log: cfg.Logger, tell: tell, wake: make(chan struct{}, 1), boxes: map[wire.BoxID]Trends{},
		count: map[string]int64{}, asked: map[string]bool{}, looked: map[string]time.Time{},
	}
}

// of gives what is known of a box; the first question about one has its site
// looked at soon.
func (t *trends) of(id wire.BoxID) Trends {
	t.mu.RLock()
	tr, known := t.boxes[id]
	t.mu.RUnlock()
	if !known {
		t.mu.Lock()
		t.asked[id.Site] = true
		t.mu.Unlock()
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	return tr
}

func (t *trends) devices(site string) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.count[site]
}

// run looks at sites that are asked for, and at each again after some minutes.
func (t *trends) run(ctx context.Context) {
	turn := time.NewTicker(trendsTurn)
	defer turn.Stop()
	for {
		for _, site := range t.due(time.Now()) {
			t.look(site, time.Now())
			if !pause(ctx, trendsPace) {
				return
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-t.wake:
		case <-turn.C:
		}
	}
}

// due lists the sites to look at, and forgets those that are gone.
func (t *trends) due(now time.Time) []string {
	sites := t.cfg.Registry.Sites()
	there := make(map[string]bool, len(sites))
	t.mu.Lock()
	defer t.mu.Unlock()
	var due []string
	for _, s := range sites {
		there[s.Name] = true
		if t.asked[s.Name] || now.Sub(t.looked[s.Name]) >= trendsEvery {
			due = append(due, s.Name)
			t.looked[s.Name] = now
		}
	}
	clear(t.asked)
	maps.DeleteFunc(t.boxes, func(id wire.BoxID, _ Trends) bool { return !there[id.Site] })
	maps.DeleteFunc(t.count, func(site string, _ int64) bool { return !there[site] })
	maps.DeleteFunc(t.looked, func(site string, _ time.Time) bool { return !there[site] })
	return due
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (t *trends) look(site string, now time.Time) {
	var ids []wire.BoxID
	found := map[wire.BoxID]Trends{}
	for _, m := range t.cfg.Registry.Members(site) {
		if !m.Revoked.IsZero() || t.cfg.Fleet.Box(m.ID) == nil {
			continue
		}
		ids = append(ids, m.ID)
		tr, err := t.lookBox(m.ID, now)
		if err != nil {
			t.log.Warn("history cannot be read", "site", site, "err", err)
			return
		}
		found[m.ID] = tr
	}
	devices, err := t.cfg.History.Devices(ids, now.UTC().Truncate(24*time.Hour), now)
	if err != nil {
		t.log.Warn("history cannot be read", "site", site, "err", err)
		return
	}
	t.mu.Lock()
	changed := t.count[site] != int64(devices)
	t.count[site] = int64(devices)
	for id, tr := range found {
		changed = changed || t.boxes[id] != tr
		t.boxes[id] = tr
	}
	t.mu.Unlock()
	if changed {
		t.tell(site)
	}
}

func (t *trends) lookBox(id wire.BoxID, now time.Time) (tr Trends, err error) {
	yesterday := now.Add(-24 * time.Hour)
	for _, sum := range []struct {
		metric wire.MetricID
		from   time.Time
		into   *int64
	}{
		{wire.StoreWrittenBytes, yesterday, &tr.WrittenDay},
		{wire.UpstreamMergedFrames, yesterday, &tr.MergedDay},
		{wire.BoxStarts, now.Add(-2 * time.Hour), &tr.StartsHours},
	} {
		values, err := t.cfg.History.Hours(id, sum.metric, sum.from, now)
		if err != nil {
			return tr, err
		}
		for _, v := range values {
			*sum.into += v.Value
		}
	}
	before, err := t.cfg.History.Points(id, wire.UpstreamQueueFrames, now.Add(-40*time.Minute), now.Add(-25*time.Minute))
	if err != nil {
		return tr, err
	}
	for _, v := range before {
		tr.QueueBefore = max(tr.QueueBefore, v.Value)
	}
	free, err := t.cfg.History.Points(id, wire.BoxDiskFreeBytes, yesterday, now)
	tr.FreeSlope = slope(free)
	return tr, err
}
