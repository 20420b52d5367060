package udpio

import (
	"net/netip"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// On a path that takes no segments of a size, packets go out one by one. That
// is found out once a minute for each size, and costs no memory.
func TestNarrowPath(t *testing.T) {
	lab := netlab.New(t, "box", "tablet")
	counters := new(Counters)
	var s *Socket
	if err := lab.Host("box").Do(func() (err error) {
		s, err = Listen(netip.AddrPortFrom(lab.Host("box").IPv4(), 0), Options{Counters: counters, SendBuffer: 4 << 20})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, meter, now := NewBatch(counters, 64), new(Meter), time.Now()
	to := netip.AddrPortFrom(lab.Host("tablet").IPv4(), 9)
	send := func(size int) (trains int) {
		for range 8 {
			b.Send(s, Packet{To: to, Payload: make([]byte, 2000)[:size], Meters: [2]*Meter{meter}})
		}
		trains = len(b.trains)
		b.Flush()
		return trains
	}
	sent := uint64(0)
	for i, step := range []struct {
		size, trains int
		pass         time.Duration
	}{
		{1400, 1, 0},
		{1600, 1, 0}, // more than the 1500 bytes of the network with its headers
		{1600, 8, 0},
		{1700, 8, 0},
		{1400, 1, 0},
		{1599, 1, 0},
		{1599, 8, narrowFor - 1},
		{1600, 8, 0},
		{1480, 1, 0},
		{1600, 1, narrowFor},
	} {
		now = now.Add(step.pass)
		b.Begin(now)
		if got := send(step.size); got != step.trains {
			t.Errorf("step %d, 8 packets of %d bytes: %d sends, want %d", i, step.size, got, step.trains)
		}
		if sent += 8; meter.Packets() != sent {
			t.Errorf("step %d: %d packets sent, want %d", i, meter.Packets(), sent)
		}
	}
	other := netip.AddrPortFrom(lab.Host("tablet").IPv4(), 10)
	if b.narrow.refuse(s, other, 1600, now) {
		t.Error("what one path does not take is refused on another")
	}
	payload := make([]byte, 1600)
	if n := testing.AllocsPerRun(100, func() {
		now = now.Add(2 * narrowFor) // so that it fails each time
		b.Begin(now)
		for range 8 {
			b.Send(s, Packet{To: to, Payload: payload, Meters: [2]*Meter{meter}})
		}
		b.Flush()
	}); n != 0 {
		t.Errorf("%v allocations for 8 packets that cannot be sent together", n)
	}
	if n := counters.SendFailed.Load() + counters.BufferFull.Load(); n != 0 {
		t.Errorf("%d packets not sent", n)
	}
}
