//go:build linux

package netlab

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is a host's network card on a segment. Plug and Unplug work its cable;
// Remove takes the card out, and a later Attach puts in a new one with the same
// name and another index.
type Link struct {
	Name  string // in the host
	Index int    // in the host
	Addrs []netip.Addr

	host *Host
	port netlink.Link // the far end, in the lab's bridge
}

func (h *Host) attach(name string, s *Segment, addrs []string) (*Link, error) {
	var prefixes []netip.Prefix
	switch {
	case len(addrs) == 0:
		prefixes = s.next()
	case addrs[0] == NoAddr:
	default:
		for _, text := range addrs {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, err
			}
			p, err := s.take(addr)
			if err != nil {
				return nil, err
			}
			prefixes = append(prefixes, p)
		}
	}
	port, err := h.lab.addPort(s, name, h)
	if err != nil {
		return nil, err
	}
	card, err := h.nl.LinkByName(name)
	if err != nil {
		return nil, err
	}
	link := &Link{Name: name, Index: card.Attrs().Index, host: h, port: port}
	if err := h.nl.LinkSetUp(card); err != nil {
		return nil, fmt.Errorf("set %s up: %w", name, err)
	}
	if err := link.awaitCarrier(); err != nil {
		return nil, err
	}
	for _, p := range prefixes {
		if err := link.addAddr(p); err != nil {
			return nil, err
		}
	}
	return link, link.awaitAddrs()
}

// awaitAddrs waits until the kernel has taken up every IPv6 address, its own
// link-local one too: until then it answers no question for the address.
func (k *Link) awaitAddrs() error {
	card, err := k.host.nl.LinkByIndex(k.Index)
	if err != nil {
		return fmt.Errorf("find %s: %w", k.Name, err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		addrs, err := k.host.nl.AddrList(card, netlink.FAMILY_V6)
		if err != nil {
			return fmt.Errorf("list the addresses of %s: %w", k.Name, err)
		}
		tentative := slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE != 0 })
		if !tentative {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("addresses of %s are still tentative after 5s: %v", k.Name, addrs)
		}
	}
}

// awaitCarrier waits until both ends of the cable have seen each other, which
// the kernel works out later: a bridge drops what comes before.
func (k *Link) awaitCarrier() error {
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		card, err := k.host.nl.LinkByIndex(k.Index)
		if err != nil {
			return fmt.Errorf("find %s: %w", k.Name, err)
		}
		port, err := k.host.lab.nl.LinkByIndex(k.port.Attrs().Index)
		if err != nil {
			return fmt.Errorf("find the bridge port of %s: %w", k.Name, err)
		}
		if card.Attrs().OperState == netlink.OperUp && port.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no carrier after 5s: %s is %v, its bridge port %v",
				k.Name, card.Attrs().OperState, port.Attrs().OperState)
		}
	}
}

// addPort makes a veth pair: one end on the segment's bridge, the other already
// inside the host, so that no name is ever seen outside the lab.
func (l *Lab) addPort(s *Segment, name string, h *Host) (netlink.Link, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ports++
	pair := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{
			Name: fmt.Sprintf("port%d", l.ports), MasterIndex: s.bridge, TxQLen: -1,
		},
		PeerName:      name,
		PeerNamespace: netlink.NsFd(h.ns),
	}
	if err := l.nl.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("add veth pair: %w", err)
	}
	return pair, l.nl.LinkSetUp(pair)
}

// AddAddr gives the card one more address, such as "10.77.0.9/24".
func (k *Link) AddAddr(prefix string) {
	k.host.lab.tb.Helper()
	p, err := netip.ParsePrefix(prefix)
	if err == nil {
		err = k.addAddr(p)
	}
	if err != nil {
		k.host.lab.tb.Fatalf("host %s: add address %s to %s: %v", k.host.Name, prefix, k.Name, err)
	}
}

func (k *Link) addAddr(p netip.Prefix) error {
	if err := k.host.nl.AddrAdd(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: k.Index}}, netlinkAddr(p)); err != nil {
		return fmt.Errorf("add address %v: %w", p, err)
	}
	k.Addrs = append(k.Addrs, p.Addr())
	return nil
}

// DelAddr takes an address away.
func (k *Link) DelAddr(prefix string) {
	k.host.lab.tb.Helper()
	p, err := netip.ParsePrefix(prefix)
	if err == nil {
		err = k.host.nl.AddrDel(&netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Index: k.Index}}, netlinkAddr(p))
	}
	if err != nil {
		k.host.lab.tb.Fatalf("host %s: delete address %s from %s: %v", k.host.Name, prefix, k.Name, err)
	}
}

// IPv4 is the card's first IPv4 address, the zero Addr for none.
func (k *Link) IPv4() netip.Addr { return k.first(netip.Addr.Is4) }

// IPv6 is the card's first IPv6 address, the zero Addr for none. Its link-local
// address does not count.
func (k *Link) IPv6() netip.Addr { return k.first(netip.Addr.Is6) }

func (k *Link) first(is func(netip.Addr) bool) netip.Addr {
	for _, addr := range k.Addrs {
		if is(addr) {
			return addr
		}
	}
	return netip.Addr{}
}

// Unplug pulls the cable: the host's interface loses its carrier.
func (k *Link) Unplug() {
	k.host.lab.tb.Helper()
	k.must("unplug", k.host.lab.nl.LinkSetDown(k.port))
}

// Plug puts the cable back and waits for the carrier.
func (k *Link) Plug() {
	k.host.lab.tb.Helper()
	k.must("plug", k.host.lab.nl.LinkSetUp(k.port))
	k.must("plug", k.awaitCarrier())
	k.must("plug", k.awaitAddrs())
}

// Remove deletes the interface, as when a USB network card is pulled.
func (k *Link) Remove() {
	k.host.lab.tb.Helper()
	k.must("remove", k.host.lab.nl.LinkDel(k.port))
}

func (k *Link) must(step string, err error) {
	k.host.lab.tb.Helper()
	if err != nil {
		k.host.lab.tb.Fatalf("host %s: %s %s: %v", k.host.Name, step, k.Name, err)
	}
}

func netlinkAddr(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: &net.IPNet{
		IP:   p.Addr().AsSlice(),
		Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
	}}
}
