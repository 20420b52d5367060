package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v2"
)

// pipe is one TCP connection in a bubble where time is not real.
type pipe struct {
	t      *testing.T
	server *Server
	client net.Conn
	began  time.Time
	served chan struct{}
	others sync.WaitGroup
}

// addressed gives a pipe the addresses of a TCP connection.
type addressed struct{ net.Conn }

func (addressed) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 3478} }
func (addressed) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(memClient) }

func inPipe(t *testing.T, test func(t *testing.T, p *pipe)) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{Listen: []string{"127.0.0.1:0"}, AllowPeers: rules("127.0.0.0/8")}, make([]byte, 16))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		client, serverEnd := net.Pipe()
		p := &pipe{t: t, server: s, client: client, began: time.Now(), served: make(chan struct{})}
		go func() {
			defer close(p.served)
			s.serveTCP(addressed{serverEnd})
		}()
		test(t, p)
		client.Close()
		<-p.served
		p.others.Wait()
	})
}

// ended waits for the connection to end and holds the reason and the time
// since its beginning against what is wanted.
func (p *pipe) ended(reason closeReason, after time.Duration) {
	p.t.Helper()
	<-p.served
	for r := range closeReasons {
		want := uint64(0)
		if r == reason {
			want = 1
		}
		if got := p.server.counters.closed[r].Load(); got != want {
			p.t.Errorf("closed as %v: %d, want %d", r, got, want)
		}
	}
	if took := time.Since(p.began); took != after {
		p.t.Errorf("closed after %v, want %v", took, after)
	}
}

// drain reads and forgets what the relay sends.
func (p *pipe) drain() {
	p.others.Go(func() {
		buffer := make([]byte, 4096)
		for {
			if _, err := p.client.Read(buffer); err != nil {
				return
			}
		}
	})
}

func TestIdleConnectionEnds(t *testing.T) {
	inPipe(t, func(t *testing.T, p *pipe) { p.ended(closeIdle, allocateTimeout) })
}

// Requests without an allocation do not keep a connection open.
func TestBusyConnectionWithoutAllocationEnds(t *testing.T) {
	inPipe(t, func(t *testing.T, p *pipe) {
		p.drain()
		p.others.Go(func() {
			for {
				if _, err := p.client.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
					return
				}
				time.Sleep(7 * time.Second)
			}
		})
		p.ended(closeIdle, allocateTimeout)
	})
}

func TestSlowMessageEndsConnection(t *testing.T) {
	inPipe(t, func(t *testing.T, p *pipe) {
		time.Sleep(3 * time.Second)
		request := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
		p.others.Go(func() {
			for _, b := range request {
				if _, err := p.client.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		})
		p.ended(closeSlowFrame, 3*time.Second+frameTimeout)
	})
}

// A client that does not read is closed when a write has waited too long.
func TestStuckConnectionEnds(t *testing.T) {
	inPipe(t, func(t *testing.T, p *pipe) {
		if _, err := p.client.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
			t.Fatal(err)
		}
		p.ended(closeStuck, tcpWriteTimeout)
	})
}

// With an allocation the connection lives as long as that does, and a minute.
func TestConnectionOutlivesAllocation(t *testing.T) {
	inPipe(t, func(t *testing.T, p *pipe) {
		p.server.ports.bind = func(netip.AddrPort) (udpSocket, error) { return newMemSocket(), nil }
		user := p.server.Credential("tester", time.Hour)
		nonce := p.server.nonces.issue(memClient, time.Now())
		key := longTermKey(user.Username, "signalbox", user.Password)
		p.drain()
		if _, err := p.client.Write(stun.MustBuild(stun.TransactionID, allocateRequest,
			stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}},
			stun.NewUsername(user.Username), stun.NewRealm("signalbox"), stun.NewNonce(nonce),
			stun.MessageIntegrity(key)).Raw); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := p.server.registry.count(); n != 1 {
			t.Fatalf("%d allocations, want 1", n)
		}
		p.ended(closeIdle, minLifetime+allocateTimeout)
	})
}

// Media that a client does not read is dropped; what waits is bounded, and a
// response still finds room. Before the client signs in there is room for a
// few responses and no more.
func TestQueuedBytesAreBounded(t *testing.T) {
	var c counters
	client, serverEnd := net.Pipe()
	defer client.Close()
	l := newTCPLink(serverEnd, memClient, &c)
	defer l.close(closeShutdown)
	frame := make([]byte, 1200)
	fill := func(response bool, want int) {
		t.Helper()
		dropped := c.dropped[dropQueueFull].Load()
		for c.dropped[dropQueueFull].Load() == dropped {
			l.write(frame, netip.AddrPort{}, response)
		}
		if got := len(l.queue.pending); got > want || got < want-len(frame) {
			t.Errorf("%d bytes wait, want about %d", got, want)
		}
	}
	fill(false, 0)
	fill(true, responseRoom)
	l.setAllocated(true)
	fill(false, maxQueued)
	fill(true, maxQueued+responseRoom)
	if taken := l.queue.take(); len(taken) < maxQueued || l.queue.take() != nil {
		t.Errorf("took %d bytes at once", len(taken))
	}
	fill(false, maxQueued)
}

// failing fails a number of times before it works.
type failing struct {
	net.Listener
	left int
}

func (f *failing) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return f.Listener.Accept()
}

// Running out of file descriptors ended a listener of pion v3 for good (F4).
func TestAcceptSurvivesErrors(t *testing.T) {
	s, err := New(Config{Listen: []string{"127.0.0.1:0"}}, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		s.accept(t.Context(), &failing{Listener: s.sockets.tcp[0], left: 4})
	}()
	conn, err := net.Dial("tcp", s.sockets.tcp[0].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 100)); err != nil {
		t.Errorf("no answer after errors: %v", err)
	}
	s.Close()
	<-accepted
	if got := s.counters.acceptErrors.Load(); got != 4 {
		t.Errorf("%d errors counted, want 4", got)
	}
}

// unwell is a socket whose reads fail now and then.
type unwell struct {
	*memSocket
	errs []error
}

func (u *unwell) ReadFromUDPAddrPort(p []byte) (int, netip.AddrPort, error) {
	if len(u.errs) > 0 {
		err := u.errs[0]
		u.errs = u.errs[1:]
		return 0, netip.AddrPort{}, err
	}
	return u.memSocket.ReadFromUDPAddrPort(p)
}

// Any read error ended a UDP listener of pion v3 for good (F4).
func TestUDPSurvivesErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c counters
		socket := &unwell{newMemSocket(), []error{syscall.ENETDOWN, syscall.ENOBUFS, errors.New("strange")}}
		l := newUDPLink(socket, &c)
		go func() { socket.in <- memDatagram{memClient, []byte("hello")} }()
		p := make([]byte, readRoom)
		n, from, ok := l.read(p)
		if !ok || string(p[:n]) != "hello" || from != memClient {
			t.Errorf("got %q from %v, %v", p[:n], from, ok)
		}
		if got := c.readErrors.Load(); got != 3 {
			t.Errorf("%d errors counted, want 3", got)
		}
		l.close(closeShutdown)
		if _, _, ok := l.read(p); ok {
			t.Error("read after close")
		}
	})
}
