package udpio

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"time"
)

const (
	// maxTrain and maxTrainBytes bound one segmented send: UDP_MAX_SEGMENTS of
	// kernels before 6.9, and what fits into an IPv4 packet.
	maxTrain      = 64
	maxTrainBytes = 65535 - 20 - 8

	// noPacket ends a list.
	noPacket = -1
)

// Batch gathers packets and sends them together. A loop hands its own to the
// handlers; NewBatch makes one for another goroutine. It belongs to one
// goroutine at a time.
type Batch struct {
	counters *Counters
	now      time.Time

	packets []packet
	trains  []train
	table   []uint16 // 1 + index of the newest train to an address; 0: none
	headers []byte
	used    int // of headers
	out     outbox
	single  outbox // of one packet, see sendSingly
	narrow  narrowPaths
}

// packet is one datagram of a train.
type packet struct {
	header, payload []byte
	pad             int
	meters          [2]*Meter
	next            int32 // in its train
}

// train is packets to one address that are of one size, but for the last,
// which may be smaller: what the kernel can cut out of one segmented send.
type train struct {
	socket      *Socket
	to          netip.AddrPort
	tos         uint8
	whole       bool // not in fragments
	full        bool // nothing may follow
	count       int32
	segment     int // bytes of each packet
	bytes       int
	first, last int32
	slot        uint16 // in table
}

// padding is what Packet.Pad is taken from.
var padding [4]byte

// seed spreads addresses over the table in a way that no sender can know.
var seed = maphash.String(maphash.MakeSeed(), "udpio")

// NewBatch makes a batch of so many packets, 32768 at most, that counts into
// c. With one more it flushes itself.
func NewBatch(c *Counters, size int) *Batch {
	return &Batch{
		counters: c, now: time.Now(),
		packets: make([]packet, 0, size), trains: make([]train, 0, size),
		table:   make([]uint16, 1<<bits.Len(uint(2*size-1))),
		headers: make([]byte, size*MaxHeader),
		out:     newOutbox(size), single: newOutbox(1),
	}
}

// Now is when the loop began to handle what it has read.
func (b *Batch) Now() time.Time { return b.now }

// Begin sets what Now returns, for a batch that is no loop's.
func (b *Batch) Begin(now time.Time) { b.now = now }

// Header returns n bytes, MaxHeader at most, for the header of the next packet.
func (b *Batch) Header(n int) []byte {
	if b.used+n > len(b.headers) {
		b.Flush()
	}
	h := b.headers[b.used : b.used+n : b.used+n]
	b.used += n
	return h
}

// Send queues p to go out from s.
func (b *Batch) Send(s *Socket, p Packet) {
	if len(b.packets) == cap(b.packets) {
		b.sendAll()
	}
	index := int32(len(b.packets))
	b.packets = append(b.packets, packet{p.Header, p.Payload, p.Pad, p.Meters, noPacket})
	size := p.size()
	slot := b.find(s, p.To)
	if at := b.table[slot]; at != 0 {
		t := &b.trains[at-1]
		if t.takes(size, &p) {
			b.packets[t.last].next = index
			t.last = index
			t.count++
			t.bytes += size
			t.full = size < t.segment
			return
		}
	}
	b.trains = append(b.trains, train{
		socket: s, to: p.To, tos: p.TOS, whole: p.Whole, count: 1, segment: size, bytes: size,
		first: index, last: index, slot: uint16(slot),
		full: size == 0 || b.narrow.refuse(s, p.To, size, b.now),
	})
	b.table[slot] = uint16(len(b.trains))
}

// takes says whether a packet may join the train.
func (t *train) takes(size int, p *Packet) bool {
	return !t.full && size > 0 && size <= t.segment && p.TOS == t.tos && p.Whole == t.whole && t.count < maxTrain &&
		t.bytes+size <= maxTrainBytes && !t.socket.noGSO.Load()
}

// find returns the slot of the newest train from s to an address, or the empty
// one where such a train belongs.
func (b *Batch) find(s *Socket, to netip.AddrPort) uint32 {
	mask := uint32(len(b.table) - 1)
	slot := uint32(hash(s, to)) & mask
	for {
		at := b.table[slot]
		if at == 0 || b.trains[at-1].socket == s && b.trains[at-1].to == to {
			return slot
		}
		slot = (slot + 1) & mask
	}
}

func hash(s *Socket, to netip.AddrPort) uint64 {
	addr := to.Addr()
	from := uint64(s.fd)<<48 | uint64(to.Port())<<32
	if addr.Is4() {
		b := addr.As4()
		high, low := bits.Mul64(uint64(binary.LittleEndian.Uint32(b[:]))|from, seed|1)
		return high ^ low
	}
	b := addr.As16()
	high, low := bits.Mul64(binary.LittleEndian.Uint64(b[:8])^seed, binary.LittleEndian.Uint64(b[8:])^bits.RotateLeft64(seed, 32))
	high, low = bits.Mul64(high^low^from, seed|1)
	return high ^ low
}

// Flush sends what is queued. Headers and payloads are free after it.
func (b *Batch) Flush() {
	b.sendAll()
	b.used = 0
}

// sendAll sends the trains in the order in which they began, those of one
// socket in a row together, unless only some of them may be fragmented.
func (b *Batch) sendAll() {
	for from := 0; from < len(b.trains); {
		to := from + 1
		for to < len(b.trains) && b.trains[to].socket == b.trains[from].socket && b.trains[to].whole == b.trains[from].whole {
			to++
		}
		b.sendTrains(b.trains[from:to])
		from = to
	}
	for i := range b.trains {
		b.table[b.trains[i].slot] = 0
	}
	clear(b.trains) // so as not to hold on to what has ended
	clear(b.packets)
	b.trains, b.packets = b.trains[:0], b.packets[:0]
}
