package spelling

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"listen", "relay_ports", "allow_peers", "deny_peers", "external"}
	for got, want := range map[string]string{
		"listne": "listen", "relayPorts": "relay_ports", "relay-ports": "relay_ports", "externl": "external",
		"peers": "", "x": "", "": "", "allow_peer": "allow_peers", "LISTEN": "listen",
		"relay": "relay_ports", "ext": "external", "ex": "", "al": "",
	} {
		if found := Nearest(got, names); found != want {
			t.Errorf("Nearest(%q) = %q, want %q", got, found, want)
		}
	}
}
