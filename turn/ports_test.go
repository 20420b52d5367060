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

// Behind one public address two local ones do not hand out the same port.
func TestPortsBehindOnePublicAddress(t *testing.T) {
	mapped := []External{{Public: netip.MustParseAddr("203.0.113.5")}}
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.1.1")
	p, seen := newPorts(PortRange{50000, 50009}, mapped, new(udpio.Counters)), map[uint16]bool{}
	for i := range 10 {
		at, ok := p.take([]netip.Addr{a, b}[i%2], anyPort)
		if !ok || seen[at.Port()] {
			t.Fatalf("draw %d gave %v, %v after %v", i, at, ok, seen)
		}
		seen[at.Port()] = true
	}
	if at, ok := p.take(a, anyPort); ok {
		t.Errorf("an eleventh port of ten: %v", at)
	}
	p.release(netip.AddrPortFrom(a, 50004), anyPort)
	if at, ok := p.take(b, anyPort); !ok || at.Port() != 50004 {
		t.Errorf("after one was freed: %v, %v", at, ok)
	}
}

// A user has few ports kept; the oldest goes for the newest, and all go with
// their address.
func TestReservationsAreBounded(t *testing.T) {
	p := newPorts(PortRange{21000, 21099}, nil, new(udpio.Counters))
	token := func(i int) reservationToken { return reservationToken{byte(i), 1} }
	for i := range maxReservations + 1 {
		first, next, err := p.listen(loopback, portPair)
		if err != nil {
			t.Fatal(err)
		}
		first.socket.Close()
		p.reserve(token(i), next, "anna")
		time.Sleep(time.Millisecond) // an order among them
	}
	if _, err := p.claim(token(0), "anna"); !errors.Is(err, errNoReservation) {
		t.Errorf("the oldest of %d: %v, want that it is gone", maxReservations+1, err)
	}
	kept, err := p.claim(token(1), "anna")
	if err != nil {
		t.Fatal(err)
	}
	kept.socket.Close()
	p.endOn(loopback)
	if len(p.reserved) != 0 {
		t.Errorf("%d reservations are left on an address that is gone", len(p.reserved))
	}
}
