package turn

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// An address that is no longer served ends relayed addresses where requests for
// them are answered, and not in the middle of one.
func TestEndOnWaitsForTheGate(t *testing.T) {
	s := newMemServer(t)
	g, l := newGate(s), newMemLink(transportUDP)
	a := allocateIn(t, g, l)
	second, _, err := s.ports.listen(netip.MustParseAddr("127.0.0.2"), anyPort)
	if err != nil {
		t.Fatal(err)
	}
	a.relays[1] = &relay{allocation: a, socket: second.socket, local: second.at, relayed: second.at}
	closed := func() [2]bool { return [2]bool{a.relays[0].socket.Closed(), a.relays[1].socket.Closed()} }
	for _, step := range []struct {
		addr   string
		closed [2]bool
		ended  bool
	}{
		{"127.0.0.3", [2]bool{}, false}, // nothing is relayed there, and nobody is asked
		{"127.0.0.2", [2]bool{false, true}, false},
		{"127.0.0.1", [2]bool{true, true}, true},
	} {
		before, done := closed(), make(chan struct{})
		go func() {
			defer close(done)
			s.endOn(netip.MustParseAddr(step.addr))
		}()
		if step.addr != "127.0.0.3" {
			select {
			case <-done:
				t.Errorf("%s: ended without the gate", step.addr)
			case <-time.After(20 * time.Millisecond):
			}
			if closed() != before {
				t.Errorf("%s: relayed addresses ended while the gate was busy", step.addr)
			}
			g.next()
		}
		<-done
		if ended := s.registry.byID(a.id) == nil; closed() != step.closed || ended != step.ended {
			t.Errorf("%s: closed %v, ended %v; want %v, %v", step.addr, closed(), ended, step.closed, step.ended)
		}
	}
}

// However often the kernel tells of changes, the relay looks in time.
func TestChangesPutNothingOff(t *testing.T) {
	s := newMemServer(t)
	synctest.Test(t, func(t *testing.T) {
		before := s.policy.site()
		s.policy.setSite(newSite(nil, interfaceFilter{})) // as if the box had been unplugged
		ctx, stop := context.WithCancel(t.Context())
		changes, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			s.tend(ctx, changes, func(*service) {})
		}()
		start := time.Now()
		for !s.policy.site().equal(before) && time.Since(start) < time.Second {
			changes <- struct{}{}
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(start); took > 2*settleTime {
			t.Errorf("seen after %v, want %v", took, settleTime)
		}
		stop()
		<-done
	})
}

// An address that cannot be bound is tried again soon, and less and less often.
func TestRounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRounds()
		defer r.timer.Stop()
		for i, step := range []struct {
			failed, progress bool
			next             time.Duration
		}{
			{false, false, tendEvery},
			{true, false, firstRetry},
			{true, false, 2 * firstRetry},
			{true, false, 4 * firstRetry},
			{true, false, tendEvery},
			{true, false, tendEvery},
			{true, true, firstRetry},
			{true, false, 2 * firstRetry},
			{false, false, tendEvery},
			{true, false, firstRetry},
		} {
			<-r.timer.C
			r.looked(step.failed, step.progress)
			if next := time.Until(r.due); next != step.next {
				t.Errorf("round %d: next in %v, want %v", i, next, step.next)
			}
		}
		for range 3 {
			time.Sleep(10 * time.Millisecond)
			r.changed()
		}
		if next := time.Until(r.due); next != settleTime-20*time.Millisecond {
			t.Errorf("after three changes: next in %v", next)
		}
	})
}

// While the relay runs, a port that another program has on one address keeps it
// from no other, and is told of once.
func TestPortInUseOnOneAddress(t *testing.T) {
	var out bytes.Buffer
	s := newMemServer(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&out, nil)) })
	taken, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	e := &entry{listenAddr: listenAddr{port: addrPortOf(taken.LocalAddr()).Port()}}
	box := &site{unicast: []netip.Addr{netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3"), netip.MustParseAddr("192.0.2.7")}}
	look := func(what string, opened []string, faults, lines int) {
		t.Helper()
		services, failed := s.openMissing(e, box)
		var got []string
		for _, one := range services {
			got = append(got, one.at.Addr().String())
		}
		if !slices.Equal(got, opened) || len(failed) != faults || strings.Count(out.String(), "address not served") != lines {
			t.Errorf("%s: opened %v, faults %v, log %q; want %v, %d faults, %d lines", what, got, failed, &out, opened, faults, lines)
		}
	}
	look("at first", []string{"127.0.0.3"}, 2, 2) // 192.0.2.7 is not an address of this machine
	look("again", nil, 2, 2)
	box.unicast = box.unicast[:2]
	look("without an address", nil, 1, 2)
	box.unicast = append(box.unicast, netip.MustParseAddr("192.0.2.7"))
	look("with it", nil, 2, 3)
	taken.Close()
	look("when the port is free", []string{"127.0.0.2"}, 1, 3)
}
