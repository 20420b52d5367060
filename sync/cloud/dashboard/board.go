package dashboard

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/sync/wire"
)

const (
	publishEvery = 500 * time.Millisecond // at most twice a second
	sweepEvery   = 10 * time.Second       // between looks at all, for what time alone changes
)

// board keeps a row for every site. Its run is the only one who changes it.
type board struct {
	cfg    *Config
	log    *slog.Logger
	acks   *kept[Ack]
	opened *kept[opened]
	goings *kept[going]
	trends *trends
	began  time.Time // of this node: silence before it may be the node's own
	slack  time.Duration

	wake  chan struct{} // holds one token while something is dirty
	mu    sync.Mutex
	dirty map[string]bool // sites
	all   bool

	sites   map[string]*entry // run's own
	removed map[string]time.Time
	marks   []mark // when which position was reached, ascending
	current atomic.Pointer[snapshot]
}

// snapshot is the board at one moment, shared by all who look.
type snapshot struct {
	now      time.Time
	seq      uint64
	sites    map[string]*entry
	order    []*entry // worst first
	totals   Totals
	open     int // problems that nobody has acknowledged
	removed  map[string]time.Time
	marks    []mark
	slack    time.Duration // see resumeSlack
	tail     *news         // what follows it
	overview func() []byte
}

func newBoard(cfg *Config) *board {
	b := &board{
		cfg: cfg, log: cfg.Logger, began: time.Now(), slack: resumeSlack, wake: make(chan struct{}, 1),
		dirty: map[string]bool{}, all: true, sites: map[string]*entry{}, removed: map[string]time.Time{},
	}
	b.acks = keep[Ack](cfg.Bucket, ackPrefix, b.touchProblem)
	b.opened = keep[opened](cfg.Bucket, openedPrefix, b.touchProblem)
	b.goings = keep[going](cfg.Bucket, goingPrefix, b.touchBox)
	b.trends = newTrends(cfg, b.touch)
	return b
}

// touch asks for a site to be looked at again; "" for all.
func (b *board) touch(site string) {
	b.mu.Lock()
	if site == "" {
		b.all = true
	} else {
		b.dirty[site] = true
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

func (b *board) touchProblem(key string) {
	if parts := strings.SplitN(key, ".", 4); len(parts) == 4 {
		b.touch(parts[1])
	}
}

func (b *board) touchBox(key string) {
	if id, err := wire.ParseBoxID(key); err == nil && id.Tenant == b.cfg.Tenant {
		b.touch(id.Site)
	}
}

// run keeps the board until ctx ends.
func (b *board) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	defer cancel()
	parts.Go(func() { b.acks.run(ctx, b.log) })
	parts.Go(func() { b.opened.run(ctx, b.log) })
	parts.Go(func() { b.goings.run(ctx, b.log) })
	feed := b.cfg.Fleet.Watch()
	defer feed.Close()
	parts.Go(func() { b.follow(ctx, feed) })
	defer b.cfg.Registry.Watch(b.touch)()
	for _, loaded := range []chan struct{}{b.acks.loaded, b.opened.loaded, b.goings.loaded} {
		select {
		case <-loaded:
		case <-ctx.Done():
			return nil
		}
	}
	parts.Go(func() { b.trends.run(ctx) })
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	b.touch("")
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-sweep.C:
			b.touch("")
			continue
		case <-b.wake:
		}
		b.refresh(time.Now())
		select { // what comes meanwhile waits for the next turn
		case <-ctx.Done():
			return nil
		case <-time.After(publishEvery):
		}
	}
}

func (b *board) follow(ctx context.Context, feed Feed) {
	for {
		changed, all, err := feed.Next(ctx)
		if err != nil {
			return
		}
		if all {
			b.touch("")
		}
		for _, id := range changed {
			if id.Tenant == b.cfg.Tenant {
				b.touch(id.Site)
			}
		}
	}
}

// refresh looks at what is dirty and publishes what has changed.
func (b *board) refresh(now time.Time) {
	seq, _ := b.cfg.Fleet.Position()
	b.mu.Lock()
	dirty, all := b.dirty, b.all
	b.dirty, b.all = map[string]bool{}, false
	b.mu.Unlock()

	around := Around{Now: now, Listening: b.began, Newest: b.newest()}
	var changed []*entry
	var gone []string
	look := func(site Site) {
		e := b.build(site, around)
		if old := b.sites[site.Name]; old == nil || !old.same(e) {
			e.changed = now
			b.sites[site.Name] = e
			changed = append(changed, e)
		}
	}
	if all {
		there := map[string]bool{}
		for _, site := range b.cfg.Registry.Sites() {
			there[site.Name] = true
			look(site)
		}
		for name := range b.sites {
			if !there[name] {
				gone = append(gone, name)
			}
		}
	} else {
		for name := range dirty {
			if site, ok := b.cfg.Registry.Site(name); ok {
				look(site)
			} else if b.sites[name] != nil {
				gone = append(gone, name)
			}
		}
	}
	for _, name := range gone {
		delete(b.sites, name)
		b.removed[name] = now
	}
	for _, e := range changed {
		delete(b.removed, e.row.Site)
	}
	b.publish(now, seq, changed, gone)
}

// newest is the version that counts as the fleet's newest.
func (b *board) newest() string {
	count := map[string]int{}
	for _, e := range b.sites {
		for i := range e.row.Boxes {
			if v := e.row.Boxes[i].Version; v != "" && e.row.Boxes[i].Revoked.IsZero() {
				count[v]++
			}
		}
	}
	return newestVersion(count)
}

// publish makes the next snapshot.
func (b *board) publish(now time.Time, seq uint64, changed []*entry, gone []string) {
	old := b.current.Load()
	b.note(now, seq)
	s := &snapshot{
		now: now.UTC().Truncate(time.Millisecond), seq: seq, sites: maps.Clone(b.sites), removed: maps.Clone(b.removed), marks: slices.Clone(b.marks), slack: b.slack,
		order: slices.SortedFunc(maps.Values(b.sites), byNeed), tail: &news{ready: make(chan struct{})},
	}
	s.sum()
	s.overview = sync.OnceValue(s.encode)
	quiet := old != nil && len(changed)+len(gone) == 0
	if quiet {
		s.tail = old.tail
	} else if old != nil {
		s.tail.number = old.tail.number + 1
	}
	b.current.Store(s)
	if old != nil && !quiet {
		old.tail.frame, old.tail.next = s.change(changed, gone), s.tail
		close(old.tail.ready)
	}
}

// sum fills in what is counted over all sites.
func (s *snapshot) sum() {
	t := &s.totals
	t.Sites = len(s.order)
	counters := map[wire.MetricID]uint64{}
	for _, e := range s.order {
		switch e.row.Health {
		case Red:
			t.Red++
		case Amber:
			t.Amber++
		}
		for i := range e.row.Boxes {
			box := &e.row.Boxes[i]
			if !box.Revoked.IsZero() {
				continue
			}
			t.Boxes++
			if box.Online {
				t.Online++
			}
			t.Allocations += box.Allocations
		}
		t.Sessions += e.row.Sessions
		t.Rooms += e.row.Rooms
		t.Members += e.row.Members
		t.RelayBits += e.row.RelayBits
		for _, c := range e.counters {
			counters[c.ID] += c.Value
		}
		for i := range e.row.Why {
			if e.row.Why[i].Acked == nil {
				s.open++
			}
		}
	}
	t.Counters = named(counters)
}

// named gives counters by the names of their metrics; those that this version
// does not know have none.
func named(counters map[wire.MetricID]uint64) map[string]uint64 {
	out := make(map[string]uint64, len(counters))
	for id, n := range counters {
		if m, ok := metricOf(id); ok {
			out[m.Name] = n
		}
	}
	return out
}

// byNeed orders rows as the page does: worst first, what is acknowledged after
// what is not, then by name.
func byNeed(a, b *entry) int {
	if a.need != b.need {
		return a.need - b.need
	}
	return strings.Compare(a.row.Site, b.row.Site)
}
