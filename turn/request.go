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
	from   netip.AddrPort
	method stun.Method
	id     [stun.TransactionIDSize]byte
	retry  bool // it has been given to pion before, with a nonce that was too old

	identity *identity // nil until the request has proven to come from user
	username string
	user     string
	key      []byte // nil until the request has proven to come from user

	allocation *allocation // of the client; of an Allocate, the one to be made
	fresh      bool        // the allocation is not pion's yet
	lifetime   time.Duration
	peers      []netip.AddrPort
	channel    uint16
}

// refusal is why a request is refused: a STUN error code, 0 for not at all.
type refusal = stun.ErrorCode

// admitRequest takes a request through every check. It is then refused, or
// left in g.request for pion.
func (g *gate) admitRequest(from netip.AddrPort) {
	g.request = request{
		from: from, method: g.message.Type.Method, id: g.message.TransactionID,
		allocation: g.allocation(from),
	}
	if code := g.authenticate(time.Now()); code != 0 {
		g.challenge(code)
		return
	}
	dropUnsigned(&g.message)
	if code := g.check(); code != 0 {
		g.refuse(code)
		return
	}
	g.request.state = requestReady
}

// check holds an authenticated request against the RFC, the policy and the
// quotas.
func (g *gate) check() refusal {
	if len(unknownAttributes(&g.message)) > 0 {
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
	if family, ok := g.familyAsked(r.allocation.local.Addr()); !ok {
		return stun.CodeBadRequest
	} else if !family {
		return stun.CodePeerAddrFamilyMismatch // RFC 8656 §8.2
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

// reaches says whether peer, as the client wrote it, is of the family of the
// relayed address. An IPv4 address in IPv6 notation is of neither.
func (r *request) reaches(peer netip.AddrPort) bool {
	return peer.Addr().Is4() == r.allocation.local.Addr().Is4() && canonical(peer.Addr()) == peer.Addr()
}

// familyAsked says whether a REQUESTED-ADDRESS-FAMILY, if there is one, is
// that of addr; ok is false when it is malformed.
func (g *gate) familyAsked(addr netip.Addr) (same, ok bool) {
	value, present, ok := fixed(&g.message, stun.AttrRequestedAddressFamily, 4)
	if !present || !ok {
		return true, ok
	}
	return value[0] == familyIPv4 && addr.Is4() || value[0] == familyIPv6 && addr.Is6(), true
}
