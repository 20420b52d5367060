package turn_test

import (
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

func startTLS(t *testing.T, configure ...func(*turn.Config)) *turn.Server {
	t.Helper()
	return turntest.Start(t, append([]func(*turn.Config){func(cfg *turn.Config) { cfg.TLS = turntest.ServerTLS(t) }}, configure...)...)
}

// A client over TLS has everything that one over TCP has, with the protocol of
// TURN in its handshake or none.
func TestTLS(t *testing.T) {
	server, peer := startTLS(t), echo(t, "127.0.0.1:0")
	addrs := server.TLSAddrs()
	want(t, "addresses", len(addrs), 1)
	for _, protocols := range [][]string{nil, {"stun.turn"}} {
		c := turntest.DialTLS(t, addrs[0], protocols...)
		c.Allocate()
		info := server.Allocations()[0]
		want(t, "transport", info.Transport, "tls")
		want(t, "server", info.Server, addrs[0])
		want(t, "permission", c.Permit(peer), 0)
		c.SendTo(peer, []byte("by indication"))
		want(t, "answer", receive(t, c), turntest.Datagram{Peer: peer, Data: "echo by indication"})
		want(t, "channel", c.Bind(0x4000, peer), 0)
		large := strings.Repeat("x", 1300)
		for range 100 {
			c.SendChannel(0x4000, []byte(large))
			want(t, "answer", receive(t, c), turntest.Datagram{Channel: 0x4000, Data: "echo " + large})
		}
		c.Conn().Close()
		turntest.Until(t, "no allocation", func() bool { return len(server.Allocations()) == 0 })
	}
}

// A caller over TLS and one over UDP meet.
func TestTLSToUDP(t *testing.T) {
	server := startTLS(t, func(cfg *turn.Config) { cfg.AllowPeers = nil })
	a := turntest.DialTLS(t, server.TLSAddrs()[0], "stun.turn")
	b := turntest.Dial(t, "udp", turntest.Addr(server))
	relayedA, relayedB := a.Allocate(), b.Allocate()
	want(t, "permission", b.Permit(relayedA), 0)
	want(t, "channel", a.Bind(0x4001, relayedB), 0)
	a.SendChannel(0x4001, []byte("hello"))
	want(t, "at b", receive(t, b), turntest.Datagram{Peer: relayedA, Data: "hello"})
	b.SendTo(relayedA, []byte("hello back"))
	want(t, "at a", receive(t, a), turntest.Datagram{Channel: 0x4001, Data: "hello back"})
}

// Where TURN over TLS alone is served, nothing else is.
func TestTLSAlone(t *testing.T) {
	server := startTLS(t)
	at := server.TLSAddrs()[0]
	c := turntest.Dial(t, "tcp", at)
	c.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	if raw, err := c.Read(5 * time.Second); err == nil {
		t.Errorf("in the clear: got answer %x", raw)
	}
	turntest.Until(t, "counted", func() bool { return server.Stats().Closed["not_turn"] == 1 })
	dialer := &tls.Dialer{Config: turntest.ClientTLS(t, "http/1.1")}
	if conn, err := dialer.DialContext(t.Context(), "tcp", at.String()); err == nil {
		t.Error("a handshake for HTTP succeeded")
		conn.Close()
	}
	turntest.Until(t, "counted", func() bool { return server.Stats().Closed["handshake"] == 1 })
	web := turntest.DialTLS(t, at)
	web.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	if raw, err := web.Read(5 * time.Second); err == nil {
		t.Errorf("HTTP within TLS: got answer %x", raw)
	}
	turntest.Until(t, "counted", func() bool { return server.Stats().Closed["not_turn"] == 2 })
}

// The certificate of a new connection is the one in force at that time.
func TestCertificateChanges(t *testing.T) {
	var asked atomic.Int32
	server := startTLS(t, func(cfg *turn.Config) {
		cert := cfg.TLS.Certificates[0]
		cfg.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if asked.Add(1) == 2 {
				return nil, errors.New("none at present")
			}
			return &cert, nil
		}}
	})
	at := server.TLSAddrs()[0]
	first := turntest.DialTLS(t, at)
	first.Allocate()
	dialer := &tls.Dialer{Config: turntest.ClientTLS(t)}
	if conn, err := dialer.DialContext(t.Context(), "tcp", at.String()); err == nil {
		t.Error("a handshake without a certificate succeeded")
		conn.Close()
	}
	turntest.DialTLS(t, at).Allocate()
	want(t, "refresh of the first", first.Refresh(10*time.Minute), 0)
}

// The default stands beside the ports for UDP and TCP that are usual or free.
func TestTLSAddresses(t *testing.T) {
	for _, test := range []struct {
		listen, tlsListen []string
		certificate       bool
		want              string
	}{
		{[]string{"127.0.0.81:3478"}, nil, true, "127.0.0.81:5349"},
		{[]string{"127.0.0.81:3478"}, nil, false, ""},
		{[]string{"127.0.0.81:3478"}, []string{}, true, ""},
		{[]string{"127.0.0.81:13478"}, nil, true, ""},
		{[]string{"127.0.0.81:13478"}, []string{"127.0.0.82:15349"}, true, "127.0.0.82:15349"},
		{[]string{"127.0.0.81:3478", "127.0.0.83:13478"}, []string{"auto", "127.0.0.83:15349"}, true, "127.0.0.81:5349 127.0.0.83:15349"},
	} {
		cfg := turn.Config{Listen: test.listen, TLSListen: test.tlsListen}
		if test.certificate {
			cfg.TLS = turntest.ServerTLS(t)
		}
		server, err := turn.New(cfg, turntest.Secret)
		if err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		var got []string
		for _, addr := range server.TLSAddrs() {
			got = append(got, addr.String())
		}
		want(t, "addresses", strings.Join(got, " "), test.want)
		server.Close()
	}
}

// Every box of a test can have a port of its own.
func TestFreePortForTLS(t *testing.T) {
	a, b := startTLS(t), startTLS(t)
	if x, y := a.TLSAddrs()[0], b.TLSAddrs()[0]; x.Port() == 0 || x == y || x == turntest.Addr(a) {
		t.Errorf("got %v and %v beside %v", x, y, turntest.Addr(a))
	}
}

func TestTLSPortInUse(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.84:5349")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = turn.New(turn.Config{Listen: []string{"127.0.0.84:3478"}, TLS: turntest.ServerTLS(t)}, turntest.Secret)
	wanted := "port 5349/tcp is in use on 127.0.0.84; stop the other TURN server or set turn.tls_listen"
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.HasPrefix(err.Error(), wanted) {
		t.Errorf("got %v, want %s", err, wanted)
	}
	// Nothing of the attempt is left.
	udp, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.84:3478")
	if err != nil {
		t.Fatal(err)
	}
	udp.Close()
}

// coturn's test client takes a TLS record for a message. However many messages
// go out at once, each is a record; crypto/tls returns one with each Read.
func TestRecordForEachMessage(t *testing.T) {
	server := startTLS(t)
	shared := share(t, server, nil)
	for what, c := range map[string]*turntest.Client{
		"alone":                turntest.DialTLS(t, server.TLSAddrs()[0]),
		"shared":               turntest.DialTLS(t, shared.at, "stun.turn"),
		"shared, no protocols": turntest.DialTLS(t, shared.at),
	} {
		const requests = 100
		var raw []byte
		for range requests {
			raw = append(raw, stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw...)
		}
		c.Write(raw)
		_ = c.Conn().SetReadDeadline(time.Now().Add(5 * time.Second))
		p := make([]byte, 1<<14)
		for range requests {
			n, err := c.Conn().Read(p)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if size := 20 + int(p[3]); n != size {
				t.Fatalf("%s: a record of %d bytes for a message of %d", what, n, size)
			}
		}
	}
}
