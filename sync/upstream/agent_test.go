package upstream

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"signalbox/sync/upstream/identity"
	"signalbox/sync/wire"
)

// parts are the box that a test's agent tells of.
type parts struct {
	mu     sync.Mutex
	sample Sample
	rooms  []wire.RoomFacts
	asked  int
}

func newParts() *parts {
	return &parts{sample: Sample{Counters: map[wire.MetricID]uint64{}, Gauges: map[wire.MetricID]int64{}, Name: "Hall 2", Started: time.Now()}}
}

func (p *parts) Sample() Sample {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	s := p.sample
	s.Counters, s.Gauges = maps.Clone(p.sample.Counters), maps.Clone(p.sample.Gauges)
	return s
}

func (p *parts) Rooms() []wire.RoomFacts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rooms
}

func (p *parts) looks() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

func (p *parts) change(do func(*parts)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do(p)
}

// running is an agent that runs until the test ends, or stop.
type running struct {
	*Agent
	t    *testing.T
	stop func()
}

// run starts an agent of c's box.
func run(t *testing.T, c *cloud, dir string, change func(*Config)) *running {
	t.Helper()
	cfg := Default()
	cfg.Dir, cfg.SiteKey, cfg.Version = dir, []byte("key that stays on site"), "v1.2.3"
	cfg.Source = newParts()
	cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	cfg.open = func(string, string) (Identity, error) { return c.box, nil }
	cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(&cfg)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = a.Run(ctx) }()
	r := &running{Agent: a, t: t, stop: sync.OnceFunc(func() { cancel(); <-done })}
	t.Cleanup(r.stop)
	return r
}

// joined is what the agent is while the box has an identity.
func (r *running) joined() *member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.member
}

// cap is the bandwidth cap in force, in bytes a second.
func (r *running) cap() float64 {
	r.meter.bucket.mu.Lock()
	defer r.meter.bucket.mu.Unlock()
	return r.meter.bucket.rate
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A box that has joined tells the cloud of itself within a second, and stands
// where the cloud says.
func TestFramesArrive(t *testing.T) {
	c := newCloud(t, listen(t), true)
	p := newParts()
	p.sample.Counters[wire.SessionsOpened] = 7
	p.rooms = []wire.RoomFacts{{Name: "line-3", Members: 2, Created: time.Now()}}
	a := run(t, c, t.TempDir(), func(cfg *Config) { cfg.Source = p })
	c.await("the first frame", func() bool { return len(c.frames) > 0 })
	if got := c.total(wire.SessionsOpened); got != 7 {
		t.Errorf("sessions opened: %d, want 7", got)
	}
	c.with(func() {
		f := c.frames[0]
		if !f.GetAllRooms() || len(f.GetRooms()) != 1 || f.GetRooms()[0].GetMembers() != 2 || f.GetRooms()[0].GetId() == "line-3" {
			t.Errorf("rooms %v, want one of two members under an id", f.GetRooms())
		}
		if b := f.GetBox(); b.GetVersion() != "v1.2.3" || b.GetLevel() != "default" || b.GetName() != "" {
			t.Errorf("box %v, want its version and no name", b)
		}
	})
	a.until("applied", func(s Status) bool {
		return s.Connected && s.Way == wayWebSocket && s.Queue == 0 && s.Applied > 0 && s.Fault == ""
	})
}

func (r *running) until(what string, ok func(Status) bool) {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(r.Status()); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waiting for %s: status %+v", what, r.Status())
		}
	}
}

// A box that has not joined makes nothing on disk, and joins without a restart.
func TestJoinsWhileRunning(t *testing.T) {
	c := newCloud(t, listen(t), true)
	dir := t.TempDir()
	var joined sync.Map
	a := run(t, c, dir, func(cfg *Config) {
		cfg.open = func(string, string) (Identity, error) {
			if _, ok := joined.Load("yes"); !ok {
				return nil, identity.ErrNone
			}
			return c.box, nil
		}
	})
	a.Saw("cam-7")
	a.Took(wire.QualityJoinMs, time.Second)
	time.Sleep(50 * time.Millisecond)
	if s := a.Status(); s.Joined || s.Fault != "" {
		t.Errorf("status %+v, want not joined and no fault", s)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the folder has %v (%v), want nothing", left, err)
	}
	joined.Store("yes", true)
	start := time.Now()
	a.Look()
	c.await("the first frame", func() bool { return len(c.frames) > 0 })
	if took := time.Since(start); took > identity.LookEvery/2 {
		t.Errorf("took %v from being told of the join to the first frame", took)
	}
}
