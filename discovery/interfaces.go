package discovery

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"path"
	"slices"
)

// Interface is one network interface as the policy sees it.
type Interface struct {
	Name   string         `json:"name"`
	Index  int            `json:"index"`
	Addrs  []netip.Prefix `json:"addrs"`
	Reason string         `json:"reason,omitempty"` // why it is left out; "" when it is used

	net net.Interface
}

// Interfaces lists the machine's network interfaces by index and says of each
// why it is left out, if it is. The patterns are those of Config.
func Interfaces(include, ignore []string) ([]Interface, error) {
	found, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	slices.SortFunc(found, func(a, b net.Interface) int { return cmp.Compare(a.Index, b.Index) })
	list := make([]Interface, 0, len(found))
	for _, ifi := range found {
		i := Interface{Name: ifi.Name, Index: ifi.Index, net: ifi}
		// Addresses cost a query to the kernel each, and a container host has
		// hundreds of interfaces that are left out by name.
		if i.Reason = leftOut(ifi.Name, include, ignore); i.Reason == "" {
			i.Reason = unfit(ifi.Flags)
		}
		if i.Reason == "" {
			i.Addrs = usableAddrs(&ifi)
			if len(i.Addrs) == 0 {
				i.Reason = "no address yet"
			}
		}
		list = append(list, i)
	}
	return list, nil
}

// leftOut applies the name patterns. A pattern that is none matches nothing;
// Validate has reported it.
func leftOut(name string, include, ignore []string) string {
	if slices.Contains(include, name) {
		return ""
	}
	matches := func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	}
	if i := slices.IndexFunc(ignore, matches); i >= 0 {
		return fmt.Sprintf("left out by discovery.ignore_interfaces (%s)", ignore[i])
	}
	if len(include) > 0 && !slices.ContainsFunc(include, matches) {
		return "not in discovery.interfaces"
	}
	return ""
}

// unfit says why an interface with these flags cannot carry multicast DNS.
func unfit(flags net.Flags) string {
	switch {
	case flags&net.FlagUp == 0:
		return "switched off"
	case flags&net.FlagRunning == 0:
		return "no cable or carrier"
	case flags&net.FlagMulticast == 0:
		return "without multicast"
	}
	return ""
}

// usableAddrs are the addresses to announce: every IPv4 address, and the IPv6
// addresses that mean something without a zone, or the link-local ones when
// there are no others.
func usableAddrs(ifi *net.Interface) []netip.Prefix {
	addrs, err := ifi.Addrs()
	if err != nil {
		return nil // it was removed just now
	}
	var usable, linkLocal []netip.Prefix
	routable6 := false
	for _, a := range addrs {
		ipnet, ok := a.(*net.IPNet)
		if !ok {
			continue
		}
		ip, ok := netip.AddrFromSlice(ipnet.IP)
		if !ok || ip.IsLoopback() || ip.IsUnspecified() {
			continue
		}
		bits, _ := ipnet.Mask.Size()
		p := netip.PrefixFrom(ip.Unmap(), bits)
		if ip.Unmap().Is6() && ip.IsLinkLocalUnicast() {
			linkLocal = append(linkLocal, p)
			continue
		}
		routable6 = routable6 || p.Addr().Is6()
		usable = append(usable, p)
	}
	if !routable6 {
		usable = append(usable, linkLocal...)
	}
	slices.SortFunc(usable, netip.Prefix.Compare)
	return usable
}

// families are the IP families the interface has addresses of.
func (i *Interface) families() []family {
	var has []family
	for _, f := range []family{ip4, ip6} {
		if slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return familyOf(p.Addr()) == f }) {
			has = append(has, f)
		}
	}
	return has
}

// onLink tells whether addr is a neighbour on the interface.
func (i *Interface) onLink(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && addr.IsLinkLocalUnicast() {
		return true
	}
	return slices.ContainsFunc(i.Addrs, func(p netip.Prefix) bool { return p.Contains(addr) })
}
