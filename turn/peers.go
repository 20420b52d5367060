package turn

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"
)

// Lifetimes of RFC 8656.
const (
	permissionLifetime = 5 * time.Minute  // §9
	channelLifetime    = 10 * time.Minute // §12
)

// permission lets one peer address send to the client and the other way.
type permission struct {
	addr  netip.Addr
	until atomic.Int64 // see clock
	reach reach
}

// channel is a channel number bound to a peer.
type channel struct {
	number uint16
	peer   netip.AddrPort
	until  atomic.Int64
	reach  reach
}

// peers are the permissions and channels of one allocation. Packets look them
// up without a lock: the lists are sorted, and replaced, not changed.
type peers struct {
	clock       *clock
	grant       *grant                        // of the quotas
	permissions atomic.Pointer[[]*permission] // by address
	channels    atomic.Pointer[[]*channel]    // by number
	byPeer      atomic.Pointer[[]*channel]    // by peer

	mu sync.Mutex // of those who change them
}

// clock counts nanoseconds of monotonic time, so that jumps of the wall clock
// end nothing.
type clock struct{ start time.Time }

func (c *clock) now() int64 { return c.at(time.Now()) }

func (c *clock) at(t time.Time) int64 { return int64(t.Sub(c.start)) }

func (p *peers) permissionFor(addr netip.Addr) (*permission, int) {
	return search(&p.permissions, func(x *permission) int { return x.addr.Compare(addr) })
}

func (p *peers) channelByNumber(number uint16) (*channel, int) {
	return search(&p.channels, func(x *channel) int { return cmp.Compare(x.number, number) })
}

func (p *peers) channelByPeer(peer netip.AddrPort) (*channel, int) {
	return search(&p.byPeer, func(x *channel) int { return x.peer.Compare(peer) })
}

// search finds the item for which compare returns 0, or nil, and its place.
func search[T any](list *atomic.Pointer[[]*T], compare func(*T) int) (*T, int) {
	items := list.Load()
	if items == nil {
		return nil, 0
	}
	low, high := 0, len(*items)
	for low < high {
		middle := (low + high) / 2
		switch c := compare((*items)[middle]); {
		case c == 0:
			return (*items)[middle], middle
		case c < 0:
			low = middle + 1
		default:
			high = middle
		}
	}
	return nil, low
}

func insertAt[T any](list *atomic.Pointer[[]*T], i int, item *T) {
	var with []*T
	if items := list.Load(); items != nil {
		with = make([]*T, 0, len(*items)+1)
		with = append(with, *items...)
	}
	with = slices.Insert(with, i, item)
	list.Store(&with)
}

// keep leaves only the items that are wanted in a list.
func keep[T any](list *atomic.Pointer[[]*T], wanted func(*T) bool) {
	items := list.Load()
	unwanted := func(x *T) bool { return !wanted(x) }
	if items != nil && slices.ContainsFunc(*items, unwanted) {
		left := slices.DeleteFunc(slices.Clone(*items), unwanted)
		list.Store(&left)
	}
}

// checkPermissions says whether permissions for peers would stay below max and
// within the quotas.
func (p *peers) checkPermissions(addrs []netip.AddrPort, max int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expireLocked(p.clock.now())
	fresh := map[netip.Addr]bool{}
	for _, a := range addrs {
		if found, _ := p.permissionFor(a.Addr()); found == nil {
			fresh[a.Addr()] = true
		}
	}
	n := length(&p.permissions) + len(fresh)
	return n <= max && p.grant.holdPermissions(n)
}

func length[T any](list *atomic.Pointer[[]*T]) int {
	if items := list.Load(); items != nil {
		return len(*items)
	}
	return 0
}

// permit creates or refreshes permissions.
func (p *peers) permit(addrs []netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	until := p.clock.now() + int64(permissionLifetime)
	for _, a := range addrs {
		found, i := p.permissionFor(a.Addr())
		if found == nil {
			found = &permission{addr: a.Addr()}
			insertAt(&p.permissions, i, found)
		}
		found.until.Store(until)
	}
}

// checkChannel returns the error code for a binding of number to peer that may
// not be made: RFC 8656 §12.2 wants each of them bound once.
func (p *peers) checkChannel(number uint16, peer netip.AddrPort, max int) stun.ErrorCode {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expireLocked(p.clock.now())
	bound, _ := p.channelByNumber(number)
	other, _ := p.channelByPeer(peer)
	switch {
	case bound != nil && bound.peer == peer:
		return 0
	case bound != nil || other != nil:
		return stun.CodeBadRequest
	case length(&p.channels) >= max, !p.grant.holdChannels(length(&p.channels) + 1):
		return stun.CodeInsufficientCapacity
	}
	return 0
}

// bind creates or refreshes a channel, and the permission that goes with it.
func (p *peers) bind(number uint16, peer netip.AddrPort) {
	p.permit([]netip.AddrPort{peer})
	p.mu.Lock()
	defer p.mu.Unlock()
	bound, i := p.channelByNumber(number)
	if bound == nil {
		bound = &channel{number: number, peer: peer}
		insertAt(&p.channels, i, bound)
		_, i = p.channelByPeer(peer)
		insertAt(&p.byPeer, i, bound)
	}
	bound.until.Store(p.clock.now() + int64(channelLifetime))
}

// sweep gives back to the quotas what has ended.
func (p *peers) sweep(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expireLocked(p.clock.at(now))
	p.grant.holdPermissions(length(&p.permissions))
	p.grant.holdChannels(length(&p.channels))
}

// expireLocked forgets permissions and channels that have ended.
func (p *peers) expireLocked(now int64) {
	live := func(c *channel) bool { return now < c.until.Load() }
	keep(&p.permissions, func(x *permission) bool { return now < x.until.Load() })
	keep(&p.channels, live)
	keep(&p.byPeer, live)
}

// list returns the permitted addresses and the channels, in order.
func (p *peers) list() (permitted []netip.Addr, channels []ChannelInfo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.expireLocked(p.clock.now())
	permitted, channels = []netip.Addr{}, []ChannelInfo{}
	if items := p.permissions.Load(); items != nil {
		for _, x := range *items {
			permitted = append(permitted, x.addr)
		}
	}
	if items := p.channels.Load(); items != nil {
		for _, x := range *items {
			channels = append(channels, ChannelInfo{Number: x.number, Peer: x.peer})
		}
	}
	return permitted, channels
}
