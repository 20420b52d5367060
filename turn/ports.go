package turn

import (
	"errors"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"signalbox/turn/internal/udpio"
)

var (
	errNoPort        = errors.New("no relay port is free")
	errNoReservation = errors.New("the reservation token is unknown, expired or of another user")
)

const (
	// bindTries is how many ports are tried that look free and turn out to
	// be another program's.
	bindTries = 64
	// reservationLifetime is how long the second port of a pair is kept,
	// whatever becomes of the first (RFC 8656 §7.2 asks for at least 30 s).
	reservationLifetime = 30 * time.Second
)

// ports hands out the relay ports of each local address, at random among the
// free ones (RFC 6056), however full the range is. Local addresses behind one
// address of a NAT share the ports of that: to clients they are the same.
type ports struct {
	within   PortRange
	external externals
	bind     func(netip.AddrPort) (*udpio.Socket, error)

	mu       sync.Mutex
	used     map[netip.Addr]*portSet // by the address that is handed out
	reserved map[reservationToken]reservation
}

type reservationToken [8]byte

// relayPort is a bound port of the range.
type relayPort struct {
	at     netip.AddrPort
	socket *udpio.Socket
}

// reservation is a port that is kept for its owner's next allocation. It is
// bound all the while, or another program might take it.
type reservation struct {
	relayPort
	user    string
	expires time.Time
}

func newPorts(within PortRange, external externals, c *udpio.Counters) *ports {
	return &ports{
		within: within, external: external, used: map[netip.Addr]*portSet{}, reserved: map[reservationToken]reservation{},
		bind: func(at netip.AddrPort) (*udpio.Socket, error) {
			return udpio.Listen(at, udpio.Options{ReceiveBuffer: relayBuffer, SendBuffer: relayBuffer, Counters: c})
		},
	}
}

// pairing says which port an allocation wants (RFC 8656 §18.7).
type pairing uint8

const (
	anyPort  pairing = iota
	evenPort         // EVEN-PORT
	portPair         // EVEN-PORT with the R bit: the next one is to be reserved
)

// listen binds a free port of addr; with portPair the next one as well, which
// the caller reserves.
func (p *ports) listen(addr netip.Addr, want pairing) (first, next relayPort, err error) {
	var tried []netip.AddrPort
	defer func() {
		for _, t := range tried {
			p.release(t, want)
		}
	}()
	for range bindTries {
		at, ok := p.take(addr, want)
		if !ok {
			return first, next, errNoPort
		}
		if first, next, err = p.bindBoth(at, want); err == nil {
			return first, next, nil
		}
		tried = append(tried, at) // kept until the end, so as not to be drawn again
		if !isAddrInUse(err) {
			return first, next, err
		}
	}
	return first, next, errNoPort
}

func (p *ports) bindBoth(at netip.AddrPort, want pairing) (first, next relayPort, err error) {
	first.at, next.at = at, netip.AddrPortFrom(at.Addr(), at.Port()+1)
	if first.socket, err = p.bind(at); err != nil || want != portPair {
		return first, next, err
	}
	if next.socket, err = p.bind(next.at); err != nil {
		first.socket.Close()
	}
	return first, next, err
}

// take marks a free port as used, and the next one too for portPair.
func (p *ports) take(addr netip.Addr, want pairing) (netip.AddrPort, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	port, ok := p.setOf(addr).draw(want)
	return netip.AddrPortFrom(addr, port), ok
}

// advertise is how a port is handed out to clients.
func (p *ports) advertise(at netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(p.external.advertise(at.Addr()), at.Port())
}

// setOf are the ports that a local address has a share in.
func (p *ports) setOf(local netip.Addr) *portSet {
	public := p.external.advertise(local)
	set := p.used[public]
	if set == nil {
		set = newPortSet(p.within)
		p.used[public] = set
	}
	return set
}

// release frees what take marked.
func (p *ports) release(at netip.AddrPort, want pairing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.setOf(at.Addr()).set(at.Port(), false)
	if want == portPair {
		p.setOf(at.Addr()).set(at.Port()+1, false)
	}
}

// mayReserve says whether user may have one more port reserved: no more than the
// user, or everybody, may have of allocations. Reservations outlive those they
// were made with, so that somebody could collect ports by allocating and letting go.
func (p *ports) mayReserve(user string, mostPerUser, most int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	users := 0
	for _, r := range p.reserved {
		if r.user == user {
			users++
		}
	}
	return users < mostPerUser && len(p.reserved) < most
}

// reserve keeps a port for user's next allocation.
func (p *ports) reserve(token reservationToken, port relayPort, user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reserved[token] = reservation{port, user, time.Now().Add(reservationLifetime)}
}

// claim ends a reservation and gives its port.
func (p *ports) claim(token reservationToken, user string) (relayPort, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r, ok := p.reserved[token]
	if !ok || r.user != user || time.Now().After(r.expires) {
		return relayPort{}, errNoReservation
	}
	delete(p.reserved, token)
	return r.relayPort, nil
}

// expire ends the reservations whose time is over by now.
func (p *ports) expire(now time.Time) {
	p.unreserve(func(r reservation) bool { return now.After(r.expires) })
}

// leave ends the reservations on an address that is no longer served.
func (p *ports) leave(addr netip.Addr) {
	p.unreserve(func(r reservation) bool { return r.at.Addr() == addr })
}

// close ends all reservations.
func (p *ports) close() {
	p.unreserve(func(reservation) bool { return true })
}

func (p *ports) unreserve(over func(reservation) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for token, r := range p.reserved {
		if over(r) {
			delete(p.reserved, token)
			r.socket.Close()
			p.setOf(r.at.Addr()).set(r.at.Port(), false)
		}
	}
}

// portSet is a bitmap of the ports of one address; a set bit is a used port.
type portSet struct {
	within PortRange
	words  []uint64
}

func newPortSet(within PortRange) *portSet {
	s := &portSet{within: within, words: make([]uint64, (within.Size()+63)/64)}
	for i := within.Size(); i < len(s.words)*64; i++ {
		s.words[i/64] |= 1 << (i % 64) // beyond the range: never free
	}
	return s
}

// draw marks a random free port that fits. It looks at each word once.
func (s *portSet) draw(want pairing) (uint16, bool) {
	start := rand.IntN(len(s.words))
	for i := range s.words {
		w := (start + i) % len(s.words)
		free := s.fitting(w, want)
		if free == 0 {
			continue
		}
		for range rand.IntN(bits.OnesCount64(free)) {
			free &= free - 1
		}
		port := s.within.First + uint16(w*64+bits.TrailingZeros64(free))
		s.set(port, true)
		if want == portPair {
			s.set(port+1, true)
		}
		return port, true
	}
	return 0, false
}

// fitting are the ports of one word that are free and of the kind wanted.
func (s *portSet) fitting(w int, want pairing) uint64 {
	free := ^s.words[w]
	if want == anyPort {
		return free
	}
	if want == portPair {
		next := free >> 1
		if w+1 < len(s.words) {
			next |= ^s.words[w+1] << 63
		}
		free &= next
	}
	const evenBits = 0x5555555555555555
	if s.within.First%2 == 0 {
		return free & evenBits
	}
	return free &^ evenBits
}

func (s *portSet) set(port uint16, used bool) {
	i := int(port - s.within.First)
	if used {
		s.words[i/64] |= 1 << (i % 64)
	} else {
		s.words[i/64] &^= 1 << (i % 64)
	}
}
