//go:build linux

package main

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// load sends on all flows in both directions, as much in one as in the other,
// and counts what arrives. It belongs to one goroutine, which never blocks.
type load struct {
	lab   *lab
	flows []*flow
	tail  []byte // what follows the stamp in each payload
	poll  *poller
	in    *inbox
	cell  cell

	run      uint32
	next     int // flow and direction of the next burst
	sent     uint64
	received uint64 // of this run
	arrived  uint64 // of any run
}

const (
	headRoom  = 128 // bytes of each datagram that the load looks at
	loadBatch = 64

	// burstsAtOnce is how many bursts are sent before the load looks for what
	// has arrived.
	burstsAtOnce = 8

	// A saturated server is offered overload times what it delivers, and a
	// little more to find out that it could do better. What it must throw
	// away costs it time: an unlimited load would measure that instead.
	overload   = 1.2
	adaptEvery = 10 * time.Millisecond
	firstRate  = 40_000
	probeRate  = 5_000 // packets per second
	drainTime  = 50 * time.Millisecond
)

func newLoad(lab *lab, cell cell) (*load, error) {
	poll, err := newPoller()
	if err != nil {
		return nil, err
	}
	l := &load{lab: lab, cell: cell, poll: poll, in: newInbox(loadBatch, headRoom), tail: make([]byte, cell.payload)}
	for i := range l.tail {
		l.tail[i] = byte(i * 7)
	}
	return l, nil
}

func (l *load) close() {
	for _, f := range l.flows {
		f.close()
	}
	_ = unix.Close(l.poll.fd)
}

// watch has the load count what arrives from here on. The event of a flow's
// peer has twice the flow's index, that of its client one more.
func (l *load) watch() error {
	for i, f := range l.flows {
		for side, fd := range []int{f.peer, f.client} {
			if err := l.poll.add(fd, int32(2*i+side)); err != nil {
				return err
			}
		}
	}
	return nil
}

// traffic is what one measurement counted.
type traffic struct {
	sent      uint64
	received  uint64 // of those sent
	delivered uint64 // while it lasted, whenever sent
	use       usage
}

// measure warms up and then counts for the time given. begin is called when the
// counting starts.
func (l *load) measure(ctx context.Context, m *meter, warm, lasts time.Duration, begin func()) (traffic, error) {
	p := pace{rate: l.cell.rate, adapt: l.cell.rate == 0}
	if p.adapt {
		p.rate = firstRate
	}
	l.drive(ctx, &p, warm)
	begin()
	l.run++
	l.sent, l.received = 0, 0
	before := l.arrived
	from, err := m.read()
	if err != nil {
		return traffic{}, err
	}
	l.drive(ctx, &p, lasts)
	to, err := m.read()
	if err != nil {
		return traffic{}, err
	}
	t := traffic{delivered: l.arrived - before, use: to.since(from)}
	for end := time.Now().Add(drainTime); time.Now().Before(end); {
		l.drain()
	}
	t.sent, t.received = l.sent, l.received
	return t, ctx.Err()
}

// pace says how much is due.
type pace struct {
	rate  float64 // packets per second
	adapt bool    // to what arrives
}

// drive sends and receives for a while.
func (l *load) drive(ctx context.Context, p *pace, lasts time.Duration) {
	burst := l.cell.burst()
	start := time.Now()
	end, last, adapted := start.Add(lasts), start, start
	due, arrived := 0.0, l.arrived
	for now := start; now.Before(end) && ctx.Err() == nil; now = time.Now() {
		due += p.rate * now.Sub(last).Seconds()
		last = now
		for range burstsAtOnce {
			if due < float64(burst) {
				break
			}
			l.sendBurst(burst)
			due -= float64(burst)
		}
		if p.adapt {
			due = min(due, float64(2*burstsAtOnce*burst)) // the load is slower than it should: so be it
		}
		l.drain()
		if passed := now.Sub(adapted); p.adapt && passed >= adaptEvery {
			p.rate = max(firstRate, overload*float64(l.arrived-arrived)/passed.Seconds()+probeRate)
			adapted, arrived = now, l.arrived
		}
	}
}

// sendBurst sends on one flow after the other, in one direction and then in
// the other.
func (l *load) sendBurst(n int) {
	f := l.flows[l.next/2%len(l.flows)]
	s := stamp{run: l.run, flow: f.index, seq: l.sent}
	b := f.up
	if l.next&1 == 1 {
		b, s.down = f.down, true
	}
	l.next++
	l.sent += uint64(b.send(s, n))
}

// drain counts all that has arrived.
func (l *load) drain() {
	for _, event := range l.poll.wait(true) {
		f := l.flows[event.Fd/2]
		fd, at := f.peer, 0
		if event.Fd&1 == 1 {
			fd, at = f.client, f.payloadAt
		}
		n := l.in.receive(fd, unix.MSG_TRUNC)
		for i := range n {
			l.count(i, at)
		}
	}
}

func (l *load) count(i, at int) {
	data := l.in.data(i)
	s, ok := readStamp(data[min(at, len(data)):])
	if !ok {
		return
	}
	n := uint64(l.in.segments(i))
	l.arrived += n
	if s.run == l.run {
		l.received += n
	}
}
