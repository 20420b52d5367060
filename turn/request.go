package turn

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
)

// The requests of TURN over UDP and TCP (RFC 8656 §17).
var (
	allocateRequest         = stun.NewType(stun.MethodAllocate, stun.ClassRequest)
	refreshRequest          = stun.NewType(stun.MethodRefresh, stun.ClassRequest)
	createPermissionRequest = stun.NewType(stun.MethodCreatePermission, stun.ClassRequest)
	channelBindRequest      = stun.NewType(stun.MethodChannelBind, stun.ClassRequest)
)

type requestState uint8

const (
	requestNone  requestState = iota
	requestReady              // has passed every check and waits for pion
	requestGiven              // pion is busy with it
)

// request is one request of a client, from its arrival to its answer.
type request struct {
	state  requestState
	link   link
	from   netip.AddrPort
	method stun.Method
	id     [stun.TransactionIDSize]byte
	retry  bool // it has been given to pion before, with a nonce that was too old

	unknown  stun.UnknownAttributes // what a 420 is about
	reached  bool                   // it has a nonce, of whatever age, that was issued to from
	identity *identity              // nil until the request has proven to come from user
	user     string
	key      []byte // nil until the request has proven to come from user

	allocation *allocation // of the client; of an Allocate, the one to be made
	fresh      bool        // the allocation is not pion's yet
	lifetime   time.Duration
	peers      []netip.AddrPort
	channel    uint16
	forgets    bool        // it is the gate's own, see forget
	only       *relay      // what a Refresh is to end, if not the whole allocation
	because    stun.Setter // the ERROR-CODE of a refusal, where it is not the code's own; or nil
}

// refusal is why a request is refused: a STUN error code, 0 for not at all.
type refusal = stun.ErrorCode

// admitRequest takes a request through every check. It is then refused, or
// left in g.request for pion.
func (g *gate) admitRequest() {
	g.request.allocation = g.request.link.allocation(g.request.from)
	if code := g.authenticate(time.Now()); code != 0 {
		g.challenge(code)
		return
	}
	dropUnsigned(&g.message)
	if code := g.check(); code != 0 {
		g.refuse(code)
		return
	}
	g.carryOut()
}

// carryOut does what the request at hand asks for, or leaves it for pion. The
// bindings are in place before the client knows of them, or its first packets
// would be lost. pion knows nothing of permissions and channels, nor of the
// second relayed address of an allocation: data passes it by.
func (g *gate) carryOut() {
	r := &g.request
	switch {
	case r.only != nil: // RFC 8656 §8.2
		r.only.end()
		g.succeed(lifetimeAttribute(0))
	case r.method == stun.MethodCreatePermission:
		r.allocation.permit(r.peers)
		g.succeed()
	case r.method == stun.MethodChannelBind:
		r.allocation.bind(r.channel, r.peers[0])
		g.succeed()
	default:
		r.state = requestReady
	}
}

// succeed answers the request at hand.
func (g *gate) succeed(attributes ...stun.Setter) {
	r := &g.request
	g.begin(r.id, stun.NewType(r.method, stun.ClassSuccessResponse))
	g.send(append(attributes, stun.MessageIntegrity(r.key))...)
}

// check holds an authenticated request against the RFC, the policy and the
// quotas.
func (g *gate) check() refusal {
	if g.request.unknown = unknownAttributes(&g.message); len(g.request.unknown) > 0 {
		return stun.CodeUnknownAttribute
	}
	if g.request.method == stun.MethodAllocate {
		return g.checkAllocate()
	}
	if g.request.allocation == nil {
		return stun.CodeAllocMismatch
	}
	if g.request.allocation.user != g.request.user {
		return stun.CodeWrongCredentials
	}
	switch g.request.method {
	case stun.MethodRefresh:
		return g.checkRefresh()
	case stun.MethodCreatePermission:
		return g.checkCreatePermission()
	default:
		return g.checkChannelBind()
	}
}

func (g *gate) checkRefresh() refusal {
	r := &g.request
	var ok bool
	if r.lifetime, ok = lifetimeOf(&g.message, true); !ok {
		return stun.CodeBadRequest
	}
	asked, ok := familyAsked(&g.message, stun.AttrRequestedAddressFamily)
	switch {
	case !ok:
		return stun.CodeBadRequest
	case asked == 0:
		return 0
	}
	var only *relay
	switch asked {
	case familyIPv4:
		only = r.allocation.relayFor(netip.IPv4Unspecified())
	case familyIPv6:
		only = r.allocation.relayFor(netip.IPv6Unspecified())
	}
	if only == nil {
		return stun.CodePeerAddrFamilyMismatch // RFC 8656 §8.2
	}
	if r.lifetime == 0 && r.allocation.relayFor(otherFamily(only.local.Addr())) != nil {
		r.only = only
	}
	return 0
}

func (g *gate) checkCreatePermission() refusal {
	r := &g.request
	var ok bool
	if r.peers, ok = peerAddresses(&g.message); !ok {
		return stun.CodeBadRequest
	}
	for i, peer := range r.peers {
		if !g.server.policy.mayPermit(r.user, peer) {
			return stun.CodeForbidden
		}
		if r.peers[i] = canonicalPort(peer); !r.reaches(peer) {
			return stun.CodePeerAddrFamilyMismatch
		}
	}
	if !r.allocation.checkPermissions(r.peers, g.server.config.MaxPermissions) {
		return stun.CodeInsufficientCapacity
	}
	return 0
}

func (g *gate) checkChannelBind() refusal {
	r := &g.request
	number, present, ok := fixed(&g.message, stun.AttrChannelNumber, 4)
	if !present || !ok {
		return stun.CodeBadRequest
	}
	r.channel = binary.BigEndian.Uint16(number)
	if r.channel < minChannel || r.channel > g.server.config.lastChannel() {
		return stun.CodeBadRequest
	}
	if r.peers, ok = peerAddresses(&g.message); !ok || len(r.peers) != 1 {
		return stun.CodeBadRequest
	}
	if !g.server.policy.mayReach(r.user, r.peers[0]) {
		return stun.CodeForbidden
	}
	if !r.reaches(r.peers[0]) {
		return stun.CodePeerAddrFamilyMismatch
	}
	r.peers[0] = canonicalPort(r.peers[0])
	if !r.allocation.checkPermissions(r.peers, g.server.config.MaxPermissions) {
		return stun.CodeInsufficientCapacity
	}
	return r.allocation.checkChannel(r.channel, r.peers[0], g.server.config.MaxChannels)
}

// reaches says whether peer, as the client wrote it, is of the family of a
// relayed address. An IPv4 address in IPv6 notation is of neither.
func (r *request) reaches(peer netip.AddrPort) bool {
	return r.allocation.relayFor(peer.Addr()) != nil && canonical(peer.Addr()) == peer.Addr()
}

// familyAsked reads REQUESTED-ADDRESS-FAMILY or ADDITIONAL-ADDRESS-FAMILY: 0
// when there is none; ok is false when it is malformed. The family may be one
// that nobody knows.
func familyAsked(m *stun.Message, attribute stun.AttrType) (asked byte, ok bool) {
	value, present, ok := fixed(m, attribute, 4)
	if !present || !ok {
		return 0, ok
	}
	return value[0], value[0] != 0
}

// otherFamily is the unspecified address of the family that addr is not of.
func otherFamily(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}
