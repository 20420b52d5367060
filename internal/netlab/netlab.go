//go:build linux

// Package netlab builds small networks out of Linux network namespaces, so that
// one test can put a box, a phone and a camera on hosts of their own:
//
//	lab := netlab.New(t, "box", "phone")            // both on segment "lan"
//	plant := lab.Segment("plant", "10.77.1.0/24")   // a wire that reaches no other
//	box := lab.Host("box")
//	box.Attach(plant, "10.77.1.1")                  // a second network card
//	cmd := lab.Host("phone").Command(ctx, "avahi-browse", "-rpt", "_signalbox._tcp")
//	err := box.Do(func() error { ... })             // Go code, on a thread inside
//
// Every segment is a bridge without an address, so nothing is forwarded from one
// to another, and multicast reaches every host of a segment. Namespaces have no
// names outside the test's process: labs of parallel tests and processes cannot
// meet, and a test that dies leaves nothing behind.
//
// It needs root. Without it New skips the test and says so.
package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// DefaultSegment is the segment that New puts its hosts on, 10.77.0.0/24 and
// fd77::/64.
const DefaultSegment = "lan"

// Lab is a set of hosts and the segments between them. It lives as long as the
// test that made it. Its methods fail that test when something cannot be built,
// and may be called concurrently.
type Lab struct {
	tb    testing.TB
	wires netns.NsHandle // the namespace that holds the bridges
	nl    *netlink.Handle

	mu       sync.Mutex
	segments map[string]*Segment
	hosts    map[string]*Host
	ports    int // bridge ports made so far; names the next one
}

// New builds a lab whose named hosts sit on DefaultSegment with an IPv4 and an
// IPv6 address each. With no names it is empty. The test is skipped where
// network namespaces cannot be made.
func New(tb testing.TB, hosts ...string) *Lab {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("network namespaces need root; run this test as root")
	}
	wires, err := newNamespace()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		tb.Skipf("no network namespaces here (%v); run this test with CAP_SYS_ADMIN and CAP_NET_ADMIN", err)
	}
	if err != nil {
		tb.Fatalf("make a network namespace: %v", err)
	}
	nl, err := netlink.NewHandleAt(wires)
	if err != nil {
		wires.Close()
		tb.Fatalf("open netlink: %v", err)
	}
	l := &Lab{
		tb: tb, wires: wires, nl: nl,
		segments: make(map[string]*Segment),
		hosts:    make(map[string]*Host),
	}
	tb.Cleanup(l.close)
	for _, name := range hosts {
		l.Host(name).Attach(l.Segment(DefaultSegment, "10.77.0.0/24", "fd77::/64"))
	}
	return l
}

// Host returns the host of that name, and makes it when it is new: a namespace
// with nothing but its loopback.
func (l *Lab) Host(name string) *Host {
	l.tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if h := l.hosts[name]; h != nil {
		return h
	}
	ns, err := newNamespace()
	if err != nil {
		l.tb.Fatalf("host %s: make a network namespace: %v", name, err)
	}
	nl, err := netlink.NewHandleAt(ns)
	if err != nil {
		ns.Close()
		l.tb.Fatalf("host %s: open netlink: %v", name, err)
	}
	h := &Host{Name: name, lab: l, ns: ns, nl: nl}
	l.hosts[name] = h
	return h
}

// Segment returns the segment of that name, and makes it when it is new, with
// the prefixes that its hosts take their addresses from.
func (l *Lab) Segment(name string, prefixes ...string) *Segment {
	l.tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.segments[name]; s != nil {
		return s
	}
	s := &Segment{Name: name, used: make(map[netip.Addr]bool)}
	for _, text := range prefixes {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			l.tb.Fatalf("segment %s: %v", name, err)
		}
		s.prefixes = append(s.prefixes, p.Masked())
	}
	// Snooping would need a querier on every segment to let multicast through.
	snooping := false
	bridge := &netlink.Bridge{
		LinkAttrs:         netlink.LinkAttrs{Name: fmt.Sprintf("seg%d", len(l.segments)), TxQLen: -1},
		MulticastSnooping: &snooping,
	}
	if err := l.nl.LinkAdd(bridge); err != nil {
		l.tb.Fatalf("segment %s: add bridge: %v", name, err)
	}
	if err := l.nl.LinkSetUp(bridge); err != nil {
		l.tb.Fatalf("segment %s: set bridge up: %v", name, err)
	}
	s.bridge = bridge.Attrs().Index
	l.segments[name] = s
	return s
}

// close ends what still runs on the hosts and lets go of the namespaces; the
// kernel then removes every interface in them.
func (l *Lab) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hosts {
		for _, p := range killAll(h.ns) {
			l.tb.Logf("netlab: killed %s, left running on host %s", p, h.Name)
		}
		h.nl.Close()
		h.ns.Close()
	}
	l.nl.Close()
	l.wires.Close()
}

// Segment is one wire: every host attached to it hears every other.
type Segment struct {
	Name     string
	bridge   int // ifindex in the lab's own namespace
	prefixes []netip.Prefix

	mu   sync.Mutex
	used map[netip.Addr]bool
}

// take reserves addr with its prefix length.
func (s *Segment) take(addr netip.Addr) (netip.Prefix, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.prefixes {
		if p.Contains(addr) {
			s.used[addr] = true
			return netip.PrefixFrom(addr, p.Bits()), nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("address %v is outside segment %s, want one of %v", addr, s.Name, s.prefixes)
}

// next reserves the lowest free address of every prefix.
func (s *Segment) next() []netip.Prefix {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken []netip.Prefix
	for _, p := range s.prefixes {
		addr := p.Addr().Next()
		for s.used[addr] {
			addr = addr.Next()
		}
		s.used[addr] = true
		taken = append(taken, netip.PrefixFrom(addr, p.Bits()))
	}
	return taken
}
