package turn_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"testing"
	"time"

	"signalbox/internal/netlab"
	"signalbox/turn"
	"signalbox/turn/turntest"
)

const boxRole = "turn-box"

// roles are what this program can be beside a test. The first argument is the
// configuration as JSON, each line printed is the state, and the role ends with
// standard input.
var roles = map[string]func(config string) error{boxRole: runBox, relayRole: runRelay}

// playRole plays the role that this process was started for, if any.
func playRole() {
	run := roles[netlab.Role()]
	if run == nil {
		return
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runBox(config string) error {
	var cfg turn.Config
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	server, err := turn.New(cfg, turntest.Secret)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	udp, _ := server.Addrs()
	if err := json.NewEncoder(os.Stdout).Encode(udp); err != nil {
		return err
	}
	return server.Run(ctx)
}

// startBox runs a relay on a host of a lab and returns its addresses.
func startBox(t *testing.T, host *netlab.Host, cfg turn.Config) []netip.AddrPort {
	t.Helper()
	config, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	box := host.Self(t.Context(), boxRole, string(config))
	box.Stderr = os.Stderr
	box.WaitDelay = 5 * time.Second
	stdin, err := box.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := box.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := box.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = box.Wait() // killed with the test's context at the latest
	})
	var addrs []netip.AddrPort
	if err := json.NewDecoder(stdout).Decode(&addrs); err != nil {
		t.Fatalf("box did not start: %v", err)
	}
	return addrs
}
