package trust

import (
	"net/netip"
	"slices"
	"strings"
)

// A certificate travels with every handshake, so what it names is bounded.
const (
	maxNames = 64
	maxAddrs = 128
)

// Every leaf is for these; a page on localhost is how a technician begins.
const localhost = "localhost"

var loopback = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}

// subjects are what a leaf is for.
type subjects struct {
	names   []string
	addrs   []netip.Addr
	refused []string // what the box has and its root does not permit, or one too many
}

// subjectsOf sorts what the box is called into what the root permits and what
// it does not. The result depends on the set and not on its order.
func (r *root) subjectsOf(names []string, addrs []netip.Addr) subjects {
	var s subjects
	for _, name := range names {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		switch {
		case name == "" || name == localhost:
		case validName(name) && r.permitsName(name):
			s.names = append(s.names, name)
		default:
			s.refused = append(s.refused, name)
		}
	}
	for _, addr := range addrs {
		addr = addr.Unmap().WithZone("")
		switch {
		case !addr.IsValid() || addr.IsUnspecified() || addr.IsMulticast() || slices.Contains(loopback, addr):
		case r.permits(addr):
			s.addrs = append(s.addrs, addr)
		default:
			s.refused = append(s.refused, addr.String())
		}
	}
	slices.Sort(s.names)
	s.names = slices.Compact(s.names)
	for len(s.names) >= maxNames {
		s.refused = append(s.refused, s.names[len(s.names)-1])
		s.names = s.names[:len(s.names)-1]
	}
	slices.SortFunc(s.addrs, netip.Addr.Compare)
	s.addrs = slices.Compact(s.addrs)
	for len(s.addrs) > maxAddrs-len(loopback) {
		s.refused = append(s.refused, s.addrs[len(s.addrs)-1].String())
		s.addrs = s.addrs[:len(s.addrs)-1]
	}
	s.names = append(s.names, localhost)
	s.addrs = append(s.addrs, loopback...)
	slices.Sort(s.refused)
	s.refused = slices.Compact(s.refused)
	return s
}

func (s subjects) equal(o subjects) bool {
	return slices.Equal(s.names, o.names) && slices.Equal(s.addrs, o.addrs)
}

// all lists names and addresses as text.
func (s subjects) all() []string {
	list := slices.Clone(s.names)
	for _, addr := range s.addrs {
		list = append(list, addr.String())
	}
	return list
}
