package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/sync/wire"
)

// hands are what the cloud may do to a test's box.
type hands struct {
	mu    sync.Mutex
	done  []string
	level *slog.Level
	drain []string
	stuck bool // Drain fails
	panic bool // Run panics
}

func (h *hands) Run(_ context.Context, name string, args json.RawMessage) wire.Outcome {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.panic {
		panic("a command with a fault")
	}
	if !slices.Contains(wire.CommandNames, name) {
		return wire.OutcomeUnknown
	}
	h.done = append(h.done, name+string(args))
	return wire.OutcomeDone
}

func (h *hands) LogLevel(level *slog.Level) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.level = level
}

func (h *hands) Drain(on *bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stuck {
		return errors.New("the relay is stuck")
	}
	switch {
	case on == nil:
		h.drain = append(h.drain, "own")
	case *on:
		h.drain = append(h.drain, "on")
	default:
		h.drain = append(h.drain, "off")
	}
	return nil
}

// facts is the newest word of the box on itself.
func (c *cloud) facts() *wire.Box {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range slices.Backward(c.frames) {
		if f.GetBox() != nil {
			return f.GetBox()
		}
	}
	return nil
}

func (c *cloud) results() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.frames {
		for _, r := range f.GetResults() {
			all = append(all, r.GetId()+": "+r.GetText())
		}
	}
	return all
}

// order has the cloud want something of the box, and tells it.
func (c *cloud) order(do func()) {
	c.with(do)
	c.nudge(wire.Nudge{Ask: true})
	time.Sleep(5 * time.Second)
}

// A policy is in force within seconds, its revision comes back, it outlives the
// process, and one that is not understood changes nothing.
func TestPolicy(t *testing.T) {
	synctestBoxesWith(t, func(t *testing.T, c *cloud, start func(dir string, change func(*Config)) *running) {
		h, dir := &hands{}, t.TempDir()
		with := func(cfg *Config) { cfg.Commands, cfg.Controls = h, h }
		a := start(dir, with)
		time.Sleep(time.Minute)
		c.order(func() {
			c.policy = &wire.Policy{
				Revision: 3,
				Site:     json.RawMessage(`{"level":"minimal","log_level":"debug","frame_every":120,"relay_drain":true}`),
				Box:      json.RawMessage(`{"level":"named","uplink_bps":64000}`),
			}
		})
		if b := c.facts(); b.GetPolicy() != 3 || b.GetLevel() != "named" || b.GetName() != "Hall 2" {
			t.Errorf("the box says %v, want policy 3 and level named", b)
		}
		if s := a.Status(); s.Policy != 3 || s.Level != "named" || a.meter.bucket.rate != 8000 || a.member.policy.frameEvery() != 2*time.Minute {
			t.Errorf("status %+v, rate %v", s, a.meter.bucket.rate)
		}
		if h.level == nil || *h.level != slog.LevelDebug || !slices.Equal(h.drain, []string{"on"}) {
			t.Errorf("level %v, drain %v; want debug and on", h.level, h.drain)
		}

		c.order(func() {
			c.policy = &wire.Policy{Revision: 4, Site: json.RawMessage(`{"level":"default","colour":"red"}`)}
		})
		if b := c.facts(); b.GetPolicy() != 3 || b.GetPolicyFault() != string(wire.PolicyFaultUnknown) || b.GetLevel() != "named" {
			t.Errorf("the box says %v, want policy 3 and why 4 is not in force", b)
		}
		a.stop()

		c.with(func() { c.policy = nil }) // the cloud has nothing new to say
		*h = hands{}
		a = start(dir, with)
		time.Sleep(time.Minute)
		if s := a.Status(); s.Policy != 3 || s.PolicyFault == "" || s.Level != "named" || h.level == nil || !slices.Equal(h.drain, []string{"on"}) {
			t.Errorf("after a restart: status %+v, level %v, drain %v", s, h.level, h.drain)
		}

		c.order(func() { c.policy = &wire.Policy{Revision: 5} })
		if b := c.facts(); b.GetPolicy() != 5 || b.GetPolicyFault() != "" || b.GetLevel() != "default" {
			t.Errorf("the box says %v, want policy 5 and its own level", b)
		}
		if h.level != nil || !slices.Equal(h.drain, []string{"on", "own"}) || a.meter.bucket.rate != 0 {
			t.Errorf("level %v, drain %v, rate %v; want all of the box's own", h.level, h.drain, a.meter.bucket.rate)
		}

		h.mu.Lock()
		h.stuck = true
		h.mu.Unlock()
		c.order(func() { c.policy = &wire.Policy{Revision: 6, Box: json.RawMessage(`{"relay_drain":false}`)} })
		if b := c.facts(); b.GetPolicy() != 5 || b.GetPolicyFault() != string(wire.PolicyFaultApply) {
			t.Errorf("the box says %v, want policy 5 and that 6 could not be followed", b)
		}
		a.stop()
	})
}

// Commands are carried out once, however often they come, and not after their
// time; what a restart cut short is told.
func TestCommands(t *testing.T) {
	synctestBoxesWith(t, func(t *testing.T, c *cloud, start func(dir string, change func(*Config)) *running) {
		h, dir := &hands{}, t.TempDir()
		with := func(cfg *Config) { cfg.Commands, cfg.Controls = h, h }
		a := start(dir, with)
		time.Sleep(time.Minute)
		soon := time.Now().Add(time.Hour)
		c.order(func() {
			c.commands = []wire.Command{
				{ID: "c1", Name: "end-allocation", Args: json.RawMessage(`{"id":7}`), Expires: soon},
				{ID: "c2", Name: "dance", Expires: soon},
				{ID: "c3", Name: "backup", Expires: time.Now()},
			}
		})
		for range 3 {
			c.nudge(wire.Nudge{Ask: true})
			time.Sleep(time.Minute)
		}
		a.stop()
		a = start(dir, with)
		time.Sleep(time.Minute)
		h.mu.Lock()
		if !slices.Equal(h.done, []string{`end-allocation{"id":7}`}) {
			t.Errorf("carried out %q, want one command once", h.done)
		}
		h.panic = true
		h.mu.Unlock()
		want := []string{"c1: " + string(wire.OutcomeDone), "c2: " + string(wire.OutcomeUnknown), "c3: " + string(wire.OutcomeExpired)}
		if got := c.results(); !slices.Equal(got, want) {
			t.Errorf("results %q, want %q", got, want)
		}
		c.order(func() { c.commands = []wire.Command{{ID: "c4", Name: "drain", Expires: soon}} })
		if got := c.results(); !slices.Contains(got, "c4: "+string(wire.OutcomeFailed)) {
			t.Errorf("results %q, want that c4 failed", got)
		}
		a.stop()
	})
}

// A command that was begun when the process was killed is not begun again.
func TestInterruptedCommand(t *testing.T) {
	synctestBoxesWith(t, func(t *testing.T, c *cloud, start func(dir string, change func(*Config)) *running) {
		dir := t.TempDir()
		h := &hands{}
		a := start(dir, func(cfg *Config) { cfg.Commands, cfg.Controls = h, h })
		time.Sleep(time.Minute)
		soon := time.Now().Add(time.Hour)
		a.member.orders.ended = nil
		if err := a.member.orders.begin(wire.Command{ID: "c9", Name: "backup", Expires: soon}); err != nil {
			t.Fatal(err)
		}
		a.stop()
		c.with(func() { c.commands = []wire.Command{{ID: "c9", Name: "backup", Expires: soon}} })
		a = start(dir, func(cfg *Config) { cfg.Commands, cfg.Controls = h, h })
		time.Sleep(time.Minute)
		if got := c.results(); len(h.done) > 0 || !slices.Contains(got, "c9: "+string(wire.OutcomeInterrupted)) {
			t.Errorf("carried out %q, results %q; want none and that it was interrupted", h.done, got)
		}
		a.stop()
	})
}

// Somebody who watches sees the box each second, and nobody else costs anything.
func TestLive(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		p.count(40)
		p.change(func(p *parts) { p.sample.Gauges[wire.SessionsOnline] = 3 })
		time.Sleep(2 * time.Minute)
		c.nudge(wire.Nudge{Live: 30})
		time.Sleep(10 * time.Second)
		p.count(2)
		time.Sleep(5 * time.Minute)
		c.with(func() {
			if n := len(c.lives); n < 29 || n > 32 {
				t.Fatalf("%d samples of 30 s", n)
			}
			first, last := c.lives[0], c.lives[len(c.lives)-1]
			if first.Counts[wire.SignalingOffers] != 40 || last.Counts[wire.SignalingOffers] != 42 || last.Gauges[wire.SessionsOnline] != 3 {
				t.Errorf("first %v, last %v", first, last)
			}
		})
	})
}

// An alert is with the cloud within seconds of being found, and so is its end.
func TestAlertAtOnce(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		p.count(1)
		time.Sleep(95 * time.Second)
		alerts := func() (all []string) {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, f := range c.frames {
				for _, al := range f.GetAlerts() {
					word := "-"
					if al.GetRaised() {
						word = "+"
					}
					all = append(all, word+al.GetKind())
				}
			}
			return all
		}
		p.change(func(p *parts) {
			p.sample.Gauges[wire.RelayBits], p.sample.Gauges[wire.RelayLimitBits] = 990, 1000
			p.sample.Unhealthy = []string{"store"}
		})
		time.Sleep(2 * lookEveryIdle)
		if got := alerts(); !slices.Equal(sorted(got), []string{"+part", "+relay-bandwidth"}) {
			t.Errorf("alerts %v, want one for the relay and one for the part", got)
		}
		for _, bits := range []int64{900, 960, 850} { // within its two bounds nothing changes
			p.change(func(p *parts) { p.sample.Gauges[wire.RelayBits] = bits })
			time.Sleep(lookEveryIdle)
		}
		if got := alerts(); len(got) != 2 {
			t.Errorf("alerts %v, want no more", got)
		}
		p.change(func(p *parts) { p.sample.Gauges[wire.RelayBits], p.sample.Unhealthy = 700, nil })
		time.Sleep(2 * lookEveryIdle)
		if got := alerts(); !slices.Equal(sorted(got[2:]), []string{"-part", "-relay-bandwidth"}) {
			t.Errorf("alerts %v, want both ended", got)
		}
		if got := c.total(wire.AlertsRaised); got != 2 {
			t.Errorf("alerts raised: %d, want 2", got)
		}
	})
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// What is observed of clients is told as quantiles and estimates of the hour.
func TestObservations(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		time.Sleep(time.Minute)
		for i := range 100 {
			a.Took(wire.QualityJoinMs, time.Duration(i+1)*time.Millisecond)
			a.Saw("cam-" + strings.Repeat("x", i%10))
		}
		p.count(1)
		time.Sleep(2 * time.Hour)
		var join *wire.DistributionSketch
		var devices *wire.SetSketch
		c.with(func() {
			for _, f := range c.frames {
				for _, s := range f.GetSketches() {
					switch s.GetId() {
					case wire.QualityJoinMs:
						join, _ = wire.ParseDistribution(s.GetData())
					case wire.DevicesUnique:
						devices, _ = wire.ParseSet(s.GetData())
					}
				}
			}
		})
		if join == nil || join.Count() != 100 || join.Quantile(0.5) < 49 || join.Quantile(0.5) > 52 {
			t.Errorf("join times %+v, want a hundred with a median of 50 ms", join)
		}
		if devices == nil || devices.Count() != 10 {
			t.Errorf("devices %+v, want ten", devices)
		}
	})
}

// synctestBoxesWith is synctestBoxes for boxes with a configuration.
func synctestBoxesWith(t *testing.T, do func(t *testing.T, c *cloud, start func(dir string, change func(*Config)) *running)) {
	t.Helper()
	bubble(t, func(t *testing.T, c *cloud, n *memory) {
		do(t, c, func(dir string, change func(*Config)) *running {
			return run(t, c, dir, func(cfg *Config) {
				cfg.Source, cfg.connect = newParts(), n.dial
				change(cfg)
			})
		})
	})
}

// Names leave the site at level named alone.
func TestNamesStay(t *testing.T) {
	for _, level := range []wire.Privacy{wire.Minimal, wire.Default, wire.Named} {
		inBubble(t, func(cfg *Config) { cfg.Level = string(level) }, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
			p.change(func(p *parts) {
				p.sample.Name, p.sample.Unhealthy = "canary hall", []string{"canary part"}
				p.rooms = []wire.RoomFacts{{Name: "canary room", Members: 3}}
			})
			time.Sleep(time.Minute)
			a.Saw("canary device")
			p.count(1)
			c.nudge(wire.Nudge{Live: 5})
			time.Sleep(time.Hour)
			var all strings.Builder
			c.with(func() {
				for _, b := range c.dated {
					all.WriteString(b.String())
				}
				for _, l := range c.lives {
					data, _ := json.Marshal(l)
					all.Write(data)
				}
			})
			want := 0
			if level == wire.Named {
				want = 2 // the hall and the room
			}
			found := 0
			for _, name := range []string{"canary hall", "canary room", "canary device", "canary part"} {
				if strings.Contains(all.String(), name) {
					found++
				}
			}
			if found != want {
				t.Errorf("level %s: %d names have left the site, want %d", level, found, want)
			}
		})
	}
}
