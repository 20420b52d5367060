package discovery

import (
	"net"
	"net/netip"
	"testing"
)

func TestLeftOut(t *testing.T) {
	byDefault := virtualInterfaces()
	for _, test := range []struct {
		name            string
		include, ignore []string
		want            string
	}{
		{"eth0", nil, byDefault, ""},
		{"enp3s0", nil, byDefault, ""},
		{"wlan0", nil, byDefault, ""},
		{"br-lan", nil, byDefault, ""}, // a real network, unlike those of Docker
		{"br-0a1b2c3d4e5f", nil, byDefault, "left out by discovery.ignore_interfaces (br-[0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f][0-9a-f])"},
		{"docker0", nil, byDefault, "left out by discovery.ignore_interfaces (docker*)"},
		{"veth12ab", nil, byDefault, "left out by discovery.ignore_interfaces (veth*)"},
		{"wg0", nil, byDefault, "left out by discovery.ignore_interfaces (wg*)"},
		{"wg0", []string{"wg0"}, byDefault, ""}, // named in full
		{"wg0", []string{"wg*"}, byDefault, "left out by discovery.ignore_interfaces (wg*)"},
		{"wg0", nil, []string{}, ""},
		{"eth1", []string{"eth0", "wlan*"}, byDefault, "not in discovery.interfaces"},
		{"wlan1", []string{"eth0", "wlan*"}, byDefault, ""},
		{"eth0", []string{"[bad"}, byDefault, "not in discovery.interfaces"},
	} {
		if got := leftOut(test.name, test.include, test.ignore); got != test.want {
			t.Errorf("%s with interfaces %q: %q, want %q", test.name, test.include, got, test.want)
		}
	}
}

func TestUnfit(t *testing.T) {
	const good = net.FlagUp | net.FlagRunning | net.FlagMulticast | net.FlagBroadcast
	for flags, want := range map[net.Flags]string{
		good:                      "",
		good &^ net.FlagUp:        "switched off",
		good &^ net.FlagRunning:   "no cable or carrier",
		good &^ net.FlagMulticast: "without multicast",
	} {
		if got := unfit(flags); got != want {
			t.Errorf("flags %v: %q, want %q", flags, got, want)
		}
	}
}

func TestOnLink(t *testing.T) {
	i := Interface{Addrs: []netip.Prefix{netip.MustParsePrefix("10.77.1.1/24"), netip.MustParsePrefix("fd77::1/64")}}
	for addr, want := range map[string]bool{
		"10.77.1.200": true, "10.77.2.1": false, "::ffff:10.77.1.5": true,
		"fd77::9": true, "fe80::1%eth0": true, "2001:db8::1": false,
	} {
		if got := i.onLink(netip.MustParseAddr(addr)); got != want {
			t.Errorf("onLink(%s) = %v, want %v", addr, got, want)
		}
	}
}
