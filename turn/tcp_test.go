package turn

import (
	"context"
	"net"
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
	gates  sync.WaitGroup
}

// addressed gives a pipe the addresses of a TCP connection.
type addressed struct{ net.Conn }

func (addressed) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 3478} }
func (addressed) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(memClient) }

func inPipe(t *testing.T, test func(t *testing.T, p *pipe)) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemServer(t)
		client, serverEnd := net.Pipe()
		p := &pipe{t: t, server: s, client: client, began: time.Now(), served: make(chan struct{})}
		ctx, stop := context.WithCancel(t.Context())
		p.gates.Go(func() { s.RunStreams(ctx) })
		go func() {
			defer close(p.served)
			s.ServeConn(addressed{serverEnd})
		}()
		test(t, p)
		client.Close()
		<-p.served
		p.others.Wait()
		stop()
		p.gates.Wait()
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
		user := p.server.Credential("tester", time.Hour)
		nonce := p.server.nonces.issue(memClient, time.Now())
		key := longTermKey(user.Username, "signalbox", user.Password)
		p.drain()
		if _, err := p.client.Write(stun.MustBuild(stun.TransactionID, allocateRequest,
			allocateUDP,
			stun.NewUsername(user.Username), stun.NewRealm("signalbox"), stun.NewNonce(nonce),
			stun.MessageIntegrity(key)).Raw); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n, _ := p.server.registry.count(); n != 1 {
			t.Fatalf("%d allocations, want 1", n)
		}
		p.ended(closeIdle, minLifetime+allocateTimeout)
	})
}

// Media that a client does not read is dropped; what waits is bounded, and a
// response still finds room. Before the client signs in there is room for a
// few responses and no more.
func TestQueuedBytesAreBounded(t *testing.T) {
	s := newMemServer(t)
	client, serverEnd := net.Pipe()
	defer client.Close()
	l := newTCPLink(s, addressed{serverEnd})
	defer l.close(closeShutdown)
	media := delivery{channel: minChannel, payload: make([]byte, 1196)}
	respond := func() { l.respond(make([]byte, 1200), memClient) }
	deliver := func() { l.deliver(nil, memClient, media) }
	fill := func(send func(), want int) {
		t.Helper()
		dropped := s.counters.dropped[dropQueueFull].Load()
		for s.counters.dropped[dropQueueFull].Load() == dropped {
			send()
		}
		if got := len(l.queue.pending); got > want || got < want-1200 {
			t.Errorf("%d bytes wait, want about %d", got, want)
		}
	}
	fill(deliver, 0)
	fill(respond, responseRoom)
	l.setAllocated(new(allocation))
	fill(deliver, maxQueued)
	fill(respond, maxQueued+responseRoom)
	if taken := l.queue.take(); len(taken) < maxQueued || l.queue.take() != nil {
		t.Errorf("took %d bytes at once", len(taken))
	}
	fill(deliver, maxQueued)
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
	s := newMemServer(t)
	listener := s.services[0].tcp
	accepted := make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var gates sync.WaitGroup
	gates.Go(func() { s.RunStreams(ctx) })
	go func() {
		defer close(accepted)
		s.accept(ctx, &failing{Listener: listener, left: 4})
	}()
	conn, err := net.Dial("tcp", listener.Addr().String())
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
	stop()
	s.Close()
	<-accepted
	gates.Wait()
	if got := s.counters.acceptErrors.Load(); got != 4 {
		t.Errorf("%d errors counted, want 4", got)
	}
}
