package turn_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// shared is one port with pages, WebSocket and TURN.
type shared struct {
	relay *turn.Server
	at    netip.AddrPort
}

// share serves a page that says how the request came, and an echo over
// WebSocket, on a port that is shared with TURN.
func share(t *testing.T, relay *turn.Server, wrap func(net.Listener) net.Listener) shared {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	if wrap != nil {
		l = wrap(l)
	}
	config := turntest.ServerTLS(t)
	config.NextProtos = []string{"http/1.1"}
	server := &http.Server{Handler: http.HandlerFunc(page), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(relay.Share(l, config)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return shared{relay, at}
}

func page(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/echo" {
		how := "in the clear"
		if r.TLS != nil && r.TLS.HandshakeComplete {
			how = "by TLS, protocol " + r.TLS.NegotiatedProtocol
		}
		_, _ = io.WriteString(w, how)
		return
	}
	conn, err := new(websocket.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	kind, message, err := conn.ReadMessage()
	if err == nil {
		_ = conn.WriteMessage(kind, message)
	}
}

// ask sends a request as a client without and with ALPN would.
func ask(t *testing.T, conn net.Conn) string {
	t.Helper()
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (s shared) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.at.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Everything that a technician may open one port of a firewall for works on it
// at the same time.
func TestSharedPort(t *testing.T) {
	s := share(t, turntest.Start(t), nil)
	peer := echo(t, "127.0.0.1:0")
	for what, test := range map[string]struct {
		client    *turntest.Client
		transport string
	}{
		"tls, stun.turn":       {turntest.DialTLS(t, s.at, "stun.turn"), "tls"},
		"tls, no protocol":     {turntest.DialTLS(t, s.at), "tls"},
		"tls, stun.turn later": {turntest.DialTLS(t, s.at, "http/1.1", "stun.turn"), "tls"},
		"in the clear":         {turntest.Dial(t, "tcp", s.at), "tcp"},
	} {
		t.Run(what, func(t *testing.T) {
			c := test.client
			c.Allocate()
			want(t, "channel", c.Bind(0x4000, peer), 0)
			c.SendChannel(0x4000, []byte("by "+what))
			want(t, "answer", receive(t, c).Data, "echo by "+what)
			info := s.relay.Allocations()[0]
			want(t, "transport", info.Transport, test.transport)
			want(t, "client", info.Client.String(), c.Conn().LocalAddr().String())
			want(t, "server", info.Server, s.at)
			want(t, "end", c.Refresh(0), 0)
		})
	}
	want(t, "connections", s.relay.Stats().Conns, 4)

	want(t, "page in the clear", ask(t, s.dial(t)), "in the clear")
	want(t, "page", ask(t, tls.Client(s.dial(t), s.named(t, "http/1.1"))), "by TLS, protocol http/1.1")
	want(t, "page without a protocol", ask(t, tls.Client(s.dial(t), s.named(t))), "by TLS, protocol ")
}

// named is what a client that dials by itself needs.
func (s shared) named(t *testing.T, protocols ...string) *tls.Config {
	config := turntest.ClientTLS(t, protocols...)
	config.ServerName = s.at.Addr().String()
	return config
}

func TestWebSocketOnSharedPort(t *testing.T) {
	s := share(t, turntest.Start(t), nil)
	for _, protocols := range [][]string{nil, {"http/1.1"}} {
		dialer := websocket.Dialer{NetDialTLSContext: (&tls.Dialer{Config: turntest.ClientTLS(t, protocols...)}).DialContext}
		conn, response, err := dialer.DialContext(t.Context(), "wss://"+s.at.String()+"/echo", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		defer conn.Close()
		if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		_, message, err := conn.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		want(t, "echo", string(message), "hello")
	}
}

// Whoever gets a connection finds the socket below it, for its options.
func TestSocketBelow(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	config := turntest.ServerTLS(t)
	config.NextProtos = []string{"http/1.1"}
	listener := turntest.Start(t).Share(l, config)
	defer listener.Close()
	s := shared{at: l.Addr().(*net.TCPAddr).AddrPort()}
	for what, client := range map[string]net.Conn{
		"in the clear":     s.dial(t),
		"tls":              tls.Client(s.dial(t), s.named(t, "http/1.1")),
		"tls, no protocol": tls.Client(s.dial(t), s.named(t)),
	} {
		var writing sync.WaitGroup
		defer writing.Wait()
		writing.Go(func() { _, _ = client.Write([]byte("GET / HTTP/1.1\r\n\r\n")) })
		conn, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		below := conn
		for {
			upper, ok := below.(interface{ NetConn() net.Conn })
			if !ok {
				break
			}
			below = upper.NetConn()
		}
		if _, ok := below.(*net.TCPConn); !ok {
			t.Errorf("%s: %T is below, want a TCP connection", what, below)
		}
	}
}

// A message may come in as many pieces as it likes, within the time for it.
func TestTricklingStart(t *testing.T) {
	s := share(t, turntest.Start(t), nil)
	for what, conn := range map[string]net.Conn{
		"in the clear": s.dial(t), "tls": tls.Client(s.dial(t), s.named(t)),
	} {
		c := turntest.Use(t, conn)
		request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		for _, b := range request.Raw {
			c.Write([]byte{b})
			time.Sleep(time.Millisecond)
		}
		want(t, what, turntest.Code(c.Response(request.TransactionID)), 0)
	}
}

// What begins like STUN and is none goes where all that is not TURN goes.
func TestNearlyTURN(t *testing.T) {
	s := share(t, turntest.Start(t), nil)
	for _, start := range [][]byte{{0, 1, 0, 3}, {0, 1, 0, 0, 1, 2, 3, 4}, {0x40, 0, 0, 4}, {0x16 + 1, 3, 1}} {
		for _, conn := range []net.Conn{s.dial(t), tls.Client(s.dial(t), s.named(t))} {
			if _, err := conn.Write(append(start, "\r\n\r\n"...)); err != nil {
				t.Fatal(err)
			}
			_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			answer, _ := io.ReadAll(conn)
			if !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
				t.Errorf("%x: got %q, want the 400 of the HTTP server", start, answer)
			}
		}
	}
}

// A handshake that cannot succeed is counted, and costs nobody else anything.
func TestBrokenHandshakes(t *testing.T) {
	s := share(t, turntest.Start(t), nil)
	for _, start := range []string{"\x16\x03\x01\x00\x05hello", "\x16\x03\x03\xff\xff"} {
		conn := s.dial(t)
		if _, err := io.WriteString(conn, start); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn)
	}
	if err := tls.Client(s.dial(t), s.named(t, "smtp")).HandshakeContext(t.Context()); err == nil {
		t.Error("a protocol that nobody speaks was accepted")
	}
	turntest.Until(t, "3 broken handshakes counted", func() bool { return s.relay.Stats().Closed["handshake"] == 3 })
	s.dial(t).Close()
	turntest.Until(t, "1 that said nothing", func() bool { return s.relay.Stats().Closed["client"] == 1 })
	want(t, "page", ask(t, tls.Client(s.dial(t), s.named(t))), "by TLS, protocol ")
}

// One host that opens connections and says nothing gets so many, and no other
// client waits for it.
func TestSilentConnectionsAreBounded(t *testing.T) {
	s := share(t, turntest.Start(t), nil)
	for range turn.Default().MaxHandshakesPerSource {
		s.dial(t)
	}
	turntest.Until(t, "the limit", func() bool {
		s.dial(t)
		return s.relay.Stats().Closed["source_limit"] > 0
	})
	other := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	conn, err := other.DialContext(t.Context(), "tcp", s.at.String())
	if err != nil {
		t.Fatal(err)
	}
	want(t, "page for another host", ask(t, tls.Client(conn, s.named(t))), "by TLS, protocol ")
}

// After a power cut all devices of a site come back at once, from the one address
// of their router: each gets through with its first connection.
func TestDevicesBehindOneRouter(t *testing.T) {
	const devices = 200
	relay := turntest.Start(t, func(cfg *turn.Config) { cfg.TLS = turntest.ServerTLS(t) })
	s := share(t, relay, nil)
	var conns []net.Conn
	for i := range devices { // half of them call by the port for HTTPS
		at := []netip.AddrPort{s.at, relay.TLSAddrs()[0]}[i%2]
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", at.String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, conn)
	}
	config := s.named(t, "stun.turn")
	began := time.Now()
	var devicesDone sync.WaitGroup
	for _, conn := range conns {
		devicesDone.Go(func() {
			_ = conn.SetDeadline(began.Add(20 * time.Second))
			secure := tls.Client(conn, config)
			request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
			if _, err := secure.Write(request.Raw); err != nil {
				t.Errorf("handshake: %v", err)
			} else if _, err := io.ReadFull(secure, make([]byte, 20)); err != nil {
				t.Errorf("answer: %v", err)
			}
		})
	}
	devicesDone.Wait()
	t.Logf("%d devices were back after %v", devices, time.Since(began))
	want(t, "closed", relay.Stats().Closed["source_limit"]+relay.Stats().Closed["crowded"], 0)
}

// Without the HTTP server nothing is left of a shared port but the calls that
// came by it, and they end with the relay.
func TestSharedPortEnds(t *testing.T) {
	relay, err := turn.New(turn.Config{Listen: []string{"127.0.0.1:0"}}, turntest.Secret)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- relay.Run(ctx) }()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	listener := relay.Share(l, turntest.ServerTLS(t))
	accepted := make(chan error, 1)
	go func() {
		_, err := listener.Accept()
		accepted <- err
	}()
	call := turntest.DialTLS(t, at, "stun.turn")
	call.Allocate()
	silent, err := new(net.Dialer).DialContext(t.Context(), "tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	half := tls.Client(silent, turntest.ClientTLS(t))
	if _, err := half.NetConn().Write([]byte{22, 3, 1}); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // it is being looked at

	for range 2 {
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: got %v, want net.ErrClosed", err)
	}
	if _, err := listener.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: got %v, want net.ErrClosed", err)
	}
	want(t, "shut down", relay.Stats().Closed["shutdown"], 1)
	want(t, "refresh of the call", call.Refresh(10*time.Minute), 0)
	stop()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	want(t, "connections", relay.Stats().Conns, 0)
	want(t, "shut down", relay.Stats().Closed["shutdown"], 2)
}

// A listener that is never asked for a connection is closed like any other.
func TestShareWithoutAccept(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := turntest.Start(t).Share(l, turntest.ServerTLS(t))
	want(t, "address", listener.Addr(), l.Addr())
	if err := listener.Close(); err != nil {
		t.Error(err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the port is still open: %v", err)
	}
}
