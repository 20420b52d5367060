package turn

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// fewSorted is what a source may have that makes no room for others at
	// once: see makeRoomLocked.
	fewSorted = 8
	// crowdedTime is how long any connection may take when all places are
	// taken: three round trips, as over a satellite.
	crowdedTime = 2 * time.Second
)

// lobby is where connections are that have not said what they are for, whatever
// listener they came by. Over the limit they wait in the kernel; over that of
// their source they are closed, so that one host cannot keep the others waiting.
type lobby struct {
	max, maxPerSource int
	free              chan struct{} // has a token while there is a place

	mu      sync.Mutex
	sorted  map[*peeked]bool   // false: it has to go
	sources map[netip.Addr]int // how many are from where
	taken   int                // by all of them
}

func newLobby(most, mostPerSource int) *lobby {
	return &lobby{
		max: most, maxPerSource: mostPerSource,
		free: make(chan struct{}, 1), sorted: map[*peeked]bool{}, sources: map[netip.Addr]int{},
	}
}

// enter notes a connection that is about to be looked at, and waits until it may
// be. On false it says why it may not.
func (l *lobby) enter(conn *peeked) (closeReason, bool) {
	for {
		reason, ok, wait := l.tryEnter(conn, time.Now())
		if wait == 0 {
			return reason, ok
		}
		timer := time.NewTimer(wait)
		select {
		case <-l.free:
		case <-timer.C:
		case <-conn.front.closed:
		}
		timer.Stop()
	}
}

// tryEnter is enter without the wait. When all places are taken it has one of
// them given up, if that is fair, and says when to try again at the latest.
func (l *lobby) tryEnter(conn *peeked, now time.Time) (reason closeReason, ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wakeLocked() // whoever comes out of here has taken the token
	select {
	case <-conn.front.closed: // and end has been here, or will be
		return closeShutdown, false, 0
	default:
	}
	switch {
	case l.sources[conn.source] >= l.maxPerSource:
		return closeSource, false, 0
	case l.taken >= l.max:
		return 0, false, l.makeRoomLocked(now)
	}
	l.sorted[conn] = true
	l.sources[conn.source]++
	l.taken++
	return 0, true, 0
}

// wakeLocked wakes one of those who wait for a place, if there is one.
func (l *lobby) wakeLocked() {
	if l.taken >= l.max {
		select {
		case <-l.free: // not any more
		default:
		}
		return
	}
	select {
	case l.free <- struct{}{}:
	default:
	}
}

// makeRoomLocked closes the connection that has been looked at for longest, of
// the source with the most of them: without it a few hosts could take turns in
// keeping everybody waiting. Where all sources have few, each connection is as
// good as the next, and the oldest of all has to go once it has had its time. It
// returns how long to wait for the place, or until there is one to be made.
func (l *lobby) makeRoomLocked(now time.Time) time.Duration {
	var most netip.Addr
	for source, n := range l.sources {
		if n > l.sources[most] {
			most = source
		}
	}
	crowd := l.sources[most] > fewSorted
	var oldest *peeked
	for conn, stays := range l.sorted {
		if stays && (!crowd || conn.source == most) && (oldest == nil || conn.since.Before(oldest.since)) {
			oldest = conn
		}
	}
	switch {
	case oldest == nil: // all of them have said what they are for, or are going
		return crowdedTime
	case !crowd && now.Sub(oldest.since) < crowdedTime:
		return crowdedTime - now.Sub(oldest.since)
	}
	l.sorted[oldest] = false
	oldest.Close()
	return crowdedTime
}

// decided notes that it is known what a connection is for. From then on it does
// not have to make room; on false it had to before.
func (l *lobby) decided(conn *peeked) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	stays := l.sorted[conn]
	delete(l.sorted, conn)
	return stays
}

func (l *lobby) leave(conn *peeked) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sources[conn.source]--; l.sources[conn.source] == 0 {
		delete(l.sources, conn.source)
	}
	l.taken--
	l.wakeLocked()
}

// end closes what a front has here. None of it is decided any more.
func (l *lobby) end(f *front) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn, stays := range l.sorted {
		if stays && conn.front == f {
			l.sorted[conn] = false
			conn.Close()
		}
	}
}
