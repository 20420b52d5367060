package turn

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"

	"github.com/pion/stun/v2"

	"signalbox/turn/internal/udpio"
)

// The data plane: what happens to each packet between a client and a peer. The
// loops call it, and the readers of stream connections. It allocates nothing,
// and the one lock that a packet may meet is that of the queue of a stream
// connection.

// toPeer takes data for a peer. last is where the verdict on that peer is kept;
// whole forbids to send it in fragments (RFC 8656 §14).
func (a *allocation) toPeer(b *udpio.Batch, peer netip.AddrPort, last *reach, payload []byte, tos uint8, whole bool) {
	v := a.server.policy.judge(a.user, peer, last)
	if v.is(isInside) && !v.is(isRefused) {
		if other := a.server.registry.relayed.find(peer); other != nil {
			a.toCaller(b, other, payload, tos)
			return
		}
	}
	r := a.relayFor(peer.Addr())
	switch {
	case v.is(isRefused) || !v.is(isAllowed) || peer.Port() == 0:
		a.server.drop(dropPeerDenied)
	case r == nil:
		a.server.drop(dropNoFamily)
	case !a.spend(b, len(payload)):
	default:
		b.Send(r.socket, udpio.Packet{To: peer, TOS: tos, Payload: payload, Whole: whole, Meters: [2]*udpio.Meter{&a.toPeers}})
	}
}

// toCaller takes data for another caller of this relay straight to it, as if it
// had gone out of one relayed address and in at the other. No socket of either
// is touched, so that it works when a firewall leaves only the clients' port open.
func (a *allocation) toCaller(b *udpio.Batch, other *relay, payload []byte, tos uint8) {
	from := a.relayFor(other.local.Addr())
	if from == nil {
		a.server.drop(dropNoFamily)
		return
	}
	if !other.allocation.admits(b, from.relayed) || !a.spend(b, len(payload)) {
		return
	}
	if !other.allocation.spend(b, len(payload)) {
		a.toPeers.Lose(len(payload))
		return
	}
	other.allocation.toLink(b, delivery{
		peer: from.relayed, payload: payload, tos: tos,
		meters: [2]*udpio.Meter{&a.toPeers, &other.allocation.toClient},
	})
}

// fromPeer takes data of a peer to the client.
func (a *allocation) fromPeer(b *udpio.Batch, d delivery) {
	if a.admits(b, d.peer) && a.spend(b, len(d.payload)) {
		a.toLink(b, d)
	}
}

// admits says whether a peer may send to the client, or counts a drop.
func (a *allocation) admits(b *udpio.Batch, peer netip.AddrPort) bool {
	p, _ := a.permissionFor(peer.Addr())
	if p == nil || a.clock.at(b.Now()) >= p.until.Load() {
		a.server.drop(dropNoPermission)
		return false
	}
	if !a.server.policy.allows(a.user, peer, &p.reach) {
		a.server.drop(dropPeerDenied)
		return false
	}
	return true
}

// toLink sends data of a peer to the client, on the channel that is bound to
// the peer or else in a Data indication (RFC 8656 §11.3, §12.7).
func (a *allocation) toLink(b *udpio.Batch, d delivery) {
	if c, _ := a.channelByPeer(d.peer); c != nil && a.clock.at(b.Now()) < c.until.Load() {
		d.channel = c.number
	}
	a.link.deliver(b, a.client, d)
}

// spend takes payload from the quotas, or counts a drop. What is not sent after
// all comes back by the meter that would have counted it.
func (a *allocation) spend(b *udpio.Batch, bytes int) bool {
	if !a.grant.limited() {
		return true
	}
	reason, ok := a.grant.spend(bytes, a.server.quotas.at(b.Now()))
	if !ok {
		a.server.drop(reason)
	}
	return ok
}

// channelData takes a ChannelData message of the client (RFC 8656 §12.6).
func (a *allocation) channelData(b *udpio.Batch, raw []byte, tos uint8) {
	number, size, ok := parseChannelData(raw)
	if !ok {
		a.server.drop(dropMalformed)
		return
	}
	c, _ := a.channelByNumber(number)
	if c == nil || a.clock.at(b.Now()) >= c.until.Load() {
		a.server.drop(dropNoChannel)
		return
	}
	a.toPeer(b, c.peer, &c.reach, raw[channelHeader:channelHeader+size], tos, false)
}

// sendIndication takes a Send indication of the client (RFC 8656 §11.2).
func (a *allocation) sendIndication(b *udpio.Batch, raw []byte, tos uint8) {
	ind, ok := parseSend(raw)
	if !ok {
		a.server.drop(dropMalformed)
		return
	}
	peer := canonicalPort(ind.peer)
	p, _ := a.permissionFor(peer.Addr())
	if p == nil || a.clock.at(b.Now()) >= p.until.Load() {
		a.server.drop(dropNoPermission)
		return
	}
	a.toPeer(b, peer, &p.reach, ind.data, tos, ind.dontFragment)
}

// newTransactionID makes an id for an indication, which nobody answers.
func newTransactionID() (id [stun.TransactionIDSize]byte) {
	binary.LittleEndian.PutUint64(id[:8], rand.Uint64())
	binary.LittleEndian.PutUint32(id[8:], rand.Uint32())
	return id
}
