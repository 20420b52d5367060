package turn_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// pipes is a listener in a bubble where time is not real.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	failed int // how often Accept fails first
}

func (p *pipes) Accept() (net.Conn, error) {
	if p.failed > 0 {
		p.failed--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }

// pipeEnd has the addresses of a TCP connection.
type pipeEnd struct{ net.Conn }

func (pipeEnd) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 443} }
func (pipeEnd) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- pipeEnd{server}
	return client
}

// inBubble shares a listener whose other protocols nobody speaks.
func inBubble(t *testing.T, failed int, test func(t *testing.T, relay *turn.Server, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		relay, err := turn.New(turn.Config{Listen: []string{"127.0.0.1:0"}}, turntest.Secret)
		if err != nil {
			t.Fatal(err)
		}
		defer relay.Close()
		p := &pipes{conns: make(chan net.Conn), closed: make(chan struct{}), failed: failed}
		listener := relay.Share(p, turntest.ServerTLS(t))
		defer listener.Close()
		go func() {
			if conn, err := listener.Accept(); err == nil {
				t.Error("a connection came out that nobody has finished")
				conn.Close()
			}
		}()
		ctx, stop := context.WithCancel(t.Context())
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			relay.RunStreams(ctx)
		}()
		test(t, relay, p)
		stop()
		<-answered
	})
}

// Nobody may keep a connection without saying what it is for: neither by
// silence, nor with half a handshake, nor a byte at a time.
func TestTimeToSayWhatFor(t *testing.T) {
	shakeHands := func(t *testing.T, conn net.Conn) net.Conn {
		config := turntest.ClientTLS(t)
		config.ServerName = "127.0.0.1"
		secure := tls.Client(conn, config)
		if err := secure.Handshake(); err != nil {
			t.Error(err)
		}
		return secure
	}
	trickle := func(conn net.Conn, bytes []byte) {
		go func() {
			for _, b := range bytes {
				if _, err := conn.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(3 * time.Second)
			}
		}()
	}
	for what, test := range map[string]struct {
		reason string
		say    func(t *testing.T, conn net.Conn)
	}{
		"nothing":         {"silent", func(*testing.T, net.Conn) {}},
		"half a request":  {"silent", func(_ *testing.T, conn net.Conn) { _, _ = conn.Write([]byte{0, 1, 0}) }},
		"a slow request":  {"silent", func(_ *testing.T, conn net.Conn) { trickle(conn, []byte{0, 1, 0, 0, 0x21, 0x12, 0xA4}) }},
		"half a hello":    {"slow_handshake", func(_ *testing.T, conn net.Conn) { _, _ = conn.Write([]byte{22, 3, 1, 2, 0, 1}) }},
		"a slow hello":    {"slow_handshake", func(_ *testing.T, conn net.Conn) { trickle(conn, []byte{22, 3, 1, 2, 0, 1}) }},
		"a handshake":     {"silent", func(t *testing.T, conn net.Conn) { shakeHands(t, conn) }},
		"and half a word": {"silent", func(t *testing.T, conn net.Conn) { _, _ = shakeHands(t, conn).Write([]byte{0, 3}) }},
	} {
		t.Run(what, func(t *testing.T) {
			inBubble(t, 0, func(t *testing.T, relay *turn.Server, p *pipes) {
				conn, began := p.dial(), time.Now()
				defer conn.Close()
				test.say(t, conn)
				_, _ = io.Copy(io.Discard, conn)
				took := time.Since(began)
				synctest.Wait()
				want(t, "closed as "+test.reason, relay.Stats().Closed[test.reason], 1)
				want(t, "closed after", took, 10*time.Second)
				want(t, "connections", relay.Stats().Conns, 0)
				time.Sleep(5 * time.Second) // a slow one notices
			})
		})
	}
}

// The time to say what a connection is for does not count once it has: then the
// time limits of TURN hold.
func TestTimeAfterSayingWhatFor(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, relay *turn.Server, p *pipes) {
		conn, began := p.dial(), time.Now()
		defer conn.Close()
		if _, err := conn.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, conn)
		synctest.Wait()
		want(t, "closed as idle", relay.Stats().Closed["idle"], 1)
		want(t, "closed after", time.Since(began), time.Minute)
	})
}

// A shared port outlives a process without file descriptors, too (F4).
func TestSharedPortSurvivesAcceptErrors(t *testing.T) {
	inBubble(t, 5, func(t *testing.T, relay *turn.Server, p *pipes) {
		conn := p.dial()
		if _, err := conn.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 20)); err != nil {
			t.Errorf("no answer after errors: %v", err)
		}
		conn.Close()
		want(t, "errors", relay.Stats().AcceptErrors, 5)
	})
}

// fill dials so many times that no more connections may be looked at.
func (p *pipes) fill(sources int) (open []net.Conn) {
	for i := range turn.Default().MaxHandshakes {
		open = append(open, p.dialFrom(net.IPv4(10, 0, 0, byte(i%sources))))
	}
	return open
}

func (p *pipes) dialFrom(addr net.IP) net.Conn {
	client, server := net.Pipe()
	p.conns <- from{pipeEnd{server}, addr}
	return client
}

// While as many connections are looked at as may be, others wait their turn and
// are not turned away. However few each host has, those that say nothing make
// room for others after two seconds, one for one.
func TestSharedPortKeepsOthersWaiting(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, relay *turn.Server, p *pipes) {
		began := time.Now()
		open := p.fill(turn.Default().MaxHandshakes / 8)
		for i := range 50 {
			conn := p.dialFrom(net.IPv4(10, 1, 0, byte(i)))
			if _, err := conn.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			open = append(open, conn, p.dialFrom(net.IPv4(10, 0, 0, byte(i)))) // they do not give up
			synctest.Wait()
		}
		want(t, "waited", time.Since(began), 2*time.Second)
		want(t, "made room", relay.Stats().Closed["crowded"], 50)
		for _, conn := range open {
			conn.Close()
		}
	})
}

// When a few hosts have everything that may be looked at, the oldest of what
// they have makes room at once.
func TestFewHostsMakeRoom(t *testing.T) {
	inBubble(t, 0, func(t *testing.T, relay *turn.Server, p *pipes) {
		open := p.fill(3)
		began := time.Now()
		for i := range 50 {
			conn := p.dialFrom(net.IPv4(10, 1, 0, byte(i)))
			if _, err := conn.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			open = append(open, conn, p.dialFrom(net.IPv4(10, 0, 0, byte(i%3)))) // they do not give up
			synctest.Wait()
		}
		want(t, "waited", time.Since(began), 0)
		want(t, "made room", relay.Stats().Closed["crowded"], 50)
		for _, conn := range open {
			conn.Close()
		}
	})
}

// from is a connection from an address.
type from struct {
	pipeEnd
	addr net.IP
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: f.addr, Port: 50000} }
