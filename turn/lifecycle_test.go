package turn_test

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// Stopping ends every allocation, connection and socket. TestMain sees to it
// that no goroutine is left.
func TestStopReleasesEverything(t *testing.T) {
	server, err := turn.New(turn.Config{Listen: []string{"127.0.0.1:0"}}, turntest.Secret)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(ctx) }()
	addr := turntest.Addr(server)
	var relayed []string
	for _, network := range []string{"udp", "udp", "tcp", "tcp"} {
		relayed = append(relayed, turntest.Dial(t, network, addr).Allocate().String())
	}
	turntest.Dial(t, "tcp", addr) // one that has not signed in
	turntest.Until(t, "3 connections", func() bool { return server.Stats().Conns == 3 })

	stop()
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("not stopped after 5s")
	}
	stats := server.Stats()
	want(t, "allocations", stats.Allocations, 0)
	want(t, "connections", stats.Conns, 0)
	want(t, "closed", stats.Closed["shutdown"], 3)
	for _, at := range append(relayed, addr.String()) {
		conn, err := net.ListenPacket("udp", at)
		if err != nil {
			t.Errorf("%s is still in use: %v", at, err)
			continue
		}
		conn.Close()
	}
	server.Close() // again, and after Run
}

// A server that never runs lets go of its sockets too.
func TestCloseWithoutRun(t *testing.T) {
	for range 3 {
		server, err := turn.New(turn.Config{Listen: []string{"127.0.0.1:21433"}}, turntest.Secret)
		if err != nil {
			t.Fatal(err)
		}
		server.Close()
		server.Close()
	}
}

// The end of a connection is the end of its allocation.
func TestConnectionEndsAllocation(t *testing.T) {
	server := turntest.Start(t)
	c := turntest.Dial(t, "tcp", turntest.Addr(server))
	c.Allocate()
	info := server.Allocations()[0]
	want(t, "transport", info.Transport, "tcp")
	want(t, "user", info.User, "tester")
	want(t, "client", info.Client.String(), c.Conn().LocalAddr().String())
	want(t, "server", info.Server, turntest.Addr(server))
	c.Conn().Close()
	turntest.Until(t, "no allocation", func() bool { return len(server.Allocations()) == 0 })
	want(t, "closed", server.Stats().Closed["client"], 1)
}

// An allocation that has nothing to do holds no goroutine, whose stack would be
// most of its memory.
func TestIdleAllocationsHaveNoGoroutines(t *testing.T) {
	const n = 50
	server := turntest.Start(t)
	turntest.Dial(t, "udp", turntest.Addr(server)).Allocate()
	before := runtime.NumGoroutine()
	for range n {
		turntest.Dial(t, "udp", turntest.Addr(server)).Allocate()
	}
	turntest.Until(t, "no goroutines more", func() bool { return runtime.NumGoroutine() < before+n/10 })
	want(t, "allocations", server.Stats().Allocations, n+1)
	for _, a := range server.Allocations() {
		want(t, "ended", server.End(a.ID), true)
	}
	want(t, "allocations", server.Stats().Allocations, 0)
}

// A full life again and again leaves nothing behind.
func TestAllocateAndEndManyTimes(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
		c := turntest.Dial(t, network, turntest.Addr(server))
		for range 100 {
			c.Allocate()
			want(t, "channel", c.Bind(0x4000, peer), 0)
			c.SendChannel(0x4000, []byte("x"))
			want(t, "answer", receive(t, c).Data, "echo x")
			want(t, "end", c.Refresh(0), 0)
		}
		want(t, "allocations", server.Stats().Allocations, 0)
		want(t, "created", server.Stats().Created, 100)
	})
}
