package turn

import (
	"fmt"
	"strconv"
	"strings"
)

// PortRange is the UDP ports that relayed addresses are taken from, both ends
// included. In configuration it is text: "49152-65535".
type PortRange struct {
	First, Last uint16
}

// defaultRelayPorts is the dynamic range, as RFC 8656 §7.2 recommends.
var defaultRelayPorts = PortRange{First: 49152, Last: 65535}

// minRelayPort keeps relayed addresses off the ports that only root may bind
// and that peers may trust for it.
const minRelayPort = 1024

// ParsePortRange reads "FIRST-LAST", or one port. The error says what was
// written and what would be accepted.
func ParsePortRange(text string) (PortRange, error) {
	fault := func(want string) (PortRange, error) {
		return PortRange{}, fmt.Errorf("got %q, want %s", text, want)
	}
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	first, err := strconv.ParseUint(strings.TrimSpace(low), 10, 16)
	if err != nil {
		return fault(`FIRST-LAST in numbers up to 65535, such as "49152-65535"`)
	}
	last, err := strconv.ParseUint(strings.TrimSpace(high), 10, 16)
	if err != nil {
		return fault(`FIRST-LAST in numbers up to 65535, such as "49152-65535"`)
	}
	switch {
	case first > last:
		return fault("FIRST-LAST with FIRST not above LAST")
	case first < minRelayPort:
		return fault(fmt.Sprintf("FIRST-LAST with FIRST at least %d", minRelayPort))
	}
	return PortRange{First: uint16(first), Last: uint16(last)}, nil
}

// UnmarshalText is ParsePortRange for TOML and JSON.
func (r *PortRange) UnmarshalText(text []byte) error {
	parsed, err := ParsePortRange(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r PortRange) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is "FIRST-LAST".
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

// Size is the number of ports, 0 for the zero value.
func (r PortRange) Size() int {
	if r == (PortRange{}) || r.First > r.Last {
		return 0
	}
	return int(r.Last) - int(r.First) + 1
}

// Contains says whether port lies in the range.
func (r PortRange) Contains(port uint16) bool { return r.First <= port && port <= r.Last }
