package turn

import (
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
			PermissionHandler:     func(net.Addr, net.IP) bool { return true }, // asked in check
		}},
		ChannelBindTimeout: channelLifetime,
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
	if g.busy.Lock(); g.request.allocation.relay.isClosed() {
		g.busy.Unlock()
		g.refuse(stun.CodeAllocMismatch)
		return 0, nil, false
	}
	m, err := g.engineRequest()
	if err != nil {
		g.busy.Unlock()
		g.server.failures.Warn("request not handed over", "remote", g.request.from, "err", err)
		g.refuse(stun.CodeServerError)
		return 0, nil, false
	}
	g.given = true
	g.request.state = requestGiven
	g.tuple = g.request.allocation.tuple
	return copy(p, m.Raw), netAddr(g.transport, g.request.from), true
}

// engineRequest writes the request anew with what pion needs to know, so that
// it never sees what a client wrote.
func (g *gate) engineRequest() (*stun.Message, error) {
	r := &g.request
	attributes := []stun.Setter{
		stun.NewTransactionIDSetter(r.id), stun.NewType(r.method, stun.ClassRequest),
	}
	switch r.method {
	case stun.MethodAllocate:
		attributes = append(attributes, lifetimeAttribute(r.lifetime),
			stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{protocolUDP, 0, 0, 0}})
	case stun.MethodRefresh:
		attributes = append(attributes, lifetimeAttribute(r.lifetime))
	case stun.MethodChannelBind:
		attributes = append(attributes, stun.RawAttribute{
			Type: stun.AttrChannelNumber, Value: []byte{byte(r.channel >> 8), byte(r.channel), 0, 0},
		})
	}
	for _, peer := range r.peers {
		attributes = append(attributes, peerAddress(peer))
	}
	return stun.Build(append(attributes,
		stun.NewUsername(r.username), stun.NewRealm(g.server.config.Realm),
		stun.NewNonce(g.engine.value), stun.MessageIntegrity(r.key))...)
}

// peerAddress writes XOR-PEER-ADDRESS.
type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	addr := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: addr.Addr().AsSlice(), Port: int(addr.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}

// respond takes pion's answer to the request at hand, makes what it says true
// here, and sends it. The bindings are in place before the client knows of
// them, or its first packets would be lost.
func (g *gate) respond(raw []byte) {
	m := new(stun.Message)
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
	g.commit()
	if r.method == stun.MethodAllocate && r.allocation.token != nil {
		raw = withToken(m, *r.allocation.token, r.key)
	}
	r.state = requestNone
	g.link.write(raw, r.from, true)
}

// commit makes the request at hand true.
func (g *gate) commit() {
	r := &g.request
	switch r.method {
	case stun.MethodAllocate:
		if r.fresh {
			r.allocation.refreshed(r.lifetime)
		}
	case stun.MethodRefresh:
		r.allocation.refreshed(r.lifetime)
	case stun.MethodCreatePermission:
		r.allocation.permit(r.peers)
	case stun.MethodChannelBind:
		r.allocation.bind(r.channel, r.peers[0])
	}
}

// withToken adds a RESERVATION-TOKEN to a response and signs it again.
func withToken(m *stun.Message, token reservationToken, key []byte) []byte {
	setters := []stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), m.Type}
	for _, a := range m.Attributes {
		if a.Type != stun.AttrMessageIntegrity {
			setters = append(setters, a)
		}
	}
	signed, err := stun.Build(append(setters,
		stun.RawAttribute{Type: stun.AttrReservationToken, Value: token[:]}, stun.MessageIntegrity(key))...)
	if err != nil {
		return m.Raw
	}
	return signed.Raw
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
	g.refuse(attribute.Code)
}

// settle answers for pion when it has returned to reading without an answer:
// it ends silently when an allocation expires while it is refreshed.
func (g *gate) settle() {
	if g.given {
		g.given = false
		g.busy.Unlock()
	}
	if g.engine.asked {
		g.engine = engineNonce{}
		if g.request.state == requestReady {
			g.refuse(stun.CodeServerError)
		}
	}
	if g.request.state != requestGiven {
		return
	}
	if g.request.method == stun.MethodAllocate {
		g.refuse(stun.CodeServerError)
	} else {
		g.refuse(stun.CodeAllocMismatch)
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
	return r.allocation.relay, net.UDPAddrFromAddrPort(r.allocation.relayed), nil
}

// AllocateConn is part of pion's RelayAddressGenerator (RFC 6062).
func (g *gate) AllocateConn(string, int) (net.Conn, net.Addr, error) {
	return nil, nil, errNoTCPRelay
}
