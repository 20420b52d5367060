//go:build linux && interop

package interop_test

import (
	"crypto/x509"
	"net/http"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/loadgen"
	"signalbox/internal/netlab"
)

// TestNetworkComesLater starts a box that has no network yet, as one does that
// boots before its switch. When the cable comes, it is announced and reached
// with a certificate for its new address.
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
	if !decode[api.Health](b.web(phone, nil).ask("GET", "/readyz", "", nil), http.StatusOK).OK {
		t.Error("not ready")
	}
	waitFor(t, "the announcement on the new network", patience, func() bool { return b.status().Discovery.Announced })
	t.Logf("certified and announced %v after the cable came", time.Since(plugged).Round(time.Millisecond))
	camera := b.device("camera", from(phone), func(o *loadgen.Options) {
		o.URL, o.TLS = "wss://"+b.https()+"/v1/signal", tlsFor(roots, "")
	})
	camera.join("line-3")
}
