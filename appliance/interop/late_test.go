//go:build linux && interop

package interop_test

import (
	"crypto/x509"
	"net/http"
	"slices"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/internal/netlab"
)

// TestNetworkComesLater starts a box that has no network yet, as one does that
// boots before its switch. When the cable comes, everything is there.
func TestNetworkComesLater(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	lan := lab.Segment(netlab.DefaultSegment, "10.77.0.0/24")
	lab.Host("phone").Attach(lan, "10.77.0.9")
	b := startBox(t, lab.Host("box"), "")
	lab.Host("box").Attach(lan, "10.77.0.1")
	plugged := time.Now()
	phone := lab.Host("phone")

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(b.cli("trust")))
	waitFor(t, "a certificate for the new address", patience, func() bool { return handshake(b, phone, tlsFor(roots, "")) == nil })
	t.Logf("certificate after %v", time.Since(plugged))
	if !decode[api.Health](b.web(phone, nil).ask("GET", "/readyz", "", nil), http.StatusOK).OK {
		t.Error("not ready")
	}
	waitFor(t, "the announcement on the new network", patience, func() bool { return b.status().Discovery.Announced })
	t.Logf("announced after %v", time.Since(plugged))
	waitFor(t, "relay", patience, func() bool { return slices.Contains(b.status().Relay.UDP, "10.77.0.1:3478") })
	t.Logf("relay after %v", time.Since(plugged))
	d := b.device("camera", from(phone))
	t.Logf("%+v", d.welcome.ICE)
}
