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
	// devicesEvery is how soon the devices of a site are counted again when
	// sessions were opened there. That reads one sketch for each hour of the day.
	devicesEvery = 2 * time.Second
)

// trends keeps what only the history tells.
type trends struct {
	cfg  *Config
	log  *slog.Logger
	tell func(site string)
	wake chan struct{} // holds one token while a site is asked for

	mu     sync.RWMutex
	boxes  map[wire.BoxID]Trends
	count  map[string]counted // by site
	asked  map[string]bool
	looked map[string]time.Time // run's own
}

// counted are the devices of a site today.
type counted struct {
	n            int64
	opened, upTo uint64 // sessions that were ever opened: as told last, and before n was counted
	at           time.Time
}

func newTrends(cfg *Config, tell func(site string)) *trends {
	return &trends{
		cfg: cfg, log: cfg.Logger, tell: tell, wake: make(chan struct{}, 1), boxes: map[wire.BoxID]Trends{},
		count: map[string]counted{}, asked: map[string]bool{}, looked: map[string]time.Time{},
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

// devices gives how many different ones a site had today. opened are the
// sessions that were opened there so far: when there are more than before, the
// devices are counted again soon.
func (t *trends) devices(site string, opened uint64) int64 {
	t.mu.RLock()
	c := t.count[site]
	t.mu.RUnlock()
	if c.opened != opened {
		t.mu.Lock()
		defer t.mu.Unlock()
		c = t.count[site]
		c.opened = opened
		t.count[site] = c
	}
	return c.n
}

// run looks at sites that are asked for, at each again after some minutes, and
// counts devices where sessions were opened.
func (t *trends) run(ctx context.Context) {
	turn := time.NewTicker(trendsTurn)
	defer turn.Stop()
	for {
		all, opened := t.due(time.Now())
		for _, site := range all {
			t.look(site, time.Now())
			if !pause(ctx, trendsPace) {
				return
			}
		}
		for _, site := range opened {
			if t.tally(site, time.Now()) {
				t.tell(site)
			}
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

// due lists the sites to look at, and others where only devices are to be
// counted, and forgets those that are gone.
func (t *trends) due(now time.Time) (all, opened []string) {
	sites := t.cfg.Registry.Sites()
	there := make(map[string]bool, len(sites))
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range sites {
		there[s.Name] = true
		if t.asked[s.Name] || now.Sub(t.looked[s.Name]) >= trendsEvery {
			all = append(all, s.Name)
			t.looked[s.Name] = now
		} else if c := t.count[s.Name]; c.opened != c.upTo && now.Sub(c.at) >= devicesEvery {
			opened = append(opened, s.Name)
		}
	}
	clear(t.asked)
	maps.DeleteFunc(t.boxes, func(id wire.BoxID, _ Trends) bool { return !there[id.Site] })
	maps.DeleteFunc(t.count, func(site string, _ counted) bool { return !there[site] })
	maps.DeleteFunc(t.looked, func(site string, _ time.Time) bool { return !there[site] })
	return all, opened
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// heard are the boxes of a site of which the history may hold something.
func (t *trends) heard(site string) (ids []wire.BoxID) {
	for _, m := range t.cfg.Registry.Members(site) {
		if m.Revoked.IsZero() && t.cfg.Fleet.Box(m.ID) != nil {
			ids = append(ids, m.ID)
		}
	}
	return ids
}

func (t *trends) look(site string, now time.Time) {
	found := map[wire.BoxID]Trends{}
	for _, id := range t.heard(site) {
		tr, err := t.lookBox(id, now)
		if err != nil {
			t.log.Warn("history cannot be read", "site", site, "err", err)
			return
		}
		found[id] = tr
	}
	changed := t.tally(site, now)
	t.mu.Lock()
	for id, tr := range found {
		changed = changed || t.boxes[id] != tr
		t.boxes[id] = tr
	}
	t.mu.Unlock()
	if changed {
		t.tell(site)
	}
}

// tally counts the devices of a site, and tells whether their number is another.
func (t *trends) tally(site string, now time.Time) (changed bool) {
	t.mu.RLock()
	upTo := t.count[site].opened // what was told of them is in the history by now
	t.mu.RUnlock()
	n, err := t.cfg.History.Devices(t.heard(site), now.UTC().Truncate(24*time.Hour), now)
	if err != nil {
		t.log.Warn("history cannot be read", "site", site, "err", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.count[site]
	c.upTo, c.at = upTo, now
	if err == nil {
		changed, c.n = c.n != int64(n), int64(n)
	}
	t.count[site] = c
	return changed
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
