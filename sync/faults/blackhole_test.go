//go:build linux && interop

package faults_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/netlab"
	"signalbox/sync/bench/fleet"
)

const (
	// How many times each way, and for how many seconds; more of both for a figure.
	pairsVariable   = "BLACKHOLE_PAIRS"
	secondsVariable = "BLACKHOLE_SECONDS"
	defaultPairs    = 3
	defaultSeconds  = 3
	callDevices     = "20"
	callRate        = "200"
	startWithin     = 30 * time.Second
	// What a busy machine adds by itself. The aim is 5 %; a link that is in the
	// way of signaling costs far more than this.
	callSlack  = 10 // milliseconds
	startSlack = 500 * time.Millisecond
)

// realBox is the program itself on a host.
type realBox struct {
	t             *testing.T
	on            *netlab.Host
	program, data string
	cmd           *exec.Cmd
}

// start returns how long it took until the box served.
func (b *realBox) start() time.Duration {
	b.t.Helper()
	began := time.Now()
	b.cmd = b.on.Command(b.t.Context(), b.program, "serve", "--data", b.data, "--ready-json")
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	stuck := time.AfterFunc(startWithin, func() { _ = b.cmd.Process.Kill() })
	defer stuck.Stop()
	in := bufio.NewScanner(out)
	if !in.Scan() {
		b.t.Fatal("the box does not serve")
	}
	return time.Since(began)
}

func (b *realBox) stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	_ = b.cmd.Wait()
}

// p99 loads the box with messages and returns their 99th percentile, in
// milliseconds.
func (b *realBox) p99() float64 {
	b.t.Helper()
	cmd := b.on.Command(b.t.Context(), b.program, "bench", "--url", fmt.Sprintf("ws://%s:8080/v1/signal", b.on.IPv4()),
		"--conns", callDevices, "--rate", callRate, "--duration", fmt.Sprintf("%ds", setting(b.t, secondsVariable, defaultSeconds)), "--bytes", "800", "--data", b.data, "--json")
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("load: %v", err)
	}
	var r struct {
		Received uint64 `json:"received"`
		Latency  struct {
			P99 float64 `json:"p99"`
		} `json:"latency_ms"`
	}
	if err := json.Unmarshal(out, &r); err != nil || r.Received == 0 {
		b.t.Fatalf("load: %s (%v)", out, err)
	}
	return r.Latency.P99
}

// TestBlackhole has nftables swallow everything between a box and its cloud:
// devices and the start of the box notice nothing of it.
func TestBlackhole(t *testing.T) {
	lab := netlab.New(t, "box", "cloud")
	dir := t.TempDir()
	program := filepath.Join(dir, "signalbox")
	if out, err := exec.Command("go", "build", "-o", program, "signalbox/appliance/cmd/signalbox").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	on := lab.Host("cloud")
	c := &center{t: t, on: on, order: cloudOrder{
		Data: filepath.Join(dir, "center"), HTTPS: fmt.Sprintf("%s:8453", on.IPv4()), Control: fmt.Sprintf("%s:8090", on.IPv4()), Speed: 1,
	}}
	c.admin = fleet.Admin{URL: "http://" + c.order.Control, Client: &http.Client{
		Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: on.DialContext},
	}}
	c.start()
	t.Cleanup(c.kill)
	c.ready(startWithin)
	b := &realBox{t: t, on: lab.Host("box"), program: program, data: filepath.Join(dir, "box")}
	b.start()
	t.Cleanup(func() { b.stop() })
	invited, err := c.admin.Invite(t.Context(), "works")
	if err != nil {
		t.Fatal(err)
	}
	join := b.on.Command(t.Context(), program, "join", "https://"+c.order.HTTPS, "--token", invited.Token, "--ca", invited.CA, "--data", b.data)
	if out, err := join.CombinedOutput(); err != nil {
		t.Fatalf("join: %v\n%s", err, out)
	}
	hole := func(on bool) {
		rules := "table inet hole { }\ndelete table inet hole\n"
		if on {
			rules += fmt.Sprintf("table inet hole { chain o { type filter hook output priority 0; ip daddr %s drop; }\n chain i { type filter hook input priority 0; ip saddr %s drop; }\n}\n", c.on.IPv4(), c.on.IPv4())
		}
		file := filepath.Join(dir, "rules")
		if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := b.on.Command(t.Context(), "nft", "-f", file).CombinedOutput(); err != nil {
			t.Fatalf("nft: %v: %s", err, out)
		}
	}
	var calls [2][]float64
	var starts [2][]time.Duration
	for pair := range setting(t, pairsVariable, defaultPairs) {
		for _, i := range [][]int{{0, 1}, {1, 0}}[pair%2] { // what drifts meets both
			hole(i == 1)
			b.stop()
			starts[i] = append(starts[i], b.start())
			calls[i] = append(calls[i], b.p99())
		}
	}
	callOpen, callHole := median(calls[0]), median(calls[1])
	startOpen, startHole := median(starts[0]), median(starts[1])
	t.Logf("signaling p99, medians: %.2f ms with the cloud, %.2f ms with it swallowed (%+.1f %%); all: %.2f, %.2f", callOpen, callHole, 100*(callHole/callOpen-1), calls[0], calls[1])
	t.Logf("start, medians: %v with the cloud, %v with it swallowed; all: %v, %v", startOpen.Round(time.Millisecond), startHole.Round(time.Millisecond), starts[0], starts[1])
	if callHole > 2*callOpen+callSlack {
		t.Errorf("signaling p99 is %.2f ms with the cloud swallowed, %.2f ms with it", callHole, callOpen)
	}
	if startHole > 2*startOpen+startSlack {
		t.Errorf("a start takes %v with the cloud swallowed, %v with it", startHole, startOpen)
	}
}

func median[T float64 | time.Duration](list []T) T {
	return slices.Sorted(slices.Values(list))[len(list)/2]
}
