package turn

import (
	"container/list"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v2"
)

// maxIdleAccounts bounds, for users and for sources each, the accounts that are
// remembered without an allocation. Beyond it the one that has been idle
// longest is forgotten, with what it has used up, and counted.
const maxIdleAccounts = 8192

// accountLimits are what the accounts of one kind may hold at once.
type accountLimits struct{ allocations, permissions, channels int }

// quotas count what is held and relayed: by user, by source and in total. The
// accounts of users and sources live as long as they have allocations, and on
// until what they have used up counts no more.
type quotas struct {
	start     time.Time
	own       meterLimits // of each allocation for itself
	total     *account
	forgotten atomic.Uint64 // accounts

	mu      sync.Mutex // of everything in accounts but their meters
	users   accounts[string]
	sources accounts[netip.Addr]
}

// account is what one user, one source or everybody together has in use.
type account struct {
	limits                             *accountLimits
	allocations, permissions, channels int
	idle                               *list.Element // its place among those without an allocation, or nil
	meter                              meter
}

// accounts are those of one kind. At most maxIdleAccounts have no allocation.
type accounts[K comparable] struct {
	limits accountLimits
	meters meterLimits
	all    map[K]*account
	idle   *list.List // of K, that which became idle first in front
}

func newAccounts[K comparable](limits accountLimits, meters meterLimits) accounts[K] {
	return accounts[K]{limits: limits, meters: meters, all: map[K]*account{}, idle: list.New()}
}

func newQuotas(c Config) *quotas {
	limits := func(bytes int64, rate BitRate) meterLimits { return newMeterLimits(bytes, c.QuotaPeriod, rate) }
	q := &quotas{
		start: time.Now(),
		own:   limits(0, c.MaxBitRatePerAllocation),
		users: newAccounts[string](accountLimits{c.MaxAllocationsPerUser, c.MaxPermissionsPerUser, c.MaxChannelsPerUser},
			limits(c.MaxUserBytes, c.MaxBitRatePerUser)),
		sources: newAccounts[netip.Addr](accountLimits{c.MaxAllocationsPerSource, c.MaxPermissionsPerSource, c.MaxChannelsPerSource},
			limits(c.MaxSourceBytes, c.MaxBitRatePerSource)),
	}
	total := limits(c.MaxTotalBytes, c.MaxBitRateTotal)
	q.total = &account{
		limits: &accountLimits{c.MaxAllocations, c.MaxPermissionsTotal, c.MaxChannelsTotal},
		meter:  meter{limits: &total},
	}
	return q
}

// clock is the time that meters go by: nanoseconds since the relay was made,
// whatever is done to the box's clock.
func (q *quotas) clock() int64 { return q.at(time.Now()) }

func (q *quotas) at(t time.Time) int64 { return int64(t.Sub(q.start)) }

// at finds the account of key, or makes it.
func (s *accounts[K]) at(key K) *account {
	a := s.all[key]
	if a == nil {
		a = &account{limits: &s.limits, meter: meter{limits: &s.meters}}
		s.all[key] = a
	}
	return a
}

// wake takes an account off the list of the idle ones.
func (s *accounts[K]) wake(a *account) {
	if a.idle != nil {
		s.idle.Remove(a.idle)
		a.idle = nil
	}
}

// rest forgets an account that has no allocation, or keeps it for as long as
// what it has used up counts. It returns how many were forgotten before that.
func (s *accounts[K]) rest(key K, now int64) (forgotten uint64) {
	a := s.all[key]
	switch {
	case a == nil || a.allocations > 0 || a.idle != nil:
	case a.meter.isFresh(now):
		delete(s.all, key)
	default:
		a.idle = s.idle.PushBack(key)
	}
	for front := s.idle.Front(); front != nil; front = s.idle.Front() {
		oldest := front.Value.(K)
		fresh := s.all[oldest].meter.isFresh(now)
		if !fresh && s.idle.Len() <= maxIdleAccounts {
			break
		}
		if !fresh {
			forgotten++
		}
		s.idle.Remove(front)
		delete(s.all, oldest)
	}
	return forgotten
}

// admit takes the place of one allocation of user from source, or returns the
// error code for a quota that is used up: 486 for one of theirs, 508 for the
// relay's (RFC 8656 §7.2). release gives the place back.
func (q *quotas) admit(user string, source netip.Addr) (*grant, refusal) {
	source = sourceOf(source)
	now := q.clock()
	q.mu.Lock()
	defer q.mu.Unlock()
	g := &grant{quotas: q, user: user, source: source, accounts: [3]*account{q.users.at(user), q.sources.at(source), q.total}}
	for i, a := range g.accounts {
		if a.allocations < a.limits.allocations && !a.meter.usedUp(now) {
			continue
		}
		g.restLocked(now)
		if i == len(g.accounts)-1 {
			return nil, stun.CodeInsufficientCapacity
		}
		return nil, stun.CodeAllocQuotaReached
	}
	q.users.wake(g.accounts[0])
	q.sources.wake(g.accounts[1])
	g.own.limits = &q.own
	g.meter(&g.own)
	for _, a := range g.accounts {
		a.allocations++
		g.meter(&a.meter)
	}
	return g, 0
}

// taken is how many allocations there are, with those that are being made.
func (q *quotas) taken() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total.allocations
}

// activeUsers is how many users have an allocation.
func (q *quotas) activeUsers() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.users.all) - q.users.idle.Len()
}
