package turn

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxSorted is how many connections may be sorted at once, whatever
	// listener they came by: half a TLS handshake costs about 60 KB. More of
	// them wait in the kernel, as when all devices of a site come back at the
	// same moment.
	maxSorted = 128
	// maxSortedPerSource is how many of them may come from one source. More
	// of them are closed, so that one host cannot keep the others waiting.
	maxSortedPerSource = 64
	// fewSorted is what a source may have that makes no room for others: see
	// makeRoomLocked.
	fewSorted = 8
	// patience is how long a connection may say nothing while others wait.
	// Who is at work on a handshake is done long before.
	patience = 1500 * time.Millisecond
)

// lobby is where connections are that have not said what they are for.
type lobby struct {
	free chan struct{} // has a token while there is a place

	mu      sync.Mutex
	sorted  map[*peeked]bool   // false: it has to go
	sources map[netip.Addr]int // how many are from where
	taken   int                // by all of them
}

func newLobby() *lobby {
	return &lobby{
		free: make(chan struct{}, 1), sorted: map[*peeked]bool{}, sources: map[netip.Addr]int{},
	}
}

// enter notes a connection that is about to be looked at, and waits until it may
// be. On false it says why it may not.
func (l *lobby) enter(conn *peeked) (closeReason, bool) {
	for {
		reason, ok, wait := l.tryEnter(conn)
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
// them given up, if that is fair, and says how long to wait before it is asked
// again, unless a place becomes free.
func (l *lobby) tryEnter(conn *peeked) (reason closeReason, ok bool, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.wakeLocked() // whoever comes out of here has taken the token
	select {
	case <-conn.front.closed: // and end has been here, or will be
		return closeShutdown, false, 0
	default:
	}
	switch {
	case l.sources[conn.source] >= maxSortedPerSource:
		return closeSource, false, 0
	case l.taken == maxSorted:
		return 0, false, l.makeRoomLocked(time.Now())
	}
	l.sorted[conn] = true
	l.sources[conn.source]++
	l.taken++
	return 0, true, 0
}

// wakeLocked wakes one of those who wait for a place, if there is one.
func (l *lobby) wakeLocked() {
	if l.taken == maxSorted {
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
// the source with the most of them. Without it a few hosts could take turns in
// keeping everybody waiting. Where all sources have few, each connection is as
// good as the next, until it has used up the others' patience. It returns how
// long to wait for the place, or for the next look.
func (l *lobby) makeRoomLocked(now time.Time) (wait time.Duration) {
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
	if oldest == nil { // all that are here have to go already
		return patience
	}
	if left := patience - now.Sub(oldest.since); !crowd && left > 0 {
		return left
	}
	l.sorted[oldest] = false
	oldest.Close()
	return patience
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
