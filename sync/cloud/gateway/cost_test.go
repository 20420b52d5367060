package gateway

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/wire"
)

// costServerEnv makes the test binary a cloud node of broker, registry and
// gateway alone, with its folder in it, so that its memory can be read apart.
const costServerEnv = "SIGNALBOX_GATEWAY_COST"

// raceDetector takes several times the memory of what it watches, so that the
// figure is of no use with it; the tunnels are opened all the same.
var raceDetector bool

// maxCost is what an idle tunnel may take, its part of nats-server included.
const maxCost = 100 << 10

func costBox(i int) wire.BoxID {
	return wire.BoxID{Tenant: "main", Site: "s", Box: fmt.Sprintf("b%d", i)}
}

// serveCost prints its address and then, for each line of input, its memory.
func serveCost() int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b, err := broker.New(broker.Config{Dir: os.Getenv(costServerEnv), SessionKey: brokertest.Key, UpBytes: 64 << 20, RollupBytes: 16 << 20})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { _ = b.Run(ctx) }()
	<-b.Ready()
	r := registry.New(registry.Config{JetStream: b.JetStream()})
	go func() { _ = r.Run(ctx) }()
	<-r.Loaded()
	_ = r.AddSite(ctx, registry.Site{Tenant: "main", Name: "s"})
	for i := range *costTunnels {
		_ = r.ChangeBox(ctx, costBox(i), func(*registry.Box) error { return nil })
	}
	id := &believer{}
	id.until.Store(time.Now().Add(time.Hour).Unix())
	g, err := New(Config{Broker: b, Registry: r, Identity: id, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	server := httptest.NewUnstartedServer(g)
	server.Config.ReadHeaderTimeout = 10 * time.Second
	server.StartTLS()
	fmt.Println(server.URL)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		runtime.GC()
		debug.FreeOSMemory()
		fmt.Println(rss(), g.Stats().Tunnels)
	}
	return 0
}

// rss is the resident memory in bytes.
func rss() int64 {
	text, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(text), "VmRSS:")
	kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return kib << 10
}

// TestTunnelCost measures what an idle tunnel over TLS takes of a cloud node's
// memory.
func TestTunnelCost(t *testing.T) {
	server := exec.CommandContext(t.Context(), os.Args[0], "-tunnels", strconv.Itoa(*costTunnels))
	server.Env = append(os.Environ(), costServerEnv+"="+t.TempDir())
	server.Stderr = os.Stderr
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := server.Wait(); err != nil {
			t.Error(err)
		}
	}()
	lines := bufio.NewScanner(out)
	lines.Scan()
	url := lines.Text()
	measure := func() (bytes int64, tunnels int) {
		t.Helper()
		fmt.Fprintln(in)
		if !lines.Scan() {
			t.Fatal("the server is gone")
		}
		if _, err := fmt.Sscan(lines.Text(), &bytes, &tunnels); err != nil {
			t.Fatal(err)
		}
		return bytes, tunnels
	}
	empty, _ := measure()
	began := time.Now()
	for i := range *costTunnels {
		id := costBox(i)
		s, err := dialTunnel(url, id)
		if err != nil {
			t.Fatal(err)
		}
		nc, err := s.nats(id)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		if _, err := nc.Subscribe(id.NudgeSubject(), func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(began)
	full, tunnels := measure()
	if tunnels != *costTunnels {
		t.Fatalf("tunnels: got %d, want %d", tunnels, *costTunnels)
	}
	each := (full - empty) / int64(tunnels)
	t.Logf("%d idle tunnels, opened in %v: %d KiB before, %d KiB after, %.1f KiB each", tunnels, took.Round(time.Millisecond), empty>>10, full>>10, float64(each)/1024)
	if each > maxCost && !raceDetector {
		t.Errorf("an idle tunnel takes %d bytes, want at most %d", each, maxCost)
	}
}
