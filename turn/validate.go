package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// FieldError is one fault in the configuration.
type FieldError struct {
	Key  string // turn.relay_ports
	Got  string
	Want string // what would be accepted
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: got %q, want %s", e.Key, e.Got, e.Want) }

// maxRealm keeps a challenge small; RFC 8489 §14.9 would allow 127 characters.
const maxRealm = 63

// maxCount is the most that any of the caps may be set to.
const maxCount = 1 << 20

// Validate reports every fault of the section, joined, each a *FieldError.
// Zero fields stand for their defaults and are accepted. No socket is touched.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	fault := func(key, got, want string) {
		errs = append(errs, &FieldError{"turn." + key, got, want})
	}
	checkListen("listen", c.Listen, `ADDRESS:PORT or :PORT in numbers, such as ":3478" or "192.168.1.5:3478"`, fault)
	checkListen("tls_listen", c.TLSListen, `"auto", or ADDRESS:PORT or :PORT in numbers, such as ":5349"`, fault)
	if _, err := ParsePortRange(c.RelayPorts.String()); err != nil {
		_, want, _ := strings.Cut(err.Error(), "want ")
		fault("relay_ports", c.RelayPorts.String(), want)
	}
	checkPrefixes("allow_peers", c.AllowPeers, fault)
	checkPrefixes("deny_peers", c.DenyPeers, fault)
	for _, p := range c.AllowPeers {
		if p.IsValid() && unreachable(p) {
			fault("allow_peers", p.String(), "a network of unicast addresses: nothing opens this one")
		}
	}
	checkExternal(c.External, fault)
	for _, pattern := range c.IgnoreInterfaces {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			fault("ignore_interfaces", pattern, `interface names in which * stands for any characters, such as "docker*"`)
		}
	}
	if !validRealm(c.Realm) {
		fault("realm", c.Realm, fmt.Sprintf(`1 to %d printable ASCII characters without " or \`, maxRealm))
	}
	checkCounts(c, fault)
	return errors.Join(errs...)
}

type faultFunc func(key, got, want string)

func checkListen(key string, listen []string, want string, fault faultFunc) {
	seen := map[string]bool{}
	for _, text := range listen {
		if _, err := parseListen(text); err != nil && !(key == "tls_listen" && text == autoTLS) {
			fault(key, text, want)
		} else if seen[text] {
			fault(key, text, "each address once")
		}
		seen[text] = true
	}
}

func checkPrefixes(key string, prefixes []netip.Prefix, fault faultFunc) {
	for _, p := range prefixes {
		switch {
		case !p.IsValid():
			fault(key, p.String(), `ADDRESS/BITS, such as "10.20.0.0/16"`)
		case p.Addr().Is4In6():
			fault(key, p.String(), "an IPv4 network in IPv4 notation: every spelling of its addresses is covered")
		case p.Masked() != p:
			fault(key, p.String(), p.Masked().String())
		}
	}
}

func checkExternal(mappings []External, fault faultFunc) {
	seen := map[netip.Addr]bool{}
	for _, e := range mappings {
		local := e.Local
		if !local.IsValid() {
			local = wildcardOf(e.Public)
		}
		switch {
		case !e.Public.IsGlobalUnicast() || e.Public.Is4In6():
			fault("external", e.String(), "a public unicast address")
		case local.Is4() != e.Public.Is4():
			fault("external", e.String(), "PUBLIC/LOCAL of one family")
		case seen[local]:
			fault("external", e.String(), "one public address for each local one")
		}
		seen[local] = true
	}
}

// wildcardOf is the unspecified address of addr's family.
func wildcardOf(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

func validRealm(realm string) bool {
	if realm == "" || len(realm) > maxRealm {
		return false
	}
	for _, r := range realm {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			return false
		}
	}
	return true
}

func checkCounts(c Config, fault faultFunc) {
	for _, n := range []struct {
		key string
		got int
	}{
		{"max_allocations", c.MaxAllocations},
		{"max_allocations_per_user", c.MaxAllocationsPerUser},
		{"max_permissions", c.MaxPermissions},
		{"max_channels", c.MaxChannels},
		{"max_conns", c.MaxConns},
		{"max_conns_per_source", c.MaxConnsPerSource},
		{"max_challenges", c.MaxChallenges},
	} {
		if n.got < 1 || n.got > maxCount {
			fault(n.key, strconv.Itoa(n.got), fmt.Sprintf("1 to %d", maxCount))
		}
	}
}
