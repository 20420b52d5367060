package loadgen_test

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/loadgen"
	"signalbox/appliance/loadgen/bench/textbook"
	"signalbox/appliance/signaling"
)

// serve runs a handler on a loopback port and gives its ws URL.
func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return "ws" + strings.TrimPrefix(server.URL, "http") + "/v1/signal"
}

// box is a signaling server with open admission.
func box(t *testing.T, change func(*signaling.Config)) string {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	cfg := signaling.DefaultConfig()
	if cfg.Authority, err = auth.New(auth.Config{Admission: "open"}, key, "testbox"); err != nil {
		t.Fatal(err)
	}
	cfg.ICE = func(netip.Addr, auth.Identity) signaling.ICE { return signaling.ICE{} }
	cfg.ResumeKey, cfg.Box, cfg.JournalEvery = []byte(strings.Repeat("k", 32)), "testbox", 20*time.Millisecond
	if change != nil {
		change(&cfg)
	}
	s, err := signaling.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return serve(t, s)
}

func connected(t *testing.T, opts loadgen.FleetOptions) *loadgen.Fleet {
	t.Helper()
	f, err := loadgen.NewFleet(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	if err := f.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.Ready() != opts.Conns {
		t.Fatalf("%d of %d clients are ready: %v", f.Ready(), opts.Conns, f.Faults())
	}
	return f
}

func TestFleetSpeaksToEveryServer(t *testing.T) {
	for _, c := range []struct {
		name    string
		url     string
		dialect loadgen.Dialect
	}{
		// A flood has no pace, and how much of it a machine carries is its own business.
		{"box", box(t, func(c *signaling.Config) { c.MessageRate, c.ByteRate = 1_000_000, 1<<30 }), loadgen.Native{}},
		{"textbook", serve(t, &textbook.Hub{}), textbook.Dialect{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := connected(t, loadgen.FleetOptions{URL: c.url, Dialect: c.dialect, Conns: 8, Rooms: "r-"})
			began := time.Now()
			if err := f.Pace(t.Context(), 200, 500*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			// A busy machine keeps neither to the rate nor to the end.
			sent, most := f.Sent(), uint64(200*time.Since(began).Seconds())+20
			if sent < 20 || sent > most || f.Received() != sent {
				t.Errorf("at 200 per second for half a second %d were sent, of at most %d, and %d received", sent, most, f.Received())
			}
			if l := f.TakeLatency(); l.Count() != sent || l.Quantile(0.5) <= 0 || l.Max() > 5*time.Second {
				t.Errorf("%d latencies of %d messages, p50 %v, most %v", l.Count(), sent, l.Quantile(0.5), l.Max())
			}
			stop := f.Flood(1)
			for end := time.Now().Add(10 * time.Second); f.Received()-sent < 100 && time.Now().Before(end); {
				time.Sleep(10 * time.Millisecond)
			}
			stop()
			if got := f.Received() - sent; got < 100 || f.Received() != f.Sent() {
				t.Errorf("the flood brought %d messages; in all %d were sent and %d received", got, f.Sent(), f.Received())
			}
			if faults := f.Faults(); len(faults) != 0 {
				t.Errorf("faults: %v", faults)
			}
		})
	}
}

// What a server refuses is counted, and the flood goes on at the rate allowed.
func TestFleetCountsRefusals(t *testing.T) {
	url := box(t, func(c *signaling.Config) { c.MessageRate = 20 })
	f := connected(t, loadgen.FleetOptions{URL: url, Dialect: loadgen.Native{}, Conns: 2, Rooms: "r-"})
	stop := f.Flood(1)
	time.Sleep(2500 * time.Millisecond)
	stop()
	if n := f.Faults()["rate_limited"]; n == 0 {
		t.Errorf("nothing was refused: %v", f.Faults())
	}
	if n := f.Received(); n < 80 { // the burst of two clients, 40 each
		t.Errorf("%d messages came through", n)
	}
}

// A box that says 503 to too many handshakes is asked again.
func TestFleetHasPatience(t *testing.T) {
	url := box(t, func(c *signaling.Config) { c.ConnectRate = 4 })
	connected(t, loadgen.FleetOptions{URL: url, Dialect: loadgen.Native{}, Conns: 44, Rooms: "r-"})
}

func TestFleetTellsWhatFailed(t *testing.T) {
	refusing := serve(t, http.NotFoundHandler())
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, c := range map[string]struct{ url, want string }{
		"no signaling": {refusing, "http 404"},
		"nobody":       {"ws" + strings.TrimPrefix(gone.URL, "http"), "refused"},
		"no token":     {box(t, func(c *signaling.Config) { c.Authority = closed(t) }), "forbidden"},
	} {
		f, err := loadgen.NewFleet(loadgen.FleetOptions{URL: c.url, Dialect: loadgen.Native{}, Conns: 2})
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want one with %q", name, err, c.want)
		}
		f.Close()
		f.Close()
	}
}

func closed(t *testing.T) signaling.Authority {
	_, key, _ := ed25519.GenerateKey(nil)
	a, err := auth.New(auth.Config{}, key, "testbox")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestNewFleetRefuses(t *testing.T) {
	for _, opts := range []loadgen.FleetOptions{
		{URL: "http://box/v1/signal", Conns: 2},
		{URL: "ws:///v1/signal", Conns: 2},
		{URL: "ws://box/v1/signal", Conns: 3},
		{URL: "ws://box/v1/signal", Conns: 0},
		{URL: "ws://box/v1/signal", Conns: 2, DataBytes: 10},
	} {
		if _, err := loadgen.NewFleet(opts); err == nil {
			t.Errorf("NewFleet(%+v) has no error", opts)
		}
	}
}
