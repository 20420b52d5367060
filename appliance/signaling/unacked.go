package signaling

// entry is one frame of the control lane, kept until the client acknowledges it.
type entry struct {
	body    []byte // JSON of the frame behind its seq and ack; immutable, shared among receivers
	receipt receipt
}

// receipt says whom to tell what became of an entry; zero: nobody.
type receipt struct {
	origin  *Session
	id      uint64 // the request id to answer; 0 when only the key wants to know
	sentKey *sentKey
}

func (r receipt) wanted() bool { return r.origin != nil }

// unacked is the log of frames sent but not yet acknowledged: a ring indexed by
// seq. The zero value is an empty log whose first frame gets seq 1.
type unacked struct {
	ring  []entry // length is a power of two, or zero
	acked uint64  // the highest acknowledged seq
	n     int
	bytes int // sum of the bodies
}

// next is the seq the next frame will get.
func (u *unacked) next() uint64 { return u.acked + uint64(u.n) + 1 }

// push appends e and returns its seq.
func (u *unacked) push(e entry) uint64 {
	if u.n == len(u.ring) {
		u.grow()
	}
	seq := u.next()
	u.ring[seq&uint64(len(u.ring)-1)] = e
	u.n++
	u.bytes += len(e.body)
	return seq
}

func (u *unacked) grow() {
	ring := make([]entry, max(1, 2*len(u.ring)))
	for seq := u.acked + 1; seq < u.next(); seq++ {
		ring[seq&uint64(len(ring)-1)] = *u.at(seq)
	}
	u.ring = ring
}

// at gives the entry of seq, which must be in the log.
func (u *unacked) at(seq uint64) *entry { return &u.ring[seq&uint64(len(u.ring)-1)] }

// ack drops every frame up to seq and appends the receipts due to due.
func (u *unacked) ack(seq uint64, due []receipt) []receipt {
	for u.n > 0 && u.acked < seq {
		e := u.at(u.acked + 1)
		if e.receipt.wanted() {
			due = append(due, e.receipt)
		}
		u.bytes -= len(e.body)
		*e = entry{}
		u.acked++
		u.n--
	}
	if u.n == 0 && len(u.ring) > 16 {
		u.ring = nil // a burst's memory is not kept by an idle session
	}
	return due
}

// rebase continues numbering after seq: the frames still in the log become
// seq+1, seq+2 and so on.
func (u *unacked) rebase(seq uint64) {
	moved := unacked{acked: seq}
	for old := u.acked + 1; old < u.next(); old++ {
		moved.push(*u.at(old))
	}
	*u = moved
}
