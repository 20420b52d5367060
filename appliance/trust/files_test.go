package trust

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// own writes a self-signed certificate and its key, as a site's own authority
// might, changed by the test.
func own(t testing.TB, certPath, keyPath string, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := newSerial()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "box.example.com"}, DNSNames: []string{"box.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, certPath, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}))
	put(t, keyPath, pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: pkcs8}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func put(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func paths(t testing.TB) (cert, key string) {
	dir := t.TempDir()
	return filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
}

// served is what a client that comes by that name is shown.
func served(t testing.TB, addr, name string) *x509.Certificate {
	t.Helper()
	state, err := dial(t, addr, &tls.Config{InsecureSkipVerify: true, ServerName: name})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0]
}

func TestOwnFiles(t *testing.T) {
	certPath, keyPath := paths(t)
	first := own(t, certPath, keyPath, nil)
	var log bytes.Buffer
	p := new(place)
	p.move([]string{"signalbox.local"}, "127.0.0.1")
	cfg := p.config(nil)
	cfg.CertFile, cfg.KeyFile, cfg.Logger = certPath, keyPath, slog.New(slog.NewTextHandler(&log, nil))
	a := newAuthority(t, cfg)
	addr := listen(t, a.TLSConfig())

	if s := a.Status(); s.Source != SourceFiles || s.Err != nil || !slices.Equal(s.Names, []string{"box.example.com"}) || !s.Expires.Equal(first.NotAfter) {
		t.Errorf("Status = %+v", s)
	}
	for name, want := range map[string]bool{
		"box.example.com": true, "other.example.com": true, // a mismatch the client can name
		"signalbox.local": false, "localhost": false, "": false, // those who come by what only the local leaf is for
	} {
		if got := served(t, addr, name).Equal(first); got != want {
			t.Errorf("by %q: the files' certificate %v, want %v", name, got, want)
		}
	}

	for step, breakIt := range map[string]func(){
		"certificate emptied": func() { put(t, certPath, nil) },
		"key of another":      func() { k := filepath.Join(t.TempDir(), "k"); own(t, certPath, k, nil) },
		"key gone":            func() { _ = os.Remove(keyPath) },
		"no names":            func() { own(t, certPath, keyPath, func(c *x509.Certificate) { c.DNSNames = nil }) },
		"an authority":        func() { own(t, certPath, keyPath, func(c *x509.Certificate) { c.IsCA = true }) },
		"for people": func() {
			own(t, certPath, keyPath, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
		},
		"enormous": func() { put(t, certPath, make([]byte, maxFileBytes+1)) },
	} {
		log.Reset()
		breakIt()
		a.Refresh()
		a.Refresh()
		s := a.Status()
		if s.Err == nil || s.Source != SourceFiles || !served(t, addr, "box.example.com").Equal(first) {
			t.Errorf("%s: Status = %+v, want the first files in force and a reason", step, s)
		}
		if got := strings.Count(log.String(), "the last good ones stay in force"); got != 1 {
			t.Errorf("%s: said %d times, want once:\n%s", step, got, log.String())
		}
		own(t, certPath, keyPath, func(c *x509.Certificate) { c.DNSNames = []string{"box.example.com", "new.example.com"} })
		a.Refresh()
		if s := a.Status(); s.Err != nil || !slices.Contains(s.Names, "new.example.com") {
			t.Errorf("%s, mended: Status = %+v", step, s)
		}
		first = own(t, certPath, keyPath, nil)
		a.Refresh()
	}
}

// TestOwnFilesByAddress: without SNI the address decides.
func TestOwnFilesByAddress(t *testing.T) {
	certPath, keyPath := paths(t)
	cert := own(t, certPath, keyPath, func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	cfg := new(place).config(nil)
	cfg.CertFile, cfg.KeyFile = certPath, keyPath
	a := newAuthority(t, cfg)
	if !served(t, listen(t, a.TLSConfig()), "").Equal(cert) {
		t.Error("by 127.0.0.1: not the files' certificate, which is for it")
	}
}

// TestHost: the relay is named so that those who verify certificates reach it.
func TestHost(t *testing.T) {
	at := netip.MustParseAddr("192.168.7.1")
	if got := hall(t).Host(at); got != "192.168.7.1" {
		t.Errorf("with the local leaf: %s, want the address", got)
	}
	for want, change := range map[string]func(*x509.Certificate){
		"box.example.com": func(c *x509.Certificate) { c.DNSNames = []string{"*.example.com", "box.example.com"} },
		"192.168.7.1":     func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(192, 168, 7, 1)} },
	} {
		cfg := new(place).config(nil)
		cfg.CertFile, cfg.KeyFile = paths(t)
		own(t, cfg.CertFile, cfg.KeyFile, change)
		if got := newAuthority(t, cfg).Host(at); got != want {
			t.Errorf("with a certificate of one's own: %s, want %s", got, want)
		}
	}
}

// TestOwnFilesBrokenAtStart: HTTPS stays up with the local leaf, and the files
// are taken once they are good.
func TestOwnFilesBrokenAtStart(t *testing.T) {
	certPath, keyPath := paths(t)
	put(t, certPath, nil)
	cfg := new(place).config(nil)
	cfg.CertFile, cfg.KeyFile = certPath, keyPath
	if err := cfg.Check(); err == nil {
		t.Error("Check has nothing to say about an empty file and a missing one")
	}
	a := newAuthority(t, cfg)
	if s := a.Status(); s.Source != SourceLocal || s.Err == nil || !strings.Contains(s.Err.Error(), filepath.Dir(keyPath)) {
		t.Errorf("Status = %+v, want the local leaf and a reason", s)
	}
	if _, err := dial(t, listen(t, a.TLSConfig()), &tls.Config{RootCAs: pool(t, a), ServerName: "localhost"}); err != nil {
		t.Error("with the local leaf:", err)
	}
	own(t, certPath, keyPath, nil)
	a.Refresh()
	if s := a.Status(); s.Source != SourceFiles || s.Err != nil {
		t.Errorf("Status = %+v, want the files", s)
	}
	if err := cfg.Check(); err != nil {
		t.Error("Check:", err)
	}
}

// TestOwnFilesExpired are served all the same: the devices' clocks decide.
func TestOwnFilesExpired(t *testing.T) {
	certPath, keyPath := paths(t)
	own(t, certPath, keyPath, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	})
	cfg := new(place).config(nil)
	cfg.CertFile, cfg.KeyFile = certPath, keyPath
	a := newAuthority(t, cfg)
	for range 2 {
		if s := a.Status(); s.Source != SourceFiles || s.Err == nil || !strings.Contains(s.Err.Error(), "expired on") {
			t.Errorf("Status = %+v, want the files and that they have expired", s)
		}
		a.Refresh()
	}
}

// TestUnchangedFilesAreLeftAlone: an idle box reads nothing either.
func TestUnchangedFilesAreLeftAlone(t *testing.T) {
	certPath, keyPath := paths(t)
	own(t, certPath, keyPath, nil)
	long := time.Now().Add(-time.Hour)
	for _, path := range []string{certPath, keyPath} {
		if err := os.Chtimes(path, long, long); err != nil {
			t.Fatal(err)
		}
	}
	p := &pair{certFile: certPath, keyFile: keyPath}
	if !p.look(time.Now()) || p.look(time.Now()) {
		t.Error("want one read at first and none while nothing changes")
	}
	if err := os.Chtimes(keyPath, long, long.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if !p.look(time.Now()) {
		t.Error("a change of the key alone was not noticed")
	}
}
