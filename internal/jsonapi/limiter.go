package jsonapi

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits of a SourceLimiter: events a second, and how many at once.
type Limits struct {
	PerSource      rate.Limit
	PerSourceBurst int
	Total          rate.Limit
	TotalBurst     int
	Sources        int // remembered
}

// SourceLimiter bounds how often each network source may do something. It
// remembers a bounded number of sources, the last seen; the total bounds what
// somebody with many addresses can do. Safe for concurrent use.
type SourceLimiter struct {
	limits Limits

	mu    sync.Mutex
	total *rate.Limiter
	known map[netip.Prefix]*list.Element // of *source
	seen  *list.List                     // the last seen at the front
}

type source struct {
	prefix netip.Prefix
	budget *rate.Limiter
}

// NewSourceLimiter makes one that has seen nobody.
func NewSourceLimiter(l Limits) *SourceLimiter {
	return &SourceLimiter{
		limits: l, total: rate.NewLimiter(l.Total, l.TotalBurst),
		known: make(map[netip.Prefix]*list.Element), seen: list.New(),
	}
}

// Allow takes one from the budget of the remote address (host:port), or says
// how long to wait.
func (l *SourceLimiter) Allow(remote string, now time.Time) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if wait, ok = spend(l.sourceLocked(sourceOf(remote)), now); !ok {
		return wait, false
	}
	return spend(l.total, now)
}

func spend(budget *rate.Limiter, now time.Time) (time.Duration, bool) {
	if budget.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - budget.TokensAt(now)
	return time.Duration(missing / float64(budget.Limit()) * float64(time.Second)), false
}

func (l *SourceLimiter) sourceLocked(prefix netip.Prefix) *rate.Limiter {
	if at, ok := l.known[prefix]; ok {
		l.seen.MoveToFront(at)
		return at.Value.(*source).budget
	}
	if l.seen.Len() >= l.limits.Sources {
		oldest := l.seen.Back()
		delete(l.known, oldest.Value.(*source).prefix)
		l.seen.Remove(oldest)
	}
	s := &source{prefix: prefix, budget: rate.NewLimiter(l.limits.PerSource, l.limits.PerSourceBurst)}
	l.known[prefix] = l.seen.PushFront(s)
	return s.budget
}

// sourceOf is the address an IPv4 source has, and the /64 an IPv6 source can
// choose addresses from. All that are not IP share one source.
func sourceOf(remote string) netip.Prefix {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Prefix{}
	}
	addr := at.Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // both lengths fit their family
	return prefix
}
