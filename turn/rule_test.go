package turn

import (
	"net/netip"
	"strings"
	"testing"
)

func TestParsePeerRule(t *testing.T) {
	for text, want := range map[string]string{
		"10.20.0.0/16":                                  "10.20.0.0/16",
		" 10.20.0.5/32  port 554 ":                      "10.20.0.5/32 port 554",
		"10.20.0.0/16 port 5000-6000 user cam-*":        "10.20.0.0/16 port 5000-6000 user cam-*",
		"fd00::/8 user operator of line 3 ":             "fd00::/8 user operator of line 3",
		"10.0.0.0/8 port 1-65535":                       "10.0.0.0/8 port 1-65535",
		"10.0.0.0/8 port 7-7":                           "10.0.0.0/8 port 7",
		"":                                              "want " + wantRule,
		"10.20.0.5":                                     "want " + wantRule,
		"10.20.0.5/32 554":                              "want " + wantRule,
		"10.20.0.5/32 port 554 tcp":                     "want " + wantRule,
		"10.20.0.5/32 port":                             `want ports from 1 to 65535`,
		"10.20.0.5/32 port 0":                           `want ports from 1 to 65535`,
		"10.20.0.5/32 port 0-5":                         `want ports from 1 to 65535`,
		"10.20.0.5/32 port 6-5":                         `want ports from 1 to 65535`,
		"10.20.0.5/32 port 70000":                       `want ports from 1 to 65535`,
		"10.20.0.5/32 port 5-":                          `want ports from 1 to 65535`,
		"10.20.0.5/32 port +5":                          `want ports from 1 to 65535`,
		"10.20.0.5/32 user":                             `want "user PATTERN"`,
		"10.20.0.5/32 user a\x00b":                      `want "user PATTERN"`,
		"10.20.0.5/32 user " + strings.Repeat("x", 256): `want "user PATTERN"`,
	} {
		rule, err := ParsePeerRule(text)
		if wanted, fails := strings.CutPrefix(want, "want "); fails {
			if err == nil || !strings.Contains(err.Error(), "want "+wanted) {
				t.Errorf("ParsePeerRule(%q): %v, %v, want %s", text, rule, err, want)
			}
		} else if err != nil || rule.String() != want {
			t.Errorf("ParsePeerRule(%q): %v, %v, want %s", text, rule, err, want)
		}
	}
}

func FuzzParsePeerRule(f *testing.F) {
	for _, text := range []string{
		"10.20.0.0/16", "10.20.0.5/32 port 554", "10.20.0.0/16 port 5000-6000 user cam-*",
		"fd00::/8 user a  b", "::ffff:1.2.3.4/120 port 1", "1.2.3.4/0 port 9-8", "0.0.0.0/0 user port 5", "10.0.0.0/8\tport\u00a05",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := ParsePeerRule(text)
		if err != nil {
			if rule != (PeerRule{}) || !strings.Contains(err.Error(), "want ") {
				t.Errorf("ParsePeerRule(%q) = %v, %v", text, rule, err)
			}
			return
		}
		if again, err := ParsePeerRule(rule.String()); err != nil || again != rule {
			t.Errorf("ParsePeerRule(%q) = %v, and of that %v, %v", text, rule, again, err)
		}
		if rule.User != "" && !matches(rule.User, strings.ReplaceAll(rule.User, "*", "any")) {
			t.Errorf("%q does not match itself", rule.User)
		}
	})
}

func TestMatches(t *testing.T) {
	for _, test := range []struct {
		pattern, text string
		want          bool
	}{
		{"cam-7", "cam-7", true},
		{"cam-7", "cam-77", false},
		{"cam-*", "cam-", true},
		{"cam-*", "cam-7/a", true},
		{"cam-*", "acam-7", false},
		{"*-7", "cam-7-7", true},
		{"*a*b*", "xxaxxbxx", true},
		{"*a*b*", "xxbxxaxx", false},
		{"*", "", true},
		{"a", "", false},
		{"a**b", "ab", true},
		{"[a]", "a", false}, // nothing but * is special
		{"?", "x", false},
		{strings.Repeat("a*", 60) + "b", strings.Repeat("a", 250), false},
	} {
		if got := matches(test.pattern, test.text); got != test.want {
			t.Errorf("matches(%q, %q) = %v, want %v", test.pattern, test.text, got, test.want)
		}
	}
}

// Rules with ports and users, asked in every way: about a peer, for a
// permission, and for one packet after another.
func TestRulesWithPortsAndUsers(t *testing.T) {
	for _, test := range []struct {
		what, user, peer string
		allow, deny      []PeerRule
		want             bool
	}{
		{"allowed port", "cam-7", "10.77.0.1:554", rules("10.77.0.0/16 port 554"), nil, true},
		{"other port", "cam-7", "10.77.0.1:555", rules("10.77.0.0/16 port 554"), nil, false},
		{"end of a range", "cam-7", "10.77.0.1:6000", rules("10.77.0.0/16 port 5000-6000"), nil, true},
		{"behind a range", "cam-7", "10.77.0.1:6001", rules("10.77.0.0/16 port 5000-6000"), nil, false},
		{"allowed user", "cam-7", "10.77.0.1:5000", rules("10.77.0.0/16 user cam-*"), nil, true},
		{"other user", "robot", "10.77.0.1:5000", rules("10.77.0.0/16 user cam-*"), nil, false},
		{"user and port", "cam-7", "10.77.0.1:554", rules("10.77.0.0/16 port 554 user cam-*"), nil, true},
		{"user and other port", "cam-7", "10.77.0.1:80", rules("10.77.0.0/16 port 554 user cam-*"), nil, false},
		{"two rules", "cam-7", "10.77.0.1:80", rules("10.77.0.0/16 port 554", "10.77.0.1/32 port 80"), nil, true},

		{"denied port of the site", "cam-7", "192.168.1.77:22", nil, rules("192.168.1.0/24 port 22"), false},
		{"other port of the site", "cam-7", "192.168.1.77:23", nil, rules("192.168.1.0/24 port 22"), true},
		{"site for a denied user", "robot", "192.168.1.77:5000", nil, rules("0.0.0.0/0 user robot"), false},
		{"site for another user", "cam-7", "192.168.1.77:5000", nil, rules("0.0.0.0/0 user robot"), true},
		{"denied port of an allowed net", "cam-7", "10.77.0.1:22", rules("10.77.0.0/16"), rules("0.0.0.0/0 port 1-1023"), false},
		{"caller at a denied port", "cam-7", "192.168.1.5:50000", nil, rules("192.168.1.5/32 port 50000"), false},
		{"caller beside a denied port", "cam-7", "192.168.1.5:50000", nil, rules("192.168.1.5/32 port 22"), true},
		{"caller", "cam-7", "192.168.1.5:50000", nil, nil, true},

		{"service of the box", "plc", "192.168.1.5:502", rules("192.168.1.5/32 port 502 user plc"), nil, true},
		{"other service of the box", "plc", "192.168.1.5:22", rules("192.168.1.5/32 port 502 user plc"), nil, false},
		{"service for another user", "cam-7", "192.168.1.5:502", rules("192.168.1.5/32 port 502 user plc"), nil, false},
		{"loopback at a port", "plc", "127.0.0.1:502", rules("127.0.0.1/32 port 502"), nil, true},
		{"loopback at another", "plc", "127.0.0.1:503", rules("127.0.0.1/32 port 502"), nil, false},
		{"wide rule with a port", "plc", "127.0.0.1:502", rules("0.0.0.0/0 port 502"), nil, false},
		{"metadata at a port", "plc", "169.254.169.254:80", rules("169.254.169.254/32 port 80"), nil, true},

		{"nothing said", "cam-7", "8.8.8.8:53", nil, nil, false},
		{"multicast", "cam-7", "224.0.0.251:5353", rules("0.0.0.0/0 port 5353"), nil, false},
	} {
		p, peer := factoryBox(test.allow, test.deny), netip.MustParseAddrPort(test.peer)
		if got := p.mayReach(test.user, peer); got != test.want {
			t.Errorf("%s: mayReach = %v, want %v", test.what, got, test.want)
		}
		if got := p.mayPermit(test.user, peer); got != test.want {
			t.Errorf("%s: mayPermit = %v, want %v", test.what, got, test.want)
		}
		var last reach
		for range 2 {
			if got := p.allows(test.user, canonicalPort(peer), &last); got != test.want {
				t.Errorf("%s: allows = %v, want %v", test.what, got, test.want)
			}
		}
	}
}

// A rule about IPv4 hosts holds in every spelling, with its ports and users.
func TestRulesHoldInEverySpelling(t *testing.T) {
	p := factoryBox(rules("::/0", "0.0.0.0/0"), rules("10.66.0.0/16 port 22", "10.67.0.0/16 user cam-*"))
	for _, spelled := range []string{
		"::ffff:%s", "::%s", "64:ff9b::%s", "64:ff9b:1::%s", "::ffff:0:%s", "fd00::200:5efe:%s", "fd00::5efe:%s",
	} {
		for _, test := range []struct {
			user, v4 string
			port     uint16
			want     bool
		}{
			{"cam-7", "10.66.1.1", 22, false},
			{"cam-7", "10.66.1.1", 23, true},
			{"cam-7", "10.67.1.1", 23, false},
			{"robot", "10.67.1.1", 23, true},
		} {
			addr, err := netip.ParseAddr(strings.Replace(spelled, "%s", test.v4, 1))
			if err != nil {
				t.Fatal(err)
			}
			peer := netip.AddrPortFrom(addr, test.port)
			var last reach
			if got := p.mayReach(test.user, peer); got != test.want {
				t.Errorf("%s to %v: %v, want %v", test.user, peer, got, test.want)
			}
			if got := p.allows(test.user, canonicalPort(peer), &last); got != test.want {
				t.Errorf("%s to %v by verdict: %v, want %v", test.user, peer, got, test.want)
			}
		}
	}
}

// Whatever changes, the generation does, and what was said before is void.
func TestGeneration(t *testing.T) {
	p, peer := factoryBox(nil, nil), netip.MustParseAddrPort("192.168.1.77:5000")
	var last reach
	for _, step := range []struct {
		what   string
		change func()
		want   bool
	}{
		{"at first", func() {}, true},
		{"site without networks", func() { p.setSite(newSite(nil, interfaceFilter{})) }, false},
		{"allowed instead", func() { p.change(func(b *rulebook) { b.allow = rules("192.168.1.0/24") }) }, true},
		{"denied", func() { p.change(func(b *rulebook) { b.deny = rules("192.168.1.77/32") }) }, false},
		{"denied for others only", func() { p.change(func(b *rulebook) { b.deny = rules("192.168.1.77/32 user robot") }) }, true},
		{"an address of the box", func() {
			p.setSite(newSite([]iface{{name: "eth0", up: true, prefixes: prefixes("192.168.1.77/24")}}, interfaceFilter{}))
		}, false},
	} {
		before := p.book.Load().generation
		step.change()
		if step.what != "at first" && p.book.Load().generation == before {
			t.Errorf("%s: generation stayed %d", step.what, before)
		}
		if got := p.allows("cam-7", peer, &last); got != step.want {
			t.Errorf("%s: %v, want %v", step.what, got, step.want)
		}
	}
}

func TestVerdictAllocatesNothing(t *testing.T) {
	p := factoryBox(rules("10.77.0.0/16 port 554 user cam-*"), rules("10.78.0.0/16 port 22"))
	for _, ports := range [][]uint16{{5000}, {554}, {22}, {554, 555, 556}, {22, 23, 0}} { // a camera sends from several
		for _, addr := range []string{"192.168.1.77", "192.168.1.5", "10.77.0.1", "10.78.0.1"} {
			var last reach
			if n := testing.AllocsPerRun(100, func() {
				for _, port := range ports {
					p.allows("cam-7", netip.AddrPortFrom(netip.MustParseAddr(addr), port), &last)
				}
			}); n != 0 {
				t.Errorf("%s, ports %v: %v allocations", addr, ports, n)
			}
		}
	}
}

// What was said of one port is not taken for what holds at another, least of
// all of port 0, which no datagram has but a Send indication may name.
func TestVerdictIsOfOnePort(t *testing.T) {
	p := factoryBox(nil, rules("192.168.1.77/32 port 22"))
	var last reach
	for _, test := range []struct {
		port uint16
		want bool
	}{{0, false}, {22, false}, {23, true}, {22, false}, {0, false}, {23, true}, {0, false}, {22, false}} {
		peer := netip.AddrPortFrom(netip.MustParseAddr("192.168.1.77"), test.port)
		if got := p.allows("cam-7", peer, &last); got != test.want {
			t.Errorf("port %d: %v, want %v", test.port, got, test.want)
		}
	}
}

func TestInterfaceFilter(t *testing.T) {
	for _, test := range []struct {
		only, ignore []string
		name         string
		want         bool
	}{
		{nil, nil, "eth0", true},
		{nil, []string{"docker*"}, "docker0", false},
		{[]string{"eth*"}, nil, "eth1", true},
		{[]string{"eth*"}, nil, "wlan0", false},
		{[]string{"eth*"}, []string{"eth1"}, "eth1", false},
		{[]string{"eth*"}, nil, "lo", true},
		{[]string{"eth*"}, []string{"lo"}, "lo", false},
	} {
		if got := (interfaceFilter{test.only, test.ignore}).includes(test.name); got != test.want {
			t.Errorf("%q with %v without %v: %v, want %v", test.name, test.only, test.ignore, got, test.want)
		}
	}
}
