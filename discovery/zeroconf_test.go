package discovery

import (
	"testing"

	"github.com/grandcat/zeroconf"
)

// TestZeroconfFields fails when an upgrade moves what sockets looks for.
func TestZeroconfFields(t *testing.T) {
	if _, _, err := serverSockets(new(zeroconf.Server)); err != nil {
		t.Error(err)
	}
	resolver, err := zeroconf.NewResolver(zeroconf.SelectIPTraffic(zeroconf.IPv4))
	if err != nil {
		t.Skipf("no multicast here: %v", err)
	}
	p4, p6, err := resolverSockets(resolver)
	if err != nil || p4 == nil || p6 != nil {
		t.Errorf("sockets of an IPv4 resolver = %v, %v, %v, want the first alone", p4, p6, err)
	}
	closeSockets(p4, p6)
}
