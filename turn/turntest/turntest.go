// Package turntest starts TURN servers for tests and speaks to them.
package turntest

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"signalbox/turn"
)

// Secret is what the servers of this package make credentials with.
var Secret = []byte("a secret that only tests know")

// Start serves on a free port of 127.0.0.1 until the test ends. Peers on
// loopback are allowed, since that is where tests have theirs. configure, if
// given, changes the configuration before.
func Start(t testing.TB, configure ...func(*turn.Config)) *turn.Server {
	t.Helper()
	cfg := turn.Config{
		Listen:     []string{"127.0.0.1:0"},
		AllowPeers: []turn.PeerRule{Rule("127.0.0.0/8"), Rule("::1/128")},
	}
	for _, change := range configure {
		change(&cfg)
	}
	server, err := turn.New(cfg, Secret)
	if err != nil {
		t.Fatalf("start TURN server: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Errorf("TURN server: %v", err)
		}
		if n := server.Stats(); n.Allocations != 0 || n.Conns != 0 {
			t.Errorf("TURN server stopped with %d allocations and %d connections", n.Allocations, n.Conns)
		}
	})
	return server
}

// Rule reads an entry of AllowPeers or DenyPeers and panics when it is none.
func Rule(text string) turn.PeerRule {
	rule, err := turn.ParsePeerRule(text)
	if err != nil {
		panic(err)
	}
	return rule
}

// Addr is the first UDP and TCP address of a server.
func Addr(server *turn.Server) netip.AddrPort {
	udp, _ := server.Addrs()
	return udp[0]
}

// Until waits for done to return true, ten seconds at most.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10s in vain: %s", what)
		}
	}
}
