package turn

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v2"
	pionturn "github.com/pion/turn/v3"
)

// readRoom is the size of pion's read buffer: a message, and what handing it
// over may add (engineRequest).
const readRoom = maxMessage + 512

// responseByte is what the responses of all methods begin with: of the first
// byte of a message only the upper bit of the class is set (RFC 8489 §5).
const responseByte = 0x01

// gate stands between one link and the pion server that serves it, as the
// net.PacketConn of that server. pion runs allocations and their lifetimes;
// the gate does what pion does wrong or not at all. It answers whatever can be
// answered without an allocation, authenticates every request, checks it
// against the policy and the quotas, and hands over only what pion will accept.
//
// pion handles a request and writes its answer between two calls of ReadFrom,
// in one goroutine. So the gate always knows what an answer belongs to, and
// the fields below request have no other user and need no lock.
type gate struct {
	server    *Server
	link      link
	transport string
	local     netip.AddrPort // the address of the relay that clients speak to

	ended  chan struct{}  // closed when pion's read loop is about to return
	relays sync.WaitGroup // relayConns that pion has not let go of

	message stun.Message // the message that is looked at
	request request      // what pion is busy with, or will be next
	engine  engineNonce
	tuple   net.Addr // what LocalAddr is for the message at hand
	given   bool     // busy is held

	busy sync.Mutex // held while pion works on a request; see end

	mu          sync.RWMutex
	allocations map[netip.AddrPort]*allocation // by client
}

var (
	_ net.PacketConn                 = (*gate)(nil)
	_ pionturn.RelayAddressGenerator = (*gate)(nil)
)

func newGate(s *Server, l link, transport string, local netip.AddrPort) *gate {
	return &gate{
		server: s, link: l, transport: transport, local: local,
		ended:       make(chan struct{}),
		tuple:       tupleOf(0),
		allocations: map[netip.AddrPort]*allocation{},
	}
}

// serve answers clients until the link ends and all its allocations with it.
// The pion server is made for the first request that needs one: a stranger
// who connects and never signs in costs no more than the connection.
func (g *gate) serve() error {
	p := make([]byte, readRoom)
	for g.request.state != requestReady {
		n, from, ok := g.link.read(p)
		if !ok {
			return nil
		}
		g.admit(p[:n], from)
	}
	if _, err := pionturn.NewServer(g.engineConfig()); err != nil {
		g.refuse(stun.CodeServerError)
		return fmt.Errorf("start pion server: %w", err)
	}
	<-g.ended
	g.relays.Wait()
	return nil
}

// ReadFrom gives pion its next message: data of a client with an allocation,
// or a request that has passed every check.
func (g *gate) ReadFrom(p []byte) (int, net.Addr, error) {
	g.settle()
	for {
		if g.request.state == requestReady {
			if n, client, ok := g.handOver(p); ok {
				return n, client, nil
			}
		}
		n, from, ok := g.link.read(p)
		if !ok {
			close(g.ended)
			return 0, nil, net.ErrClosed
		}
		if client := g.admit(p[:n], from); client != nil {
			return n, client, nil
		}
	}
}

// admit looks at one message of a client. It returns the client's address if
// the message is data for pion, and leaves a request for pion in g.request.
func (g *gate) admit(raw []byte, from netip.AddrPort) net.Addr {
	switch {
	case len(raw) > 0 && raw[0] < 0x40:
		return g.admitSTUN(raw, from)
	case len(raw) > 0 && raw[0] < 0x80:
		return g.admitChannelData(raw, from)
	}
	g.drop(dropMalformed)
	return nil
}

func (g *gate) admitChannelData(raw []byte, from netip.AddrPort) net.Addr {
	number, ok := parseChannelData(raw)
	if !ok {
		g.drop(dropMalformed)
		return nil
	}
	a := g.allocation(from)
	switch {
	case a == nil:
		g.drop(dropNoAllocation)
	case !a.isBound(number):
		g.drop(dropNoChannel)
	default:
		return g.data(a)
	}
	return nil
}

func (g *gate) admitSTUN(raw []byte, from netip.AddrPort) net.Addr {
	m := &g.message
	if !parseSTUN(m, raw) {
		g.drop(dropMalformed)
		return nil
	}
	switch m.Type {
	case stun.BindingRequest:
		g.answerBinding(from)
	case stun.NewType(stun.MethodBinding, stun.ClassIndication):
		// A keep-alive (RFC 8489 §6.3.2).
	case stun.NewType(stun.MethodSend, stun.ClassIndication):
		return g.admitSend(from)
	case allocateRequest, refreshRequest, createPermissionRequest, channelBindRequest:
		g.admitRequest(from)
	default:
		g.drop(dropUnexpected)
	}
	return nil
}

// admitSend checks a Send indication (RFC 8656 §11.2). There is no answer to
// one, whatever is wrong with it.
func (g *gate) admitSend(from netip.AddrPort) net.Addr {
	peers, ok := peerAddresses(&g.message)
	if !ok || !g.message.Contains(stun.AttrData) || len(unknownAttributes(&g.message)) > 0 {
		g.drop(dropMalformed)
		return nil
	}
	a := g.allocation(from)
	switch {
	case a == nil:
		g.drop(dropNoAllocation)
	case !a.permitted(canonical(peers[0].Addr())):
		g.drop(dropNoPermission)
	default:
		return g.data(a)
	}
	return nil
}

// data lets pion find the allocation of a message.
func (g *gate) data(a *allocation) net.Addr {
	g.tuple = a.tuple
	return a.clientAddr
}

// WriteTo takes what pion sends. Data, which comes from the goroutines of the
// allocations, goes out as it is; a response is of the request at hand.
func (g *gate) WriteTo(p []byte, addr net.Addr) (int, error) {
	if len(p) > 0 && p[0] == responseByte {
		g.respond(p)
	} else {
		g.link.write(p, addrPortOf(addr), false)
	}
	return len(p), nil
}

func (g *gate) allocation(client netip.AddrPort) *allocation {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.allocations[client]
}

func (g *gate) drop(reason dropReason) { g.server.counters.drop(reason) }

// Close ends the link. pion's server would call it; we close links ourselves.
func (g *gate) Close() error {
	g.link.close(closeShutdown)
	return nil
}

// LocalAddr is the relay's half of the 5-tuple by which pion knows the
// allocation of the message at hand. It is one of its own for each allocation:
// the goroutine in which pion reads a relayed address ends by deleting whatever
// allocation its 5-tuple has by then, and that may be the client's next one.
func (g *gate) LocalAddr() net.Addr { return g.tuple }

// tupleOf makes an address out of an allocation's number.
func tupleOf(id uint64) net.Addr {
	ip := make(net.IP, net.IPv6len)
	ip[0] = 0xfd
	binary.BigEndian.PutUint64(ip[8:], id)
	return &net.UDPAddr{IP: ip}
}

// The deadlines of a link are its own affair; pion sets none.
func (g *gate) SetDeadline(time.Time) error      { return nil }
func (g *gate) SetReadDeadline(time.Time) error  { return nil }
func (g *gate) SetWriteDeadline(time.Time) error { return nil }

func netAddr(transport string, addr netip.AddrPort) net.Addr {
	if transport == transportTCP {
		return net.TCPAddrFromAddrPort(addr)
	}
	return net.UDPAddrFromAddrPort(addr)
}
