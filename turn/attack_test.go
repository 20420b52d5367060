package turn_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// Twenty bytes that announce 65,516 more made pion v3 spin for ever: header
// and length together are 0 in sixteen bits (F1). Here the stream goes on.
func TestLengthThatWraps(t *testing.T) {
	for what, header := range map[string][]byte{
		"stun":        {0, 1, 0xFF, 0xEC, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		"channelData": {0x40, 0, 0xFF, 0xFC},
	} {
		t.Run(what, func(t *testing.T) {
			server := turntest.Start(t)
			c := turntest.Dial(t, "tcp", turntest.Addr(server))
			if header[0] == 0x40 {
				c.Allocate()
			}
			c.Write(header)
			c.Write(make([]byte, int(header[2])<<8|int(header[3])))
			want(t, "binding", turntest.Code(c.Do(stun.BindingRequest)), 0)
			want(t, "oversize", server.Stats().Dropped["oversize"], 1)
		})
	}
}

// One byte at a time cost pion v3 a stack frame for each, two megabytes for
// 20,000 of them (F2).
func TestSlowDrip(t *testing.T) {
	server := turntest.Start(t)
	c := turntest.Dial(t, "tcp", turntest.Addr(server))
	if err := c.Conn().(*net.TCPConn).SetNoDelay(true); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	c.Write([]byte{0, 1, 0x4E, 0x20, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	for range 20000 {
		c.Write([]byte{0})
	}
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	for _, b := range request.Raw {
		c.Write([]byte{b})
	}
	want(t, "binding", turntest.Code(c.Response(request.TransactionID)), 0)
	runtime.ReadMemStats(&after)
	if grown := int(after.StackInuse) - int(before.StackInuse); grown > 128<<10 {
		t.Errorf("stacks have grown by %d bytes, want at most 128 KiB", grown)
	}
}

// A stream that is not TURN is closed at once, whatever it is.
func TestNotTURN(t *testing.T) {
	server := turntest.Start(t)
	for i, bytes := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		{0x16, 3, 1, 2, 0},       // a TLS hello
		{0x50, 0, 0, 4},          // a reserved channel number
		{0, 1, 0, 3},             // a STUN length that is not of whole attributes
		{0, 1, 0, 0, 1, 2, 3, 4}, // RFC 3489, without the cookie
	} {
		c := turntest.Dial(t, "tcp", turntest.Addr(server))
		c.Write(bytes)
		if raw, err := c.Read(5 * time.Second); err == nil {
			t.Errorf("stream %d: got answer %x", i, raw)
		}
		want(t, "closed", server.Stats().Closed["not_turn"], uint64(i+1))
	}
	want(t, "dropped", server.Stats().Dropped["malformed"], 5)
}

// Garbage on the UDP socket costs its sender, and nobody else.
func TestGarbageDatagrams(t *testing.T) {
	server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	c.Allocate()
	want(t, "channel", c.Bind(0x4000, peer), 0)
	stranger := turntest.Dial(t, "udp", turntest.Addr(server))
	garbage := [][]byte{
		{},
		{0},
		{0x40},
		{0x80, 1, 2, 3},
		{0x40, 0, 0xFF, 0xFF},
		{0x90, 0, 0, 0},
		make([]byte, 20), make([]byte, 3000),
		{0, 3, 0, 4, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 6, 0xFF, 0xFF},
	}
	for range 20 {
		for _, g := range garbage {
			stranger.Write(g)
		}
		c.SendChannel(0x4000, []byte("x"))
		want(t, "live call", receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo x"})
	}
	turntest.Until(t, "all counted", func() bool {
		dropped := server.Stats().Dropped
		return dropped["malformed"] == 20*8 && dropped["oversize"] == 20
	})
}

// A connection that never signs in takes no allocation and no pion server.
func TestConnectionLimits(t *testing.T) {
	server := turntest.Start(t, func(cfg *turn.Config) { cfg.MaxConns, cfg.MaxConnsPerSource = 8, 4 })
	addr := turntest.Addr(server)
	var open []*turntest.Client
	for range 4 {
		open = append(open, turntest.Dial(t, "tcp", addr))
	}
	turntest.Until(t, "4 connections", func() bool { return server.Stats().Conns == 4 })
	fifth := turntest.Dial(t, "tcp", addr)
	if _, err := fifth.Read(5 * time.Second); err == nil {
		t.Error("a fifth connection of one source was served")
	}
	want(t, "closed", server.Stats().Closed["source_limit"], 1)
	open[0].Conn().Close()
	turntest.Until(t, "a free place", func() bool { return server.Stats().Conns == 3 })
	want(t, "binding", turntest.Code(turntest.Dial(t, "tcp", addr).Do(stun.BindingRequest)), 0)
}
