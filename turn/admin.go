package turn

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/pion/stun/v2"
)

// End ends one allocation, before any further request of its client: its relayed
// address is closed, its permissions and channels are gone, and what the client
// sends next gets 437. It reports false when there is no such allocation. It may
// be called at any time from any goroutine.
func (s *Server) End(id uint64) bool {
	a := s.registry.byID(id)
	return a != nil && s.end(a)
}

// EndUser ends every allocation that user has and returns how many there were.
// The user's credentials stay good: who should not come back is to be revoked
// first.
func (s *Server) EndUser(user string) int {
	ended := 0
	for _, a := range s.registry.live() {
		if a.user == user && s.end(a) {
			ended++
		}
	}
	return ended
}

// end has an allocation ended by its gate. One that pion has not taken yet is
// its gate's to close, and is left alone.
func (s *Server) end(a *allocation) bool {
	if a.link.allocation(a.client) != a {
		return false
	}
	a.gate.end(a, false)
	return true
}

// UserInfo is what one user has of the relay: the sums over the allocations
// that are there now, each since its start.
type UserInfo struct {
	User        string  `json:"user"` // subject of the credentials
	Allocations int     `json:"allocations"`
	Permissions int     `json:"permissions"`
	Channels    int     `json:"channels"`
	ToPeers     Traffic `json:"to_peers"`
	ToClient    Traffic `json:"to_client"`
}

// Users lists who has an allocation now, in the order of their names.
func (s *Server) Users() []UserInfo {
	byName := map[string]*UserInfo{}
	list := []*UserInfo{}
	for _, a := range s.Allocations() {
		u := byName[a.User]
		if u == nil {
			u = &UserInfo{User: a.User}
			byName[a.User] = u
			list = append(list, u)
		}
		u.Allocations++
		u.Permissions += len(a.Permissions)
		u.Channels += len(a.Channels)
		u.ToPeers = u.ToPeers.plus(a.ToPeers)
		u.ToClient = u.ToClient.plus(a.ToClient)
	}
	slices.SortFunc(list, func(a, b *UserInfo) int { return cmp.Compare(a.User, b.User) })
	users := make([]UserInfo, len(list))
	for i, u := range list {
		users[i] = *u
	}
	return users
}

// drainingError is the answer to an Allocate while the relay drains: the code
// sends a client to another server (RFC 8656 §7.2), the phrase tells people why.
var drainingError = stun.ErrorCodeAttribute{
	Code: stun.CodeInsufficientCapacity, Reason: []byte("Relay Is Draining"),
}

// drain is whether the relay takes new allocations, and the news of its last.
type drain struct {
	on atomic.Bool

	mu     sync.Mutex
	done   chan struct{} // closed when the relay is drained
	closed bool
}

func newDrain() *drain { return &drain{done: make(chan struct{})} }

// Drain turns draining on or off. While the relay drains no allocation is made:
// Allocate gets 508, and a reserved port of an EVEN-PORT pair is not given out
// either. What is allocated goes on and may be refreshed.
func (s *Server) Drain(on bool) {
	d := s.drain
	d.mu.Lock()
	switch changed := d.on.Swap(on) != on; {
	case changed && on:
		s.log.Info("relay drains: no new allocations", "component", "turn")
	case changed:
		s.log.Info("relay takes allocations again", "component", "turn")
	}
	if !on && d.closed {
		d.done, d.closed = make(chan struct{}), false
	}
	d.mu.Unlock()
	s.settleDrain()
}

// Draining says whether the relay drains.
func (s *Server) Draining() bool { return s.drain.on.Load() }

// Drained returns a channel that is closed once the relay drains and its last
// allocation has ended. After Drain(false) there is another one.
func (s *Server) Drained() <-chan struct{} {
	s.drain.mu.Lock()
	defer s.drain.mu.Unlock()
	return s.drain.done
}

// settleDrain closes the channel of Drained when it is time. It follows
// whatever gives back a place. Nothing is missed: an allocation
// takes its place before it asks whether the relay drains, and Drain says so
// before it counts the places.
func (s *Server) settleDrain() {
	d := s.drain
	if !d.on.Load() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.on.Load() && !d.closed && s.quotas.taken() == 0 {
		d.closed = true
		close(d.done)
	}
}

// giveBack releases the grant of an allocation that is not made after all.
func (s *Server) giveBack(g *grant) {
	g.release()
	s.settleDrain()
}
