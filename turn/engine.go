package turn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
	pionturn "github.com/pion/turn/v3"
)

// engineNonce is a nonce that pion made. Clients authenticate with nonces of
// ours; what is handed to pion carries one of its own and is signed again.
type engineNonce struct {
	value string
	since time.Time
	asked bool // pion is being asked for a new one
}

// engineNonceRenewal is half of what pion accepts.
const engineNonceRenewal = 30 * time.Minute

// nobody is the client that a nonce is asked for. No message comes from port 0.
var nobody = &net.UDPAddr{IP: net.IPv4zero}

func (g *gate) engineConfig() pionturn.ServerConfig {
	return pionturn.ServerConfig{
		Realm:         g.server.config.Realm,
		AuthHandler:   g.engineKey,
		LoggerFactory: pionLog{g.server.failures},
		InboundMTU:    readRoom,
		PacketConnConfigs: []pionturn.PacketConnConfig{{
			PacketConn:            g,
			RelayAddressGenerator: g,
		}},
	}
}

// engineKey is pion's AuthHandler. The request has been authenticated.
func (g *gate) engineKey(string, string, net.Addr) ([]byte, bool) {
	return g.request.key, g.request.key != nil
}

// handOver writes the request at hand into p for pion, or before that a
// question for a nonce. A request that cannot be written is refused.
func (g *gate) handOver(p []byte) (n int, client net.Addr, ok bool) {
	if g.engine.value == "" || time.Since(g.engine.since) > engineNonceRenewal {
		g.engine = engineNonce{asked: true}
		question := stun.MustBuild(stun.TransactionID, allocateRequest)
		return copy(p, question.Raw), nobody, true
	}
	if err := g.engineRequest(); err != nil {
		g.server.failures.Warn("request not handed over", "remote", g.request.from, "err", err)
		g.fail(stun.CodeServerError)
		return 0, nil, false
	}
	g.request.state = requestGiven
	g.tuple = g.request.allocation.tuple
	return copy(p, g.out.Raw), netAddr(g.request.link.transport(), g.request.from), true
}

// engineRequest writes the request anew, into g.out, with what pion needs to
// know, so that it never sees what a client wrote.
func (g *gate) engineRequest() error {
	r, m := &g.request, &g.out
	g.begin(r.id, stun.NewType(r.method, stun.ClassRequest))
	lifetime := r.lifetime
	if r.method == stun.MethodAllocate {
		m.Add(stun.AttrRequestedTransport, []byte{protocolUDP, 0, 0, 0})
	}
	if lifetime > 0 || r.method == stun.MethodAllocate {
		lifetime += engineMargin
	}
	addLifetime(m, lifetime)
	// pion wants these to be there and looks at the nonce alone: who it is for
	// is known here, and short ones make short messages for pion to copy.
	m.Add(stun.AttrUsername, engineName)
	m.Add(stun.AttrRealm, engineName)
	if err := stun.NewNonce(g.engine.value).AddTo(m); err != nil {
		return err
	}
	return stun.MessageIntegrity(r.key).AddTo(m)
}

// engineName is every user and realm that pion knows of.
var engineName = []byte("-")

// begin begins a message in g.out.
func (g *gate) begin(id [stun.TransactionIDSize]byte, kind stun.MessageType) {
	m := &g.out
	m.Reset()
	m.TransactionID, m.Type = id, kind
	m.WriteHeader()
}

func addLifetime(m *stun.Message, d time.Duration) {
	var seconds [4]byte
	binary.BigEndian.PutUint32(seconds[:], uint32(d/time.Second))
	m.Add(stun.AttrLifetime, seconds[:])
}

// relayedAddress writes XOR-RELAYED-ADDRESS.
type relayedAddress netip.AddrPort

func (r relayedAddress) AddTo(m *stun.Message) error {
	addr := netip.AddrPort(r)
	return stun.XORMappedAddress{IP: addr.Addr().AsSlice(), Port: int(addr.Port())}.AddToAs(m, stun.AttrXORRelayedAddress)
}

// addressError is the family of two that was not to be had, and why: an
// ADDRESS-ERROR-CODE (RFC 8656 §18.12). Without a code there is none.
type addressError struct {
	family byte
	code   refusal
}

func (e addressError) AddTo(m *stun.Message) error {
	m.Add(attrAddressErrorCode, []byte{e.family, 0, byte(e.code / 100), byte(e.code % 100)})
	return nil
}

// respond takes pion's answer to the request at hand, an Allocate or a Refresh,
// makes what it says true here, and sends it with what pion does not know.
func (g *gate) respond(raw []byte) {
	m := &g.answer
	if _, err := m.Write(raw); err != nil {
		g.server.failures.Warn("pion response not readable", "err", err)
		return
	}
	if g.engine.asked {
		var nonce stun.Nonce
		if nonce.GetFrom(m) == nil {
			g.engine = engineNonce{value: nonce.String(), since: time.Now()}
		}
		return
	}
	r := &g.request
	if m.Type.Class == stun.ClassErrorResponse {
		g.engineRefused(m)
		return
	}
	r.state = requestNone
	if r.forgets {
		return
	}
	if r.method == stun.MethodRefresh || r.fresh {
		r.allocation.refreshed(r.lifetime)
	}
	r.link.respond(g.complete(m), r.from)
}

// complete corrects the success response to an Allocate or a Refresh: our
// lifetime in place of pion's, and what pion does not know of, the second
// relayed address or the reason why there is none, and a RESERVATION-TOKEN. It
// signs the response again.
func (g *gate) complete(m *stun.Message) []byte {
	r, out := &g.request, &g.out
	g.begin(m.TransactionID, m.Type)
	for _, attribute := range m.Attributes {
		if attribute.Type != stun.AttrMessageIntegrity && attribute.Type != stun.AttrLifetime {
			out.Add(attribute.Type, attribute.Value)
		}
	}
	addLifetime(out, r.lifetime)
	if r.method == stun.MethodAllocate {
		for _, extra := range r.allocation.extras() {
			if extra.AddTo(out) != nil {
				return m.Raw
			}
		}
	}
	if stun.MessageIntegrity(r.key).AddTo(out) != nil {
		return m.Raw
	}
	return out.Raw
}

// extras are what the client is told of an allocation that pion does not know.
func (a *allocation) extras() (more []stun.Setter) {
	if a.relays[0] != nil && a.relays[1] != nil {
		more = append(more, relayedAddress(a.relays[1].relayed))
	}
	if a.missing.code != 0 {
		more = append(more, a.missing)
	}
	if a.token != nil {
		more = append(more, stun.RawAttribute{Type: stun.AttrReservationToken, Value: a.token[:]})
	}
	return more
}

// engineRefused takes an error from pion. Its nonce may have become too old
// because the clock was set; then the request is given to it again. Any other
// error is passed on in a form of ours.
func (g *gate) engineRefused(m *stun.Message) {
	var attribute stun.ErrorCodeAttribute
	if attribute.GetFrom(m) != nil {
		attribute.Code = stun.CodeServerError
	}
	if attribute.Code == stun.CodeStaleNonce && !g.request.retry {
		g.engine.value = ""
		g.request.retry = true
		g.request.state = requestReady
		return
	}
	g.fail(attribute.Code)
}

// forget has pion forget an allocation that has been ended here: it is given a
// Refresh of 0 that no client has sent (RFC 8656 §7.3).
func (g *gate) forget(a *allocation) {
	g.request = request{
		state: requestReady, link: a.link, from: a.client, method: stun.MethodRefresh, id: stun.NewTransactionID(),
		key: forgetKey, allocation: a, forgets: true,
	}
}

// forgetKey signs what only pion sees, and believes by engineKey.
var forgetKey = []byte("forget")

// fail answers the request at hand with an error of pion's or ours. If it is of
// no client, pion may keep what it should forget until the lifetime ends.
func (g *gate) fail(code refusal) {
	if g.request.forgets {
		g.request.state = requestNone
		g.server.failures.Warn("allocation not forgotten", "alloc", g.request.allocation.id, "reason", int(code))
		return
	}
	g.refuse(code)
}

// settle answers for pion when it has returned to reading without an answer:
// it ends silently when an allocation expires while it is refreshed.
func (g *gate) settle() {
	if g.engine.asked {
		g.engine = engineNonce{}
		if g.request.state == requestReady {
			g.fail(stun.CodeServerError)
		}
	}
	if g.request.state != requestGiven {
		return
	}
	if g.request.method == stun.MethodAllocate {
		g.fail(stun.CodeServerError)
	} else {
		g.fail(stun.CodeAllocMismatch)
	}
}

// Validate is part of pion's RelayAddressGenerator.
func (g *gate) Validate() error { return nil }

var (
	errNotPrepared = errors.New("no allocation has been prepared")
	errNoTCPRelay  = errors.New("tcp allocations are not served")
)

// AllocatePacketConn gives pion the relay socket that prepare has bound.
func (g *gate) AllocatePacketConn(string, int) (net.PacketConn, net.Addr, error) {
	r := &g.request
	if !r.fresh || r.state != requestGiven {
		return nil, nil, errNotPrepared
	}
	g.begun(r.allocation)
	return r.allocation.conn, net.UDPAddrFromAddrPort(r.allocation.first().relayed), nil
}

// AllocateConn is part of pion's RelayAddressGenerator (RFC 6062).
func (g *gate) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errNoTCPRelay
}
