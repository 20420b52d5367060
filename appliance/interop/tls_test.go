//go:build linux && interop

package interop_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/loadgen"
	"signalbox/internal/netlab"
)

// tlsFor trusts roots alone; name replaces the name that is asked for.
func tlsFor(roots *x509.CertPool, name string) *tls.Config {
	return &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}
}

// TestTrust serves HTTPS and secure signaling to a device that trusts the
// certificate which the box prints, by address and by name, and to no other.
func TestTrust(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	phone := lab.Host("phone")
	b := startBox(t, lab.Host("box"), "")
	trust := cliJSON[struct{ Fingerprint, Certificate string }](b, "trust")
	block, _ := pem.Decode([]byte(trust.Certificate))
	if block == nil {
		t.Fatalf("signalbox trust printed %q, want PEM", trust.Certificate)
	}
	sum := sha256.Sum256(block.Bytes)
	if got := hex.EncodeToString(sum[:]); got != trust.Fingerprint {
		t.Errorf("fingerprint %s, want that of the certificate %s", trust.Fingerprint, got)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(trust.Certificate))

	for _, name := range []string{"", "signalbox.local", "localhost"} {
		health := b.web(phone, tlsFor(roots, name)).ask("GET", "/healthz", "", nil)
		if !decode[api.Health](health, http.StatusOK).OK {
			t.Errorf("as %q: not well", name)
		}
	}
	if served := string(b.web(phone, nil).ask("GET", "/trust/ca.crt", "", nil).body); served != trust.Certificate {
		t.Error("/trust/ca.crt is not the certificate that signalbox trust prints")
	}
	// The box answers strangers, but they do not believe it.
	if err := handshake(b, phone, tlsFor(x509.NewCertPool(), "")); err == nil {
		t.Error("the box's certificate verifies without its root")
	}
	if err := handshake(b, phone, tlsFor(roots, "signalbox.example")); err == nil {
		t.Error("the box's certificate is good for signalbox.example")
	}

	secure := func(o *loadgen.Options) {
		o.URL, o.TLS, o.NetDial = "wss://"+b.https()+"/v1/signal", tlsFor(roots, ""), phone.DialContext
	}
	camera, panel := b.device("camera", secure), b.device("panel", secure)
	camera.join("line-3")
	panel.join("line-3")
	camera.tell("line-3", "over TLS")
	panel.hear("over TLS")
}

func handshake(b *box, from *netlab.Host, cfg *tls.Config) error {
	conn, err := from.DialContext(b.t.Context(), "tcp", b.https())
	if err != nil {
		b.t.Fatal(err)
	}
	defer conn.Close()
	cfg = cfg.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName, _, _ = net.SplitHostPort(b.https())
	}
	return tls.Client(conn, cfg).HandshakeContext(b.t.Context())
}

// TestOwnCertificate serves the certificate of somebody else's authority.
func TestOwnCertificate(t *testing.T) {
	t.Parallel()
	certFile, keyFile, roots := ownCertificate(t)
	b := newBox(t, nil, "")
	b.start("--tls-cert", certFile, "--tls-key", keyFile)
	decode[api.Health](b.web(nil, tlsFor(roots, "")).ask("GET", "/healthz", "", nil), http.StatusOK)
	decode[api.Health](b.web(nil, tlsFor(roots, "box.plant.example")).ask("GET", "/healthz", "", nil), http.StatusOK)
	camera := b.device("camera", func(o *loadgen.Options) {
		o.URL, o.TLS = "wss://"+b.https()+"/v1/signal", tlsFor(roots, "box.plant.example")
	})
	camera.join("line-3")
}

// ownCertificate writes a certificate of another authority and its key.
func ownCertificate(t *testing.T) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "Plant Root"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
	}
	root, rootKey := certificate(t, authority, authority, nil)
	leaf := *authority
	leaf.SerialNumber, leaf.Subject = big.NewInt(8), pkix.Name{CommonName: "box.plant.example"}
	leaf.KeyUsage, leaf.ExtKeyUsage, leaf.IsCA = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, false
	leaf.DNSNames, leaf.IPAddresses = []string{"box.plant.example"}, []net.IP{net.IPv4(127, 0, 0, 1)}
	own, key := certificate(t, &leaf, root, rootKey)

	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "box.crt"), filepath.Join(dir, "box.key")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: own.Raw}, keyFile: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	roots = x509.NewCertPool()
	roots.AddCert(root)
	return certFile, keyFile, roots
}

// certificate signs template with the parent's key, or with its own.
func certificate(t *testing.T, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parentKey == nil {
		parentKey = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}
