package turn

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v2"
	pionturn "github.com/pion/turn/v3"
)

const (
	// readRoom is the size of pion's read buffer: a message, and what handing
	// it over may add (engineRequest).
	readRoom = maxMessage + 512

	// maxRequests is how many requests may wait for a gate. Over UDP one more
	// is dropped, and the client sends it again.
	maxRequests = 256
)

// responseByte is what the responses of all methods begin with: of the first
// byte of a message only the upper bit of the class is set (RFC 8489 §5).
const responseByte = 0x01

// gate is the control plane of one UDP socket, or of many connections. It
// answers the requests of clients one after another, with a pion server behind
// it that runs allocations and their lifetimes. The gate does what pion does
// wrong or not at all: it answers whatever can be answered without an
// allocation, authenticates every request, checks it against the policy and
// the quotas, and hands over only what pion will accept.
//
// pion handles a request and writes its answer between two calls of ReadFrom,
// in one goroutine. So the gate always knows what an answer belongs to, and
// the fields from message on have no other user and need no lock.
type gate struct {
	server  *Server
	queue   chan arrival
	ending  chan ending
	stopped chan struct{}  // closed when no more requests are to be answered
	ended   chan struct{}  // closed when pion's read loop is about to return
	relays  sync.WaitGroup // relayConns that pion has not let go of

	message stun.Message // the message that is looked at
	answer  stun.Message // what pion has answered
	out     stun.Message // what is written to the client, or to pion
	request request      // what pion is busy with, or will be next
	engine  engineNonce
	tuple   net.Addr // what LocalAddr is for the message at hand
}

// arrival is a message that waits for a gate.
type arrival struct {
	link link
	from netip.AddrPort
	raw  *[]byte // from arrivals
}

// ending is an allocation that is to end.
type ending struct {
	a       *allocation
	expired bool // only if its lifetime is over by then
	// only, if valid, ends the relayed addresses that are on it and leaves the
	// allocation to any other.
	only netip.Addr
	done chan<- struct{}
}

// arrivals are the buffers of messages that wait.
var arrivals = sync.Pool{New: func() any { return new([]byte) }}

var (
	_ net.PacketConn                 = (*gate)(nil)
	_ pionturn.RelayAddressGenerator = (*gate)(nil)
)

func newGate(s *Server) *gate {
	return &gate{
		server: s, queue: make(chan arrival, maxRequests), ending: make(chan ending),
		stopped: make(chan struct{}), ended: make(chan struct{}),
		tuple: tupleOf(0),
	}
}

// offer has the gate answer a message, of which it makes a copy; false when
// too many wait. Any goroutine may call it.
func (g *gate) offer(l link, from netip.AddrPort, raw []byte) bool {
	a := newArrival(l, from, raw)
	select {
	case g.queue <- a:
		return true
	default:
		arrivals.Put(a.raw)
		return false
	}
}

// offerWait is offer for a connection, whose client may be kept waiting.
func (g *gate) offerWait(l link, from netip.AddrPort, raw []byte, closed <-chan struct{}) {
	a := newArrival(l, from, raw)
	select {
	case g.queue <- a:
	case <-g.stopped:
	case <-closed:
	}
}

func newArrival(l link, from netip.AddrPort, raw []byte) arrival {
	kept := arrivals.Get().(*[]byte)
	*kept = append((*kept)[:0], raw...)
	return arrival{l, from, kept}
}

// end has the gate end an allocation between two requests, and waits for it. Any
// goroutine may call it but the gate's own. pion panics when an allocation is
// closed in the middle of a request for it.
func (g *gate) end(a *allocation, expired bool) { g.await(ending{a: a, expired: expired}) }

// endOn is end for the relayed addresses of an allocation that are on an
// address, and for the allocation if it has no other.
func (g *gate) endOn(addr netip.Addr, a *allocation) { g.await(ending{a: a, only: addr}) }

func (g *gate) await(e ending) {
	done := make(chan struct{})
	e.done = done
	select {
	case g.ending <- e:
		<-done
	case <-g.stopped: // which ends all
	}
}

// run answers requests until ctx is cancelled, and ends all allocations. The
// pion server is made for the first request that needs one.
func (g *gate) run(ctx context.Context) error {
	stop := sync.OnceFunc(func() { close(g.stopped) })
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	for g.request.state != requestReady {
		if !g.next() {
			return nil
		}
	}
	if _, err := pionturn.NewServer(g.engineConfig()); err != nil {
		g.refuse(stun.CodeServerError)
		return fmt.Errorf("start pion server: %w", err)
	}
	<-g.ended
	g.relays.Wait()
	return nil
}

// next looks at one message; false when there will be no more.
func (g *gate) next() bool {
	select {
	case <-g.stopped:
		return false
	default:
	}
	select {
	case a := <-g.queue:
		g.admit(a)
		arrivals.Put(a.raw)
		return true
	case e := <-g.ending:
		g.take(e)
		close(e.done)
		return true
	case <-g.stopped:
		return false
	}
}

// take ends what is to end.
func (g *gate) take(e ending) {
	switch {
	case g.server.registry.byID(e.a.id) == nil: // ended meanwhile
	case e.only.IsValid() && e.a.endOn(e.only):
	case e.expired && !e.a.expiredAt(time.Now()):
	default:
		_ = e.a.conn.Close() // never fails
		g.forget(e.a)
	}
}

// ReadFrom gives pion its next request, one that has passed every check.
func (g *gate) ReadFrom(p []byte) (int, net.Addr, error) {
	g.settle()
	for {
		if g.request.state == requestReady {
			if n, client, ok := g.handOver(p); ok {
				return n, client, nil
			}
		}
		if !g.next() {
			close(g.ended)
			return 0, nil, net.ErrClosed
		}
	}
}

// admit looks at one message of a client. It leaves a request for pion in
// g.request.
func (g *gate) admit(a arrival) {
	m := &g.message
	if !parseSTUN(m, *a.raw) {
		g.server.drop(dropMalformed)
		return
	}
	g.request = request{link: a.link, from: a.from, method: m.Type.Method, id: m.TransactionID}
	switch m.Type {
	case stun.BindingRequest:
		g.answerBinding()
	case stun.NewType(stun.MethodBinding, stun.ClassIndication):
		// A keep-alive (RFC 8489 §6.3.2).
	case allocateRequest, refreshRequest, createPermissionRequest, channelBindRequest:
		g.admitRequest()
	default:
		g.server.drop(dropUnexpected)
	}
}

// WriteTo takes what pion sends: a response to the request at hand.
func (g *gate) WriteTo(p []byte, _ net.Addr) (int, error) {
	if len(p) > 0 && p[0] == responseByte {
		g.respond(p)
	}
	return len(p), nil
}

// Close is pion's way to stop listening, which it does not use; run ends by ctx.
func (g *gate) Close() error { return nil }

// LocalAddr is the relay's half of the 5-tuple by which pion knows the
// allocation of the message at hand. It is one of its own for each allocation:
// a gate may serve several addresses, and a client two of them from one of its
// own.
func (g *gate) LocalAddr() net.Addr { return g.tuple }

// tupleOf makes an address out of an allocation's number.
func tupleOf(id uint64) net.Addr {
	ip := make(net.IP, net.IPv6len)
	ip[0] = 0xfd
	binary.BigEndian.PutUint64(ip[8:], id)
	return &net.UDPAddr{IP: ip}
}

// Requests wait without a deadline; pion sets none.
func (g *gate) SetDeadline(time.Time) error      { return nil }
func (g *gate) SetReadDeadline(time.Time) error  { return nil }
func (g *gate) SetWriteDeadline(time.Time) error { return nil }

func netAddr(transport string, addr netip.AddrPort) net.Addr {
	if transport == transportUDP {
		return net.UDPAddrFromAddrPort(addr)
	}
	return net.TCPAddrFromAddrPort(addr)
}
