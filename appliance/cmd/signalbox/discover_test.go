package main

import (
	"bytes"
	"net/netip"
	"os"
	"testing"

	"signalbox/discovery"
)

// The example beside prometheus.yml is what the command prints for such a box.
func TestScrapeTargets(t *testing.T) {
	box := discovery.Box{
		Instance: "hall-2", Host: "signalbox.local.", Port: 8443, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.10")},
		TXT: map[string]string{discovery.KeySite: "hall-2", discovery.KeyID: "k5gpy7k5km", discovery.KeyFingerprint: "00ff"},
	}
	var printed bytes.Buffer
	if err := printJSON(&printed, scrapeTargets([]discovery.Box{box})); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../../packaging/monitoring/targets/boxes.json")
	if err != nil {
		t.Fatal(err)
	}
	if printed.String() != string(want) {
		t.Errorf("got\n%swant\n%s", &printed, want)
	}
}
