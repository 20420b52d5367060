package dashboard

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"signalbox/sync/wire"
)

// What is looked up in the history is old by at most trendsEvery.
const (
	trendsEvery = 5 * time.Minute
	trendsPace  = 10 * time.Millisecond // between two sites at most this fast
)

// trends keeps what only the history tells.
type trends struct {
	cfg  *Config
	log  *slog.Logger
	tell func(site string)

	mu    sync.RWMutex
	boxes map[wire.BoxID]Trends
	count map[string]int64 // devices of today, by site
}

func newTrends(cfg *Config, tell func(site string)) *trends {
	return &trends{cfg: cfg, log: cfg.Logger, tell: tell, boxes: map[wire.BoxID]Trends{}, count: map[string]int64{}}
}

func (t *trends) of(id wire.BoxID) Trends {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.boxes[id]
}

func (t *trends) devices(site string) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.count[site]
}

// run looks at one site after another: all soon after the start, then each
// every five minutes.
func (t *trends) run(ctx context.Context) {
	pace := trendsPace
	for {
		sites := t.cfg.Registry.Sites()
		round := time.Now()
		for _, site := range sites {
			t.look(site.Name, time.Now())
			if !pause(ctx, pace) {
				return
			}
		}
		pace = max(trendsPace, trendsEvery/time.Duration(max(len(sites), 1))*9/10)
		t.forget(sites)
		if !pause(ctx, max(time.Second, min(trendsEvery, 10*time.Second)-time.Since(round))) {
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// forget drops sites and boxes that are gone.
func (t *trends) forget(sites []Site) {
	there := make(map[string]bool, len(sites))
	for _, s := range sites {
		there[s.Name] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.boxes {
		if !there[id.Site] {
			delete(t.boxes, id)
		}
	}
	for site := range t.count {
		if !there[site] {
			delete(t.count, site)
		}
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
