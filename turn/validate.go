package turn

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
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

// maxQuotaPeriod is the most that a quota period may last.
const maxQuotaPeriod = 366 * 24 * time.Hour

// Validate reports every fault of the section, joined, each a *FieldError.
// Zero fields stand for their defaults and are accepted. It touches no socket
// and no disk.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	fault := func(key, got, want string) {
		errs = append(errs, &FieldError{"turn." + key, got, want})
	}
	checkListen("listen", c.Listen, `ADDRESS:PORT or :PORT in numbers, such as ":3478" or "192.168.1.5:3478"`, fault)
	checkListen("tls_listen", c.TLSListen, `"auto", or ADDRESS:PORT or :PORT in numbers, such as ":5349"`, fault)
	for _, text := range c.TLSListen {
		if slices.Contains(c.Listen, text) && !strings.HasSuffix(text, ":0") {
			fault("tls_listen", text, "an address that is not in turn.listen")
		}
	}
	if _, err := ParsePortRange(c.RelayPorts.String()); err != nil {
		_, want, _ := strings.Cut(err.Error(), "want ")
		fault("relay_ports", c.RelayPorts.String(), want)
	}
	checkRules("allow_peers", c.AllowPeers, fault)
	checkRules("deny_peers", c.DenyPeers, fault)
	for _, r := range c.AllowPeers {
		if r.Network.IsValid() && unreachable(r.Network) {
			fault("allow_peers", r.String(), "a network of unicast addresses: nothing opens this one")
		}
	}
	checkExternal(c.External, fault)
	checkInterfaces("interfaces", c.Interfaces, fault)
	checkInterfaces("ignore_interfaces", c.IgnoreInterfaces, fault)
	if !validRealm(c.Realm) {
		fault("realm", c.Realm, fmt.Sprintf(`1 to %d printable ASCII characters without " or \`, maxRealm))
	}
	checkUsers(c.Users, fault)
	checkSecretFiles(c.SecretFiles, fault)
	checkCounts(c, fault)
	checkTraffic(c, fault)
	return errors.Join(errs...)
}

// Check is Validate, and reads the files of secrets too.
func (c Config) Check() error {
	if err := c.Validate(); err != nil {
		return err
	}
	files := secretFiles{paths: c.SecretFiles}
	_, err := userKeys(c.Users, c.withDefaults().Realm)
	return errors.Join(err, files.load())
}

type faultFunc func(key, got, want string)

func checkListen(key string, listen []string, want string, fault faultFunc) {
	seen := map[string]bool{}
	for _, text := range listen {
		if _, err := parseListen(text); err != nil && (key != "tls_listen" || text != autoTLS) {
			fault(key, text, want)
		} else if seen[text] {
			fault(key, text, "each address once")
		}
		seen[text] = true
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
		{"max_allocations_per_source", c.MaxAllocationsPerSource},
		{"max_permissions", c.MaxPermissions},
		{"max_permissions_per_user", c.MaxPermissionsPerUser},
		{"max_permissions_per_source", c.MaxPermissionsPerSource},
		{"max_permissions_total", c.MaxPermissionsTotal},
		{"max_channels", c.MaxChannels},
		{"max_channels_per_user", c.MaxChannelsPerUser},
		{"max_channels_per_source", c.MaxChannelsPerSource},
		{"max_channels_total", c.MaxChannelsTotal},
		{"max_conns", c.MaxConns},
		{"max_conns_per_source", c.MaxConnsPerSource},
		{"max_handshakes", c.MaxHandshakes},
		{"max_handshakes_per_source", c.MaxHandshakesPerSource},
		{"max_challenges", c.MaxChallenges},
	} {
		if n.got < 1 || n.got > maxCount {
			fault(n.key, strconv.Itoa(n.got), fmt.Sprintf("1 to %d", maxCount))
		}
	}
}

// checkTraffic finds the faults of limits that are no counts.
func checkTraffic(c Config, fault faultFunc) {
	if c.QuotaPeriod < time.Minute || c.QuotaPeriod > maxQuotaPeriod {
		fault("quota_period", c.QuotaPeriod.String(), "1m to 366d")
	}
	for _, n := range []struct {
		key string
		got int64
	}{
		{"max_bytes_per_user", c.MaxUserBytes}, {"max_bytes_per_source", c.MaxSourceBytes}, {"max_bytes_total", c.MaxTotalBytes},
	} {
		if n.got < 0 {
			fault(n.key, strconv.FormatInt(n.got, 10), "a size, or 0 for no limit")
		}
	}
	for _, n := range []struct {
		key string
		got BitRate
	}{
		{"max_bit_rate_per_allocation", c.MaxBitRatePerAllocation},
		{"max_bit_rate_per_user", c.MaxBitRatePerUser},
		{"max_bit_rate_per_source", c.MaxBitRatePerSource},
		{"max_bit_rate_total", c.MaxBitRateTotal},
	} {
		if !validBitRate(float64(n.got)) {
			fault(n.key, n.got.String(), wantBitRate)
		}
	}
}
