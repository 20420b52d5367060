package turn

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
)

// iface is what the relay needs to know of a network interface.
type iface struct {
	name     string
	up       bool
	prefixes []netip.Prefix // addresses, each with the length of its network
}

// readInterfaces lists the interfaces of the machine.
func readInterfaces() ([]iface, error) {
	found, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	list := make([]iface, 0, len(found))
	for _, f := range found {
		addrs, err := f.Addrs()
		if err != nil {
			continue // gone since it was listed
		}
		i := iface{name: f.Name, up: f.Flags&net.FlagUp != 0}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				i.prefixes = append(i.prefixes, p)
			}
		}
		list = append(list, i)
	}
	return list, nil
}

// site is what is attached to the box at one moment. It does not change.
type site struct {
	own        map[netip.Addr]bool   // every address of the box, on ignored interfaces too
	unicast    []netip.Addr          // those a wildcard listener serves
	interfaces map[netip.Addr]string // the interface that each of unicast is on
	networks   []netip.Prefix        // attached networks with room for a neighbour
	broadcasts map[netip.Addr]bool   // first and last address of each attached IPv4 network
}

// newSite reads the state of the box out of its interfaces, leaving out those
// that are no part of it.
func newSite(interfaces []iface, parts interfaceFilter) *site {
	s := &site{own: map[netip.Addr]bool{}, broadcasts: map[netip.Addr]bool{}, interfaces: map[netip.Addr]string{}}
	for _, i := range interfaces {
		included := parts.includes(i.name)
		for _, p := range i.prefixes {
			s.own[p.Addr()] = true
			if i.up && included {
				s.attach(i.name, p)
			}
		}
	}
	return s
}

func (s *site) attach(name string, p netip.Prefix) {
	addr := p.Addr()
	if addr.IsLinkLocalUnicast() || addr.IsMulticast() || addr.IsUnspecified() {
		return
	}
	s.unicast = append(s.unicast, addr)
	s.interfaces[addr] = name
	if addr.IsLoopback() || p.IsSingleIP() {
		return
	}
	network := p.Masked()
	if !slices.Contains(s.networks, network) {
		s.networks = append(s.networks, network)
	}
	if addr.Is6() && p.Bits() < 127 {
		s.own[network.Addr()] = true // the subnet-router anycast address (RFC 4291 §2.6.1)
	}
	if addr.Is4() && p.Bits() < 31 { // RFC 3021: a /31 has no broadcast address
		s.broadcasts[network.Addr()] = true
		s.broadcasts[lastOf(network)] = true
	}
}

// equal says whether nothing has changed.
func (s *site) equal(other *site) bool {
	return maps.Equal(s.own, other.own) && maps.Equal(s.interfaces, other.interfaces) &&
		maps.Equal(s.broadcasts, other.broadcasts) && slices.Equal(s.networks, other.networks)
}

// lastOf is the highest address of an IPv4 network.
func lastOf(network netip.Prefix) netip.Addr {
	b := network.Addr().As4()
	for bit := network.Bits(); bit < 32; bit++ {
		b[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(b)
}

// attached says whether addr is on one of the site's networks.
func (s *site) attached(addr netip.Addr) bool {
	return slices.ContainsFunc(s.networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}
