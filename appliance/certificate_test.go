package appliance

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"signalbox/appliance/config"
	"signalbox/turn"
	"signalbox/turn/turntest"
)

// writeCertificate puts a new certificate for loopback into files, and returns
// what trusts that one alone.
func writeCertificate(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, content := range map[string][]byte{
		certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
	} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

// A certificate that is replaced on disk is in force for the next connection on
// each port that carries TURN over TLS; a call that is up goes on.
func TestCertificateOfRelayReloads(t *testing.T) {
	dir := t.TempDir()
	cfg := config.Default()
	cfg.Data, cfg.Discovery.Enabled = filepath.Join(dir, "data"), false
	cfg.HTTP.Listen, cfg.HTTP.HTTPS = nil, []string{"127.0.0.1:0"}
	cfg.Turn.Listen = []string{"127.0.0.1:0"}
	cfg.Log.Level = slog.LevelError
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	older := writeCertificate(t, cfg.TLS.CertFile, cfg.TLS.KeyFile, 1)
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- b.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	}()
	<-b.Ready()

	credential := b.relay.Credential("tester", time.Hour)
	client := func(at netip.AddrPort, trusts *x509.CertPool) (*turntest.Client, error) {
		dialer := tls.Dialer{Config: &tls.Config{RootCAs: trusts, NextProtos: []string{"stun.turn"}, MinVersion: tls.VersionTLS12}}
		conn, err := dialer.DialContext(t.Context(), "tcp", at.String())
		if err != nil {
			return nil, err
		}
		c := turntest.Use(t, conn)
		c.Credential = turn.Credential{Username: credential.Username, Password: credential.Password}
		return c, nil
	}
	ports := []netip.AddrPort{b.relay.TLSAddrs()[0], netip.MustParseAddrPort(b.Addrs().HTTPS[0])}
	var live []*turntest.Client
	for _, at := range ports {
		c, err := client(at, older)
		if err != nil {
			t.Fatalf("%v: %v", at, err)
		}
		c.Allocate()
		live = append(live, c)
	}
	newer := writeCertificate(t, cfg.TLS.CertFile, cfg.TLS.KeyFile, 2)
	b.trust.Refresh() // by itself it does so within a second
	for i, at := range ports {
		if c, err := client(at, newer); err != nil {
			t.Errorf("%v after the change: %v", at, err)
		} else if code := allocate(c); code != 0 {
			t.Errorf("%v after the change: allocate: %d", at, code)
		}
		if _, err := client(at, older); err == nil {
			t.Errorf("%v goes on with the certificate before", at)
		}
		if code := live[i].Refresh(10 * time.Minute); code != 0 {
			t.Errorf("%v: refresh of the call that is up: %d", at, code)
		}
	}
}
