package turn

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// PeerRule names peers: the addresses of a network, at some ports if it says
// so, and for some users if it says so. In configuration it is text:
// "10.20.0.0/16", "10.20.0.5/32 port 554" or
// "10.20.0.0/16 port 5000-6000 user cam-*".
type PeerRule struct {
	Network   netip.Prefix
	FirstPort uint16 // 0 with LastPort: every port
	LastPort  uint16
	User      string // pattern in which * stands for any characters; "": everyone
}

// wantRule says what ParsePeerRule accepts.
const wantRule = `NETWORK, then "port N" or "port N-M", then "user PATTERN", such as "10.20.0.0/16 port 5000-6000 user cam-*"`

// maxUserPattern is in bytes.
const maxUserPattern = 255

// ParsePeerRule reads a rule. The error says what was written and what would be
// accepted. A network with bits behind its length, and one that nothing may
// open, are for Validate to refuse.
func ParsePeerRule(text string) (PeerRule, error) {
	fault := func(want string) (PeerRule, error) {
		return PeerRule{}, fmt.Errorf("got %q, want %s", text, want)
	}
	word, rest := nextWord(text)
	network, err := netip.ParsePrefix(word)
	if err != nil {
		return fault(wantRule)
	}
	rule := PeerRule{Network: network}
	word, after := nextWord(rest)
	if word == "port" {
		var ports string
		ports, rest = nextWord(after)
		var ok bool
		if rule.FirstPort, rule.LastPort, ok = parsePorts(ports); !ok {
			return fault(`ports from 1 to 65535 as "port N", or "port N-M" with N not above M`)
		}
		word, after = nextWord(rest)
	}
	if word == "user" { // a subject may have spaces: the rest is the pattern
		if rule.User = strings.TrimSpace(after); !validPattern(rule.User) {
			return fault(fmt.Sprintf(`"user PATTERN" with 1 to %d bytes of printable text, in which * stands for any characters`, maxUserPattern))
		}
		word = ""
	}
	if word != "" {
		return fault(wantRule)
	}
	return rule, nil
}

// nextWord cuts text behind its first word.
func nextWord(text string) (word, rest string) {
	text = strings.TrimLeftFunc(text, unicode.IsSpace)
	end := strings.IndexFunc(text, unicode.IsSpace)
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

func parsePorts(text string) (first, last uint16, ok bool) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	from, err := strconv.ParseUint(low, 10, 16)
	if err != nil || from == 0 {
		return 0, 0, false
	}
	to, err := strconv.ParseUint(high, 10, 16)
	return uint16(from), uint16(to), err == nil && from <= to
}

func validPattern(pattern string) bool {
	return pattern != "" && len(pattern) <= maxUserPattern && utf8.ValidString(pattern) &&
		pattern == strings.TrimSpace(pattern) &&
		!strings.ContainsFunc(pattern, func(r rune) bool { return !unicode.IsPrint(r) })
}

// UnmarshalText is ParsePeerRule for TOML and JSON.
func (r *PeerRule) UnmarshalText(text []byte) error {
	parsed, err := ParsePeerRule(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (r PeerRule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// String is the rule as ParsePeerRule reads it.
func (r PeerRule) String() string {
	text := r.Network.String()
	if !r.everyPort() {
		text += " port " + strconv.Itoa(int(r.FirstPort))
		if r.LastPort != r.FirstPort {
			text += "-" + strconv.Itoa(int(r.LastPort))
		}
	}
	if r.User != "" {
		text += " user " + r.User
	}
	return text
}

// everyPort says whether the rule names no ports.
func (r PeerRule) everyPort() bool { return r.FirstPort == 0 && r.LastPort == 0 }

// names says whether the rule is about user and addr, at some port.
func (r PeerRule) names(user string, addr netip.Addr) bool {
	return r.Network.Contains(addr) && (r.User == "" || matches(r.User, user))
}

// at says whether the rule covers a port.
func (r PeerRule) at(port uint16) bool {
	return r.everyPort() || r.FirstPort <= port && port <= r.LastPort
}

// matches says whether text has the form of pattern, in which * stands for any
// run of characters. It takes time in proportion to the product of the lengths
// at worst, whatever the pattern.
func matches(pattern, text string) bool {
	star, retry := -1, 0 // where the last * stood, and what it is tried to end at
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, t
			p++
		case p < len(pattern) && pattern[p] == text[t]:
			p, t = p+1, t+1
		case star >= 0:
			retry++
			p, t = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// checkRules finds the faults of one list.
func checkRules(key string, rules []PeerRule, fault faultFunc) {
	if len(rules) > maxRules {
		fault(key, fmt.Sprint(len(rules), " entries"), fmt.Sprintf("at most %d", maxRules))
	}
	for _, r := range rules {
		p := r.Network
		switch {
		case !p.IsValid():
			fault(key, r.String(), `ADDRESS/BITS, such as "10.20.0.0/16"`)
		case p.Addr().Is4In6():
			fault(key, r.String(), "an IPv4 network in IPv4 notation: every spelling of its addresses is covered")
		case p.Masked() != p:
			fault(key, r.String(), PeerRule{p.Masked(), r.FirstPort, r.LastPort, r.User}.String())
		case r.FirstPort > r.LastPort || r.FirstPort == 0 && r.LastPort != 0:
			fault(key, r.String(), `ports from 1 to 65535 as "port N", or "port N-M" with N not above M`)
		case r.User != "" && !validPattern(r.User):
			fault(key, r.String(), fmt.Sprintf("a user pattern of at most %d bytes of printable text", maxUserPattern))
		}
	}
}

// maxRules bounds each list: a peer that is new to an allocation is held
// against all of it.
const maxRules = 1024
