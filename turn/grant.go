package turn

import "net/netip"

// grant is what one allocation has of the quotas. All methods may be called
// concurrently; spend takes a lock when a quota period begins, and none otherwise.
type grant struct {
	quotas   *quotas
	user     string
	source   netip.Addr
	accounts [3]*account // of the user, the source and everybody

	own     meter
	meters  [4]*meter // those with a limit, the first metered of them
	metered int

	// Under quotas.mu.
	permissions, channels int
	released              bool
}

// meter adds a meter to those that spend asks, if it limits anything.
func (g *grant) meter(m *meter) {
	if m.limits.any() {
		g.meters[g.metered] = m
		g.metered++
	}
}

// limited says whether spend may refuse anything. It stays what it is.
func (g *grant) limited() bool { return g.metered > 0 }

// spend says whether so many bytes of payload may be relayed now, in either
// direction, and counts them if so; if not, nothing has changed. now is of
// quotas.clock; a caller that has several packets at hand may ask with one time.
// A packet between two callers is asked about for both.
func (g *grant) spend(bytes int, now int64) (dropReason, bool) {
	for i, m := range g.meters[:g.metered] {
		if reason, ok := m.take(bytes, now); !ok {
			for _, before := range g.meters[:i] {
				before.giveBack(bytes)
			}
			return reason, false
		}
	}
	return 0, true
}

// giveBack undoes spend for payload that was not relayed after all.
func (g *grant) giveBack(bytes int) {
	for _, m := range g.meters[:g.metered] {
		m.giveBack(bytes)
	}
}

// holdPermissions takes note that the allocation is to have so many
// permissions. It returns false, and nothing has changed, when they would be
// more than before and too many for the user, the source or the relay.
func (g *grant) holdPermissions(n int) bool {
	return g.hold(n, &g.permissions, func(a *account) (*int, int) { return &a.permissions, a.limits.permissions })
}

// holdChannels is holdPermissions for channels.
func (g *grant) holdChannels(n int) bool {
	return g.hold(n, &g.channels, func(a *account) (*int, int) { return &a.channels, a.limits.channels })
}

func (g *grant) hold(n int, held *int, in func(*account) (used *int, limit int)) bool {
	g.quotas.mu.Lock()
	defer g.quotas.mu.Unlock()
	more := n - *held
	if g.released || more == 0 {
		return true
	}
	for _, a := range g.accounts {
		if used, limit := in(a); more > 0 && *used+more > limit {
			return false
		}
	}
	for _, a := range g.accounts {
		used, _ := in(a)
		*used += more
	}
	*held = n
	return true
}

// release gives everything back, once. What has been relayed stays counted.
func (g *grant) release() {
	now := g.quotas.clock()
	g.quotas.mu.Lock()
	defer g.quotas.mu.Unlock()
	if g.released {
		return
	}
	g.released = true
	for _, a := range g.accounts {
		a.allocations--
		a.permissions -= g.permissions
		a.channels -= g.channels
	}
	g.restLocked(now)
}

// restLocked lets accounts rest that have no allocation.
func (g *grant) restLocked(now int64) {
	g.quotas.forgotten.Add(g.quotas.users.rest(g.user, now) + g.quotas.sources.rest(g.source, now))
}
