package turn

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"signalbox/turn/internal/udpio"
)

var loopback = netip.MustParseAddr("127.0.0.1")

// Every port of the range is found, however full it is, and none twice.
func TestPortsUseWholeRange(t *testing.T) {
	for _, within := range []PortRange{{50000, 50000}, {50001, 50130}, {65000, 65535}, {1024, 1087}} {
		p, seen := newPorts(within, nil, new(udpio.Counters)), map[uint16]bool{}
		for range within.Size() {
			at, ok := p.take(loopback, anyPort)
			if !ok || seen[at.Port()] || !within.Contains(at.Port()) {
				t.Fatalf("%v: draw %d gave %v, %v", within, len(seen)+1, at, ok)
			}
			seen[at.Port()] = true
		}
		if at, ok := p.take(loopback, anyPort); ok {
			t.Errorf("%v: full range gave %v", within, at)
		}
		if _, ok := p.take(netip.MustParseAddr("127.0.0.2"), anyPort); !ok {
			t.Errorf("%v: a full address keeps ports from another", within)
		}
		freed := netip.AddrPortFrom(loopback, within.Last)
		p.release(freed, anyPort)
		if at, ok := p.take(loopback, anyPort); !ok || at != freed {
			t.Errorf("%v: got %v after %v was freed", within, at, freed)
		}
	}
}

// Two local addresses behind one of a NAT never hand out the same port of it.
func TestPortsOfOnePublicAddress(t *testing.T) {
	public, other := netip.MustParseAddr("203.0.113.5"), netip.MustParseAddr("127.0.0.2")
	p := newPorts(PortRange{50000, 50063}, externals{{Public: public, Local: loopback}, {Public: public, Local: other}}, new(udpio.Counters))
	seen := map[netip.AddrPort]bool{}
	for i := range 64 {
		at, ok := p.take([]netip.Addr{loopback, other}[i%2], anyPort)
		if handed := p.advertise(at); !ok || seen[handed] || handed.Addr() != public {
			t.Fatalf("draw %d gave %v, %v, handed out as %v", i, at, ok, handed)
		}
		seen[p.advertise(at)] = true
	}
	if at, ok := p.take(other, anyPort); ok {
		t.Errorf("full range gave %v", at)
	}
	freed := netip.AddrPortFrom(loopback, 50007)
	p.release(freed, anyPort)
	if at, ok := p.take(other, anyPort); !ok || at.Port() != freed.Port() {
		t.Errorf("got %v after %v was freed", at, freed)
	}
}

func TestPortsInPairs(t *testing.T) {
	for _, within := range []PortRange{{50000, 50127}, {50001, 50200}} {
		p := newPorts(within, nil, new(udpio.Counters))
		pairs := 0
		for {
			at, ok := p.take(loopback, portPair)
			if !ok {
				break
			}
			if at.Port()%2 != 0 || !within.Contains(at.Port()+1) {
				t.Fatalf("%v: got port %d for a pair", within, at.Port())
			}
			pairs++
		}
		if want := (int(within.Last)+1)/2 - (int(within.First)+1)/2; pairs != want {
			t.Errorf("%v: %d pairs, want %d", within, pairs, want)
		}
		p.release(netip.AddrPortFrom(loopback, 50100), portPair)
		if at, ok := p.take(loopback, evenPort); !ok || at.Port() != 50100 && at.Port() != within.Last {
			t.Errorf("%v: even port: got %v, %v", within, at, ok)
		}
	}
}

// Ports that other programs hold are passed over.
func TestPortsPassOverForeign(t *testing.T) {
	within := PortRange{20960, 20967}
	p := newPorts(within, nil, new(udpio.Counters))
	foreign, err := udpio.Listen(netip.AddrPortFrom(loopback, 20963), udpio.Options{})
	if err != nil {
		t.Skipf("port 20963 is in use: %v", err)
	}
	defer foreign.Close()
	for range within.Size() - 1 {
		port, _, err := p.listen(loopback, anyPort)
		if err != nil {
			t.Fatal(err)
		}
		defer port.socket.Close()
	}
	if _, _, err := p.listen(loopback, anyPort); !errors.Is(err, errNoPort) {
		t.Errorf("got error %v, want %v", err, errNoPort)
	}
}

// A reserved port is bound until it is claimed or its time is over.
func TestReservation(t *testing.T) {
	p := newPorts(PortRange{20970, 20971}, nil, new(udpio.Counters))
	first, next, err := p.listen(loopback, portPair)
	if err != nil {
		t.Skipf("ports 20970 and 20971 are in use: %v", err)
	}
	defer first.socket.Close()
	token := reservationToken{1}
	p.reserve(token, next, "anna")
	if _, err := p.claim(token, "bert"); err == nil {
		t.Error("bert got anna's port")
	}
	if other, err := udpio.Listen(next.at, udpio.Options{}); err == nil {
		other.Close()
		t.Error("the reserved port is not bound")
	}
	if got, err := p.claim(token, "anna"); err != nil || got != next {
		t.Errorf("claim: got %v, %v, want %v", got.at, err, next.at)
	}
	if _, err := p.claim(token, "anna"); err == nil {
		t.Error("a reservation was claimed twice")
	}
	p.reserve(token, next, "anna")
	p.expire(time.Now().Add(reservationLifetime + time.Second))
	if got, ok := p.take(loopback, anyPort); !ok || got != next.at {
		t.Errorf("after expiry: got %v, %v, want %v", got, ok, next.at)
	}
	other, err := udpio.Listen(next.at, udpio.Options{})
	if err != nil {
		t.Fatalf("after expiry: %v", err)
	}
	other.Close()
}

// Reservations end with the address that they are on.
func TestReservationsOnGoneAddress(t *testing.T) {
	p := newPorts(PortRange{20972, 20973}, nil, new(udpio.Counters))
	other := netip.MustParseAddr("127.0.0.2")
	for i, addr := range []netip.Addr{loopback, other} {
		first, next, err := p.listen(addr, portPair)
		if err != nil {
			t.Skipf("ports 20972 and 20973 are in use: %v", err)
		}
		defer first.socket.Close()
		p.reserve(reservationToken{byte(i)}, next, "anna")
	}
	if p.mayReserve("anna", 2, 100) || p.mayReserve("bert", 100, 2) || !p.mayReserve("anna", 3, 3) || !p.mayReserve("bert", 1, 3) {
		t.Error("two ports reserved for anna are not counted so")
	}
	p.leave(loopback)
	if _, err := p.claim(reservationToken{0}, "anna"); !errors.Is(err, errNoReservation) {
		t.Errorf("claim on the address that has gone: %v", err)
	}
	if at, ok := p.take(loopback, anyPort); !ok || at.Port() != 20973 {
		t.Errorf("got %v, want the port that was reserved", at)
	}
	port, err := p.claim(reservationToken{1}, "anna")
	if err != nil {
		t.Fatalf("claim on the other address: %v", err)
	}
	p.reserve(reservationToken{1}, port, "anna")
	p.close()
	if !port.socket.Closed() {
		t.Error("a reserved port is bound after close")
	}
	if len(p.reserved) != 0 {
		t.Errorf("%d reservations left after close", len(p.reserved))
	}
}
