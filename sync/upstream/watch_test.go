package upstream

import (
	"math"
	"runtime"
	"testing"
	"time"

	"signalbox/sync/wire"
)

// A straight ramp is predicted to the second, noise around it to the minute,
// and what does not move to the limit is not predicted at all.
func TestTrend(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	ramp := func(value func(minute int) float64, minutes int) *trend {
		tr := &trend{}
		for i := range minutes {
			tr.add(start.Add(time.Duration(i)*time.Minute), value(i))
			tr.add(start.Add(time.Duration(i)*time.Minute+10*time.Second), -1e9) // between points: not kept
		}
		return tr
	}
	if left, ok := ramp(func(i int) float64 { return 1000 - 10*float64(i) }, 31).reaches(0); !ok || left.Round(time.Second) != 70*time.Minute {
		t.Errorf("a ramp that ends in 70 minutes: %v, %v", left, ok)
	}
	noisy := ramp(func(i int) float64 { return 5000 + 40*float64(i) + 60*math.Sin(float64(i)*1.7) }, 31)
	if left, ok := noisy.reaches(7000); !ok || left < 18*time.Minute || left > 22*time.Minute {
		t.Errorf("a noisy ramp that ends in 20 minutes: %v, %v", left, ok)
	}
	// Only the last half hour counts.
	if left, ok := ramp(func(i int) float64 { return max(1e6-1e4*float64(i), 300-float64(i-100)) }, 150).reaches(0); !ok || left.Round(time.Minute) != 251*time.Minute {
		t.Errorf("a ramp after a fall: %v, %v", left, ok)
	}
	for what, tr := range map[string]*trend{
		"flat": ramp(func(int) float64 { return 7 }, 31), "away": ramp(func(i int) float64 { return float64(i) }, 31), "short": ramp(func(i int) float64 { return 100 - float64(i) }, 8),
	} {
		if left, ok := tr.reaches(0); ok {
			t.Errorf("%s: reaches 0 in %v, want no prediction", what, left)
		}
	}
}

// A disk that fills is told while there is time left to act, with what runs out.
func TestExhaustionIsPredicted(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		p.change(func(p *parts) { p.sample.Gauges[wire.StoreLimitBytes] = 1000 })
		fill := int64(0)
		for fill < 1000 {
			fill += 20
			p.change(func(p *parts) {
				p.sample.Gauges[wire.StoreBytes] = fill
				p.sample.Counters[wire.SignalingOffers]++
			})
			time.Sleep(time.Minute)
			found := false
			c.with(func() {
				for _, f := range c.frames {
					for _, al := range f.GetAlerts() {
						found = found || al.GetKind() == string(wire.AlertExhaustion) && al.GetRaised() && al.GetValue() == int64(wire.StoreBytes)
					}
				}
			})
			if found {
				break
			}
		}
		if left := (1000 - fill) / 20; left < 12 || left > 17 {
			t.Errorf("told %d minutes before the store is full, want about 15", left)
		}
	})
}

// An upgrade that was taken back is told with when that was, and no more once a
// later one has passed.
func TestTakenBackIsTold(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, _ *running, p *parts, _ *memory) {
		at := time.UnixMilli(1_795_000_000_000)
		for _, taken := range []time.Time{at, {}} {
			p.change(func(p *parts) { p.sample.TakenBack = taken })
			time.Sleep(2 * time.Minute)
			c.with(func() {
				var last *wire.Alert
				for _, f := range c.frames {
					for _, al := range f.GetAlerts() {
						if al.GetKind() == string(wire.AlertUpgrade) {
							last = al
						}
					}
				}
				if last == nil || last.GetRaised() == taken.IsZero() || last.GetRaised() && last.GetValue() != at.UnixMilli() {
					t.Errorf("taken back at %v: the last alert is %v", taken, last)
				}
			})
		}
	})
}

func TestGrown(t *testing.T) {
	var g grown
	now := time.Unix(1_800_000_000, 0)
	for i, step := range []struct {
		n     uint64
		after time.Duration
		holds bool
		value int64
	}{{0, 0, false, 0}, {0, time.Minute, false, 0}, {3, time.Minute, true, 3}, {3, time.Minute, true, 3}, {4, time.Minute, true, 1}, {4, grownFor, false, 1}} {
		now = now.Add(step.after)
		if got := g.look(step.n, now); got.holds != step.holds || got.value != step.value {
			t.Errorf("step %d: %+v, want %v and %d", i, got, step.holds, step.value)
		}
	}
}

// The machine can be read where boxes run.
func TestMachine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("boxes run Linux; elsewhere there is only the uptime")
	}
	m := machine{dir: t.TempDir()}
	g := map[wire.MetricID]int64{}
	m.look(g)
	for end := time.Now().Add(30 * time.Millisecond); time.Now().Before(end); { // so that the processors have been busy
		_ = math.Sqrt(float64(time.Now().Nanosecond()))
	}
	m.look(g)
	for _, id := range []wire.MetricID{wire.BoxUptimeS, wire.BoxRSSBytes, wire.BoxMemoryLimitBytes, wire.BoxDiskFreeBytes, wire.BoxDiskTotalBytes, wire.BoxFDLimit} {
		if g[id] <= 0 {
			t.Errorf("metric %d is %d", id, g[id])
		}
	}
	if g[wire.BoxRSSBytes] > g[wire.BoxMemoryLimitBytes] || g[wire.BoxDiskFreeBytes] > g[wire.BoxDiskTotalBytes] || g[wire.BoxCPUPermille] > 1000 {
		t.Errorf("%v does not add up", g)
	}
	if bootID() == 0 || sinceBoot() <= 0 {
		t.Errorf("boot %08x since %v", bootID(), sinceBoot())
	}
}
