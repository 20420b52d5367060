package turn

import (
	"cmp"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn/internal/udpio"
)

// dropReason says why a message or datagram went no further. The names are
// metric labels.
type dropReason uint8

const (
	dropMalformed     dropReason = iota // neither STUN nor ChannelData, or broken inside
	dropOversize                        // larger than maxMessage
	dropUnexpected                      // a method or class that a client does not send
	dropNoAllocation                    // data from a client without an allocation
	dropNoChannel                       // data on a channel that is not bound
	dropNoPermission                    // data to or from a peer without a permission
	dropPeerDenied                      // data to or from a peer that the policy refuses
	dropChallengeRate                   // an unauthenticated request over MaxChallenges
	dropNoFamily                        // data for a peer of a family without a relayed address
	dropRequestQueue                    // more requests than are answered at this pace
	dropQueueFull                       // a TCP client reads more slowly than its peers send
	dropSendBuffer                      // the network takes less than peers or clients send
	dropSendFailed                      // the kernel refused to send
	dropBitRate                         // over a bit rate of the quotas
	dropByteQuota                       // over the bytes of a quota period
	dropReasons
)

var dropNames = [dropReasons]string{
	"malformed", "oversize", "unexpected", "no_allocation", "no_channel", "no_permission",
	"peer_denied", "challenge_rate", "no_family", "request_queue", "queue_full", "send_buffer", "send_failed",
	"bit_rate", "byte_quota",
}

func (r dropReason) String() string { return dropNames[r] }

// closeReason says why the relay closed a connection, TCP or TLS. The names are
// metric labels.
type closeReason uint8

const (
	closeByClient      closeReason = iota // the client closed it, or it broke
	closeNotTURN                          // its bytes are not STUN nor ChannelData
	closeSlowFrame                        // a message did not arrive whole in time
	closeIdle                             // no allocation for too long
	closeStuck                            // the client did not read in time
	closeLimit                            // over MaxConns
	closeSource                           // over MaxConnsPerSource or MaxHandshakesPerSource
	closeShutdown                         // the relay stops
	closeSilent                           // it did not say in time what it is for
	closeCrowded                          // it had to make room before it said what it is for
	closeHandshake                        // the TLS handshake failed
	closeSlowHandshake                    // the TLS handshake did not end in time
	closeReasons
)

var closeNames = [closeReasons]string{
	"client", "not_turn", "slow_frame", "idle", "stuck", "conn_limit", "source_limit", "shutdown",
	"silent", "crowded", "handshake", "slow_handshake",
}

func (r closeReason) String() string { return closeNames[r] }

// refusalCodes are the STUN error codes the relay answers with.
var refusalCodes = [...]stun.ErrorCode{
	stun.CodeBadRequest, stun.CodeUnauthorized, stun.CodeForbidden, stun.CodeUnknownAttribute,
	stun.CodeAllocMismatch, stun.CodeStaleNonce, stun.CodeAddrFamilyNotSupported,
	stun.CodeWrongCredentials, stun.CodeUnsupportedTransProto, stun.CodePeerAddrFamilyMismatch,
	stun.CodeAllocQuotaReached, stun.CodeServerError, stun.CodeInsufficientCapacity,
}

// counters are what Stats is a snapshot of.
type counters struct {
	bindings     atomic.Uint64
	created      atomic.Uint64
	relayed      [len(transportNames)]flow // by the client's transport
	refused      [len(refusalCodes)]atomic.Uint64
	dropped      [dropReasons]atomic.Uint64
	closed       [closeReasons]atomic.Uint64
	acceptErrors atomic.Uint64
	sockets      udpio.Counters // drops of these are added to dropped

	refusedDraining    atomic.Uint64
	refusedCredentials atomic.Uint64
}

func (c *counters) drop(reason dropReason) { c.dropped[reason].Add(1) }

func (c *counters) refuse(code stun.ErrorCode) {
	if i := slices.Index(refusalCodes[:], code); i >= 0 {
		c.refused[i].Add(1)
	}
}

// transportNames are the transports between client and relay. They are metric
// labels.
var transportNames = [...]string{transportUDP, transportTCP, transportTLS}

// flow counts what was relayed, by direction.
type flow struct{ toPeers, toClients udpio.Meter }

// flow is where the packets of clients over transport are counted.
func (c *counters) flow(transport string) *flow {
	return &c.relayed[max(0, slices.Index(transportNames[:], transport))]
}

func snapshot(m *udpio.Meter) Traffic { return Traffic{Packets: m.Packets(), Bytes: m.Bytes()} }

func (t Traffic) plus(other Traffic) Traffic {
	return Traffic{Packets: t.Packets + other.Packets, Bytes: t.Bytes + other.Bytes}
}

// Traffic is what was relayed in one direction: the payload, without the
// headers of TURN and below.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Flow is what was relayed, by direction.
type Flow struct {
	ToPeers   Traffic `json:"to_peers"`
	ToClients Traffic `json:"to_clients"`
}

// Stats is the state of a relay at one moment. Counters run since New. Every
// name that a map may hold is always there, so that it can be exported as it is.
type Stats struct {
	Allocations int `json:"allocations"` // now
	Users       int `json:"users"`       // subjects that have one now
	Conns       int `json:"conns"`       // TCP connections now

	Draining bool `json:"draining"` // no new allocations are made

	Bindings  uint64            `json:"bindings"` // STUN Binding requests answered
	Created   uint64            `json:"created"`  // allocations
	ToPeers   Traffic           `json:"to_peers"`
	ToClients Traffic           `json:"to_clients"`
	Relayed   map[string]Flow   `json:"relayed"`   // the same, by the client's transport
	Segmented uint64            `json:"segmented"` // packets sent as part of a batch (UDP GSO)
	Refused   map[int]uint64    `json:"refused"`   // error responses, by STUN error code
	Dropped   map[string]uint64 `json:"dropped"`   // messages and datagrams, by reason
	Closed    map[string]uint64 `json:"closed"`    // connections, by reason

	AcceptErrors uint64 `json:"accept_errors"` // of TCP listeners, each survived
	ReadErrors   uint64 `json:"read_errors"`   // of UDP sockets, each survived
	Overflowed   uint64 `json:"overflowed"`    // datagrams that found a UDP socket's buffer full

	RefusedDraining uint64 `json:"refused_draining"` // Allocates refused because the relay drains; they are in Refused too
	// RefusedCredentials are requests whose credential is wrong or has expired.
	// They are in Refused too, among the 401 of those that have none yet, which
	// are every client's first.
	RefusedCredentials uint64 `json:"refused_credentials"`
	// QuotasForgotten are users and sources whose used up quotas were forgotten
	// because too many others without an allocation were remembered.
	QuotasForgotten uint64 `json:"quotas_forgotten"`
}

// Stats takes a snapshot. It may be called at any time from any goroutine.
func (s *Server) Stats() Stats {
	c := &s.counters
	stats := Stats{
		Bindings:     c.bindings.Load(),
		Created:      c.created.Load(),
		Draining:     s.Draining(),
		Relayed:      map[string]Flow{},
		Segmented:    c.sockets.Segmented.Load(),
		Refused:      map[int]uint64{},
		Dropped:      map[string]uint64{},
		Closed:       map[string]uint64{},
		AcceptErrors: c.acceptErrors.Load(),
		ReadErrors:   c.sockets.ReadErrors.Load(),
		Overflowed:   c.sockets.Overflowed.Load(),

		RefusedDraining:    c.refusedDraining.Load(),
		RefusedCredentials: c.refusedCredentials.Load(),
	}
	stats.Allocations, stats.Users = s.registry.count(), s.quotas.activeUsers()
	stats.QuotasForgotten = s.quotas.forgotten.Load()
	stats.Conns = s.conns.count()
	for i, name := range transportNames {
		f := Flow{ToPeers: snapshot(&c.relayed[i].toPeers), ToClients: snapshot(&c.relayed[i].toClients)}
		stats.Relayed[name] = f
		stats.ToPeers, stats.ToClients = stats.ToPeers.plus(f.ToPeers), stats.ToClients.plus(f.ToClients)
	}
	for i, code := range refusalCodes {
		stats.Refused[int(code)] = c.refused[i].Load()
	}
	for i, name := range dropNames {
		stats.Dropped[name] = c.dropped[i].Load()
	}
	for reason, n := range map[dropReason]*atomic.Uint64{
		dropOversize: &c.sockets.Oversize, dropSendBuffer: &c.sockets.BufferFull, dropSendFailed: &c.sockets.SendFailed,
	} {
		stats.Dropped[reason.String()] += n.Load()
	}
	for i, name := range closeNames {
		stats.Closed[name] = c.closed[i].Load()
	}
	return stats
}

// AllocationInfo describes one allocation.
type AllocationInfo struct {
	ID          uint64           `json:"id"`
	User        string           `json:"user"`      // subject of the credential
	Transport   string           `json:"transport"` // between client and relay: udp, tcp or tls
	Client      netip.AddrPort   `json:"client"`
	Server      netip.AddrPort   `json:"server"`  // the address of the relay that the client speaks to
	Relayed     []netip.AddrPort `json:"relayed"` // as handed out, one for each family
	Created     time.Time        `json:"created"`
	Expires     time.Time        `json:"expires"`
	Permissions []netip.Addr     `json:"permissions"`
	Channels    []ChannelInfo    `json:"channels"` // in the order of their numbers
	ToPeers     Traffic          `json:"to_peers"`
	ToClient    Traffic          `json:"to_client"`
}

// ChannelInfo is a channel that is bound to a peer.
type ChannelInfo struct {
	Number uint16         `json:"number"`
	Peer   netip.AddrPort `json:"peer"`
}

// Allocations lists what is allocated now, oldest first.
func (s *Server) Allocations() []AllocationInfo {
	live := s.registry.live()
	list := make([]AllocationInfo, len(live))
	for i, a := range live {
		list[i] = a.info()
	}
	slices.SortFunc(list, func(a, b AllocationInfo) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

func (a *allocation) info() AllocationInfo {
	info := AllocationInfo{
		ID: a.id, User: a.user, Transport: a.link.transport(),
		Client: a.client, Server: a.link.local(), Created: a.created,
		ToPeers: snapshot(&a.toPeers), ToClient: snapshot(&a.toClient),
	}
	for _, r := range a.relays {
		if r != nil && !r.socket.Closed() {
			info.Relayed = append(info.Relayed, r.relayed)
		}
	}
	info.Permissions, info.Channels = a.list()
	a.mu.Lock()
	defer a.mu.Unlock()
	info.Expires = a.expires
	return info
}
