package turn

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"
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
	dropQueueFull                       // a TCP client reads more slowly than its peers send
	dropSendFailed                      // the kernel refused to send
	dropBitRate                         // over a bit rate of the quotas
	dropByteQuota                       // over the bytes of a quota period
	dropReasons
)

var dropNames = [dropReasons]string{
	"malformed", "oversize", "unexpected", "no_allocation", "no_channel", "no_permission",
	"peer_denied", "challenge_rate", "queue_full", "send_failed", "bit_rate", "byte_quota",
}

func (r dropReason) String() string { return dropNames[r] }

// closeReason says why the relay closed a TCP connection. The names are
// metric labels.
type closeReason uint8

const (
	closeByClient  closeReason = iota // the client closed it, or it broke
	closeNotTURN                      // its bytes are not STUN nor ChannelData
	closeSlowFrame                    // a message did not arrive whole in time
	closeIdle                         // no allocation for too long
	closeStuck                        // the client did not read in time
	closeLimit                        // over MaxConns
	closeSource                       // over MaxConnsPerSource
	closeShutdown                     // the relay stops
	closeReasons
)

var closeNames = [closeReasons]string{
	"client", "not_turn", "slow_frame", "idle", "stuck", "conn_limit", "source_limit", "shutdown",
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
	toPeers      traffic
	toClients    traffic
	refused      [len(refusalCodes)]atomic.Uint64
	dropped      [dropReasons]atomic.Uint64
	closed       [closeReasons]atomic.Uint64
	acceptErrors atomic.Uint64
	readErrors   atomic.Uint64
}

func (c *counters) drop(reason dropReason) { c.dropped[reason].Add(1) }

func (c *counters) refuse(code stun.ErrorCode) {
	if i := slices.Index(refusalCodes[:], code); i >= 0 {
		c.refused[i].Add(1)
	}
}

// traffic counts what was relayed in one direction.
type traffic struct{ packets, bytes atomic.Uint64 }

func (t *traffic) add(bytes int) {
	t.packets.Add(1)
	t.bytes.Add(uint64(bytes))
}

func (t *traffic) snapshot() Traffic {
	return Traffic{Packets: t.packets.Load(), Bytes: t.bytes.Load()}
}

// Traffic is what was relayed in one direction: the payload, without the
// headers of TURN and below.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Stats is the state of a relay at one moment. Counters run since New. Every
// name that a map may hold is always there, so that it can be exported as it is.
type Stats struct {
	Allocations int `json:"allocations"` // now
	Users       int `json:"users"`       // subjects that have one now
	Conns       int `json:"conns"`       // TCP connections now

	Bindings  uint64            `json:"bindings"` // STUN Binding requests answered
	Created   uint64            `json:"created"`  // allocations
	ToPeers   Traffic           `json:"to_peers"`
	ToClients Traffic           `json:"to_clients"`
	Refused   map[int]uint64    `json:"refused"` // error responses, by STUN error code
	Dropped   map[string]uint64 `json:"dropped"` // messages and datagrams, by reason
	Closed    map[string]uint64 `json:"closed"`  // TCP connections, by reason

	AcceptErrors uint64 `json:"accept_errors"` // of TCP listeners, each survived
	ReadErrors   uint64 `json:"read_errors"`   // of UDP sockets, each survived
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
		ToPeers:      c.toPeers.snapshot(),
		ToClients:    c.toClients.snapshot(),
		Refused:      map[int]uint64{},
		Dropped:      map[string]uint64{},
		Closed:       map[string]uint64{},
		AcceptErrors: c.acceptErrors.Load(),
		ReadErrors:   c.readErrors.Load(),
	}
	stats.Allocations, stats.Users = s.registry.count(), s.quotas.activeUsers()
	stats.QuotasForgotten = s.quotas.forgotten.Load()
	stats.Conns = s.conns.count()
	for i, code := range refusalCodes {
		stats.Refused[int(code)] = c.refused[i].Load()
	}
	for i, name := range dropNames {
		stats.Dropped[name] = c.dropped[i].Load()
	}
	for i, name := range closeNames {
		stats.Closed[name] = c.closed[i].Load()
	}
	return stats
}

// AllocationInfo describes one allocation.
type AllocationInfo struct {
	ID          uint64         `json:"id"`
	User        string         `json:"user"`      // subject of the credential
	Transport   string         `json:"transport"` // between client and relay: udp or tcp
	Client      netip.AddrPort `json:"client"`
	Server      netip.AddrPort `json:"server"` // the address of the relay that the client speaks to
	Relayed     netip.AddrPort `json:"relayed"`
	Created     time.Time      `json:"created"`
	Expires     time.Time      `json:"expires"`
	Permissions []netip.Addr   `json:"permissions"`
	Channels    int            `json:"channels"`
	ToPeers     Traffic        `json:"to_peers"`
	ToClient    Traffic        `json:"to_client"`
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
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	info := AllocationInfo{
		ID: a.id, User: a.user, Transport: a.gate.transport,
		Client: a.client, Server: a.gate.local, Relayed: a.relayed,
		Created: a.created, Expires: a.expires,
		ToPeers: a.toPeers.snapshot(), ToClient: a.toClient.snapshot(),
	}
	a.expireLocked(now)
	info.Permissions = slices.SortedFunc(maps.Keys(a.permissions), netip.Addr.Compare)
	info.Channels = len(a.channels)
	return info
}
