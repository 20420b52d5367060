package upstream

import (
	"context"
	"maps"
	"runtime"
	"time"

	"signalbox/sync/outbox"
	"signalbox/sync/wire"
)

// How often the box is looked at, and an idle box makes a frame.
const (
	lookEvery     = 10 * time.Second
	lookEveryIdle = time.Minute
	idleEvery     = 5 * time.Minute
	factsEvery    = time.Hour
)

// extremes are a gauge's values since the last frame.
type extremes struct{ last, low, high int64 }

// collector makes frames of samples. It is of one goroutine.
type collector struct {
	*member
	machine machine
	watch   watch
	sample  Sample
	seen    map[wire.MetricID]*extremes
	counted map[wire.MetricID]uint64 // counters of the process at the last frame
	framed  time.Time                // when that was
	looked  time.Time
	idle    bool
	facts   wire.BoxFacts // as last told
	told    time.Time     // when
	alerts  map[wire.AlertKind]finding
	raised  uint64    // alerts since the process began
	failing time.Time // since when no frame could be kept, zero while they can
	written uint64    // bytes of this outbox, which are part of the sample
}

// collect makes frames until ctx ends or the box has joined elsewhere: at the start, once a minute while there
// is news, and at once for an alert or a result.
func (m *member) collect(ctx context.Context) (c *collector) {
	c = &collector{
		member: m, machine: machine{dir: m.cfg.Dir}, seen: map[wire.MetricID]*extremes{}, counted: m.Agent.counted,
		alerts: map[wire.AlertKind]finding{},
	}
	c.look()
	c.frame()
	timer := time.NewTimer(m.cfg.paced(lookEvery))
	defer timer.Stop()
	for {
		hurried := false
		select {
		case <-ctx.Done():
			return c
		case <-m.hurry:
			hurried = true
		case <-timer.C:
		}
		if m.hasMoved() {
			return c
		}
		urgent := c.look()
		if hurried || urgent || time.Since(c.framed) >= c.every()-c.cfg.paced(lookEvery/2) {
			c.frame()
		}
		timer.Reset(c.pause())
	}
}

// every is the time between two frames.
func (c *collector) every() time.Duration {
	if c.idle {
		return max(c.policy.frameEvery(), c.cfg.paced(idleEvery))
	}
	return c.policy.frameEvery()
}

// pause is until the next look: of an idle box when the next frame would be due
// if it were not, and then once a minute.
func (c *collector) pause() time.Duration {
	if !c.idle {
		return c.cfg.paced(lookEvery)
	}
	if left := c.policy.frameEvery() - time.Since(c.framed); left >= c.cfg.paced(time.Second) {
		return min(c.cfg.paced(lookEveryIdle), left)
	}
	return c.cfg.paced(lookEveryIdle)
}

// look takes a sample. It reports whether an alert began or ended.
func (c *collector) look() (urgent bool) {
	now := time.Now()
	if c.sample = c.cfg.Source.Sample(); c.sample.Gauges == nil {
		c.sample.Gauges = map[wire.MetricID]int64{}
	}
	if c.sample.Counters == nil {
		c.sample.Counters = map[wire.MetricID]uint64{}
	}
	c.machine.look(c.sample.Gauges)
	c.own()
	for id, v := range c.sample.Gauges {
		e := c.seen[id]
		if e == nil {
			e = &extremes{low: v, high: v}
			c.seen[id] = e
		}
		e.last, e.low, e.high = v, min(e.low, v), max(e.high, v)
	}
	for id := range c.seen { // a gauge that is no more is not told with an old value
		if _, ok := c.sample.Gauges[id]; !ok {
			delete(c.seen, id)
		}
	}
	c.idle = !c.busy()
	c.resting.Store(c.idle)
	c.looked = now
	before := c.alerts
	c.alerts = c.watch.look(c, now)
	for kind, f := range c.alerts {
		if f.holds != before[kind].holds {
			urgent = true
		}
	}
	return urgent
}

// own adds what the agent knows of itself.
func (c *collector) own() {
	st := c.outbox.Stats()
	g, n := c.sample.Gauges, c.sample.Counters
	g[wire.UpstreamQueueFrames] = int64(st.Newest - min(st.Applied, st.Newest))
	g[wire.UpstreamQueueBytes], g[wire.UpstreamQueueLimitBytes] = st.UsedBytes, st.LimitBytes
	g[wire.BoxUnhealthyParts] = int64(len(c.sample.Unhealthy))
	if at := c.Status().BackupAt; !at.IsZero() {
		g[wire.StoreCloudBackupMs] = at.UnixMilli()
	}
	if skew, ok := c.identity.Skew(); ok {
		g[wire.BoxClockSkewMs] = skew.Milliseconds()
	}
	n[wire.BoxStarts] = 1
	n[wire.StoreWrittenBytes] += st.WrittenBytes
	c.written = st.WrittenBytes
	n[wire.UpstreamSentBytes], n[wire.UpstreamReceivedBytes] = c.meter.sent.Load(), c.meter.received.Load()
	n[wire.UpstreamConnects] = c.connects.Load()
	n[wire.AlertsRaised] = c.raised
}

// ownGroup is counted without anybody using the box.
const ownGroup = "box"

// groups says which group a counter is of.
var groups = func() map[wire.MetricID]string {
	m := make(map[wire.MetricID]string, len(wire.Metrics))
	for _, metric := range wire.Metrics {
		m[metric.ID] = metric.Group
	}
	return m
}()

// busy reports whether something has happened since the last frame.
func (c *collector) busy() bool {
	for id, n := range c.sample.Counters {
		if groups[id] != ownGroup && n != c.counted[id] {
			return true
		}
	}
	for id, e := range c.seen {
		if groups[id] != ownGroup && e.low != e.high {
			return true
		}
	}
	return false
}

// frame commits a frame, and does nothing for good when that fails: the next one
// holds what this one would have.
func (c *collector) frame() {
	now := time.Now()
	results := c.orders.results()
	values, devices := c.observed.take()
	facts := c.boxFacts()
	tell := facts != c.facts || now.Sub(c.told) >= factsEvery
	raised, totals := uint64(0), map[wire.MetricID]uint64{}
	_, err := c.outbox.Commit(now, func(s *outbox.State) (*wire.Draft, error) {
		start := time.UnixMilli(s.EndMs)
		if s.EndMs == 0 || start.After(now) {
			start = now
		}
		d := c.veil.Load().Draft(wire.Span{Start: start, End: now, Boot: bootID(), Mono: sinceBoot()})
		c.counters(d, s)
		totals = maps.Clone(s.Counters)
		for id, e := range c.seen {
			d.Gauge(id, e.last, e.low, e.high)
		}
		for id, list := range values {
			for _, v := range list {
				s.Observe(id, time.UnixMilli(v.atMs), float64(v.value))
			}
		}
		for device, atMs := range devices {
			s.See(wire.DevicesUnique, time.UnixMilli(atMs), device)
		}
		s.Sketches(d, now)
		d.Rooms(&s.Reported, c.cfg.Source.Rooms())
		for kind, f := range c.alerts {
			if f.holds && !s.Alerts[kind] {
				raised++
			}
			s.Alert(d, kind, f.holds, now, f.value)
		}
		for _, r := range results {
			d.Result(r.id, r.outcome, r.at)
			done := s.Commands[r.id]
			done.Done = true
			s.Commands[r.id] = done
		}
		if tell {
			d.Box(facts)
		}
		return d, nil
	})
	if err != nil {
		c.observed.back(values, devices)
		c.failed(err, now)
		return
	}
	if !c.failing.IsZero() {
		c.log.Info("frames are kept again", "dur", now.Sub(c.failing).Round(time.Second))
	}
	c.failing, c.framed, c.raised = time.Time{}, now, c.raised+raised
	c.counted = maps.Clone(c.sample.Counters)
	c.base(totals)
	for _, e := range c.seen {
		e.low, e.high = e.last, e.last
	}
	c.orders.told(len(results))
	if tell {
		c.facts, c.told = facts, now
	}
	poke(c.news)
}

// base notes what the totals of the outbox are ahead of the process's counters:
// for whoever watches live.
func (c *collector) base(totals map[wire.MetricID]uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bases = totals
	for id, n := range c.counted {
		c.bases[id] -= min(n, c.bases[id])
	}
}

// counters adds what was counted since the last frame to the totals. Totals
// only grow: one of the process that has begun again is added as a whole.
func (c *collector) counters(d *wire.Draft, s *outbox.State) {
	for id, n := range c.sample.Counters {
		was := c.counted[id]
		if n < was {
			was = 0
		}
		s.Counters[id] += n - was
	}
	st := c.outbox.Stats()
	s.Counters[wire.UpstreamMergedFrames], s.Counters[wire.UpstreamLostChanges] = st.Merged, st.Lost
	for id, total := range s.Counters {
		if wire.KindOf(id) == wire.Counter {
			d.Counter(id, total)
		}
	}
}

// toldUpTo is what the process had counted at the last frame, but for what the
// next outbox counts from 0.
func (c *collector) toldUpTo() map[wire.MetricID]uint64 {
	if c.framed.IsZero() || c.counted == nil {
		return c.Agent.counted
	}
	told := maps.Clone(c.counted)
	told[wire.StoreWrittenBytes] -= min(c.written, told[wire.StoreWrittenBytes])
	return told
}

func (c *collector) failed(err error, now time.Time) {
	c.trouble(err)
	c.framed = now // not more often than frames
	if c.failing.IsZero() {
		c.failing = now
		c.log.Error("a frame could not be kept; the next one will hold what it would have", "err", err)
	}
}

func (c *collector) boxFacts() wire.BoxFacts {
	revision, _, fault := c.policy.facts()
	return wire.BoxFacts{
		Version: c.cfg.Version, Arch: runtime.GOOS + "/" + runtime.GOARCH, Started: c.sample.Started,
		Policy: revision, PolicyFault: fault, CertEnd: c.identity.CertEnd(), Backup: c.sample.Backup,
		Name: c.sample.Name, Link: c.Status().Way,
	}
}
