package turn

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// External is an address under which the box is reached through a NAT that
// forwards the relay ports unchanged. Allocations on Local are handed out as
// Public; without Local, allocations on every address of Public's family are.
// In configuration it is text: "203.0.113.5" or "203.0.113.5/192.168.1.10".
type External struct {
	Public netip.Addr
	Local  netip.Addr // invalid: every local address of Public's family
}

// UnmarshalText reads "PUBLIC" or "PUBLIC/LOCAL".
func (e *External) UnmarshalText(text []byte) error {
	public, local, mapped := strings.Cut(string(text), "/")
	fault := fmt.Errorf("got %q, want PUBLIC or PUBLIC/LOCAL in addresses, such as \"203.0.113.5/192.168.1.10\"", text)
	var read External
	var err error
	if read.Public, err = netip.ParseAddr(public); err != nil {
		return fault
	}
	if mapped {
		if read.Local, err = netip.ParseAddr(local); err != nil {
			return fault
		}
	}
	*e = read
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (e External) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// String is "PUBLIC" or "PUBLIC/LOCAL".
func (e External) String() string {
	if !e.Local.IsValid() {
		return e.Public.String()
	}
	return e.Public.String() + "/" + e.Local.String()
}

// externals are the addresses of all NATs in front of the box.
type externals []External

// advertise is the address under which local is handed out to clients: the
// mapping that names it, else the one for its whole family, else itself.
func (e externals) advertise(local netip.Addr) netip.Addr {
	public := local
	for _, m := range e {
		if m.Local == local {
			return m.Public
		}
		if !m.Local.IsValid() && m.Public.Is4() == local.Is4() && !local.IsLoopback() {
			public = m.Public
		}
	}
	return public
}

// includes says whether addr leads to the box by one of the NATs.
func (e externals) includes(addr netip.Addr) bool {
	return slices.ContainsFunc(e, func(m External) bool { return m.Public == addr })
}
