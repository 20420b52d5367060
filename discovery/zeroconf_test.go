package discovery

import (
	"net"
	"slices"
	"testing"

	"github.com/grandcat/zeroconf"
)

// TestZeroconfFields fails when an upgrade moves what this package reaches for.
func TestZeroconfFields(t *testing.T) {
	found, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	// No word of this test leaves the machine.
	found = slices.DeleteFunc(found, func(i net.Interface) bool { return i.Flags&net.FlagLoopback == 0 })
	resolver, err := zeroconf.NewResolver(zeroconf.SelectIfaces(found), zeroconf.SelectIPTraffic(zeroconf.IPv4))
	if err != nil {
		t.Skipf("no multicast here: %v", err)
	}
	p4, p6, err := resolverSockets(resolver)
	if err != nil || p4 == nil || p6 != nil {
		t.Errorf("sockets of an IPv4 resolver = %v, %v, %v, want the first alone", p4, p6, err)
	}
	closeSockets(p4, p6)

	for range 20 { // stopped before its receivers have started, with luck
		server, err := zeroconf.RegisterProxy("test", "_signalbox-test._tcp", domain, 1, "test.local.", nil, nil, found)
		if err != nil {
			t.Skipf("no multicast here: %v", err)
		}
		s, err := openService(server)
		if err != nil {
			t.Fatal(err)
		}
		if s.p4 == nil || s.quit == nil {
			t.Fatalf("found %+v in a server, want its sockets and its channel", s)
		}
		s.stop()
	}
}
