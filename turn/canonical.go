package turn

import "net/netip"

// IPv6 networks whose addresses carry an IPv4 address, and where in the
// sixteen bytes it stands.
var (
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291 §2.5.5.1: last four bytes
	translated = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765 §2.1: last four bytes
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052 §2.1: last four bytes
	nat64Local = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215: last four bytes of a /96 in it
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056 §2: bytes 2 to 5
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380 §4: last four bytes, inverted
)

// canonical is the address that addr is only another spelling of: IPv4 for
// ::ffff:a.b.c.d and ::a.b.c.d, and no zone. Peer addresses go through it
// before anything is compared with them.
func canonical(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if compatible.Contains(addr) && addr != netip.IPv6Unspecified() && addr != netip.IPv6Loopback() {
		return lastFour(addr)
	}
	return addr
}

// embedded is the IPv4 address that a translator or a tunnel would make of an
// IPv6 one. It is a different host than addr on the wire, yet reaching one is
// reaching the other, so that a peer must be allowed as both.
func embedded(addr netip.Addr) (netip.Addr, bool) {
	b := addr.As16()
	switch {
	case addr.Is4():
		return netip.Addr{}, false
	case nat64.Contains(addr), nat64Local.Contains(addr), translated.Contains(addr):
		return lastFour(addr), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(addr):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	case b[8]&^0x02 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe: // ISATAP, RFC 5214 §6.1
		return lastFour(addr), true
	}
	return netip.Addr{}, false
}

func lastFour(addr netip.Addr) netip.Addr {
	b := addr.As16()
	return netip.AddrFrom4([4]byte(b[12:]))
}

func canonicalPort(addr netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(canonical(addr.Addr()), addr.Port())
}
