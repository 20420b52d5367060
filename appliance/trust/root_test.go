package trust

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// mixUp takes the certificate of one stored root and the key of another.
func mixUp(t testing.TB, cert, key []byte) []byte {
	t.Helper()
	first, _ := pem.Decode(cert)
	_, rest := pem.Decode(key)
	return append(pem.EncodeToMemory(first), rest...)
}

// TestRootConstraints pins what a device gives away when it trusts the root. The
// leaf is signed by hand, as by somebody who has stolen the root's key.
func TestRootConstraints(t *testing.T) {
	store := new(keys)
	a := newAuthority(t, Config{Keys: store, Domain: "plant2.example.com"})
	roots := pool(t, a)
	for host, want := range map[string]bool{
		"signalbox.local": true, "a.b.local": true, "localhost": true, "plant2.example.com": true, "hall.plant2.example.com": true,
		"10.255.0.1": true, "172.31.0.1": true, "192.168.0.1": true, "100.127.0.1": true, "169.254.3.4": true, "127.9.9.9": true,
		"fd12::1": true, "fe80::1": true, "::1": true,

		"example.com": false, "plant3.example.com": false, "xplant2.example.com": false, "local.example.com": false, "bank.example": false,
		"google.com": false, "notlocal": false, "edge7": false, "intranet.internal": false,
		"8.8.8.8": false, "172.32.0.1": false, "100.128.0.1": false, "11.0.0.1": false, "2001:db8::1": false, "::2": false, "2606:4700::1111": false,
	} {
		leaf := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		if ip := net.ParseIP(host); ip != nil {
			leaf.IPAddresses = []net.IP{ip}
		} else {
			leaf.DNSNames = []string{host}
		}
		der, err := x509.CreateCertificate(rand.Reader, leaf, a.root.cert, a.root.key.Public(), a.root.key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		if got := err == nil; got != want {
			t.Errorf("%s: %v, want accepted %v", host, err, want)
		}
		if said, haveSaid := opensslVerify(t, a.RootPEM(), pemOf(cert), host); haveSaid && said != want {
			t.Errorf("%s: openssl says %v, want %v", host, said, want)
		}
		// What the box puts into leaves must agree with what devices take.
		if addr, err := netip.ParseAddr(host); err == nil && a.root.permits(addr) != want {
			t.Errorf("permits(%s) = %v, want %v", host, !want, want)
		} else if err != nil && a.root.permitsName(host) != want {
			t.Errorf("permitsName(%s) = %v, want %v", host, !want, want)
		}
	}
	client := &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"x.local"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, client, a.root.cert, a.root.key.Public(), a.root.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("the root vouches for people, want TLS servers only")
	}
}

// opensslVerify asks Debian's openssl about a chain; ok is false without one.
func opensslVerify(t testing.TB, rootPEM, leafPEM []byte, host string) (accepted, ok bool) {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		return false, false
	}
	dir := t.TempDir()
	root, leaf := filepath.Join(dir, "root.pem"), filepath.Join(dir, "leaf.pem")
	for path, content := range map[string][]byte{root: rootPEM, leaf: leafPEM} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	kind := "-verify_hostname"
	if net.ParseIP(host) != nil {
		kind = "-verify_ip"
	}
	out, err := exec.CommandContext(t.Context(), openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", root, kind, host, leaf).CombinedOutput()
	if err != nil && !strings.Contains(string(out), "verification failed") {
		t.Fatalf("openssl verify: %v\n%s", err, out)
	}
	return err == nil, true
}

// TestOpensslAgrees on the leaf in force, by each of its names.
func TestOpensslAgrees(t *testing.T) {
	a := hall(t)
	leaf := a.local.Load()
	for _, host := range leaf.all() {
		accepted, ok := opensslVerify(t, a.RootPEM(), pemOf(leaf.cert.Leaf), host)
		if !ok {
			t.Skip("openssl is not installed")
		}
		if !accepted {
			t.Errorf("openssl refuses the leaf as %s", host)
		}
	}
}

func TestRootTemplate(t *testing.T) {
	now := time.Date(2032, 2, 29, 12, 0, 0, 0, time.UTC)
	stored, err := makeRoot(Config{Label: strings.Repeat("ü", 80)}, now)
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRoot(stored)
	if err != nil {
		t.Fatal(err)
	}
	c := r.cert
	if !c.NotBefore.Equal(epoch) || c.NotAfter.Before(now.AddDate(9, 11, 0)) || c.NotAfter.After(now.AddDate(10, 1, 0)) {
		t.Errorf("valid %v to %v, want epoch to ten years from %v", c.NotBefore, c.NotAfter, now)
	}
	if r.made().After(now) || r.made().Before(now.Add(-3*day)) {
		t.Errorf("made %v, want just before %v", r.made(), now)
	}
	if !c.PermittedDNSDomainsCritical || !c.IsCA || c.MaxPathLen != 1 || c.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
		t.Errorf("root is %+v", c)
	}
	if got := []rune(c.Subject.CommonName); len(got) != 64 {
		t.Errorf("common name has %d characters, want 64", len(got))
	}
}

func TestUnusual(t *testing.T) {
	for _, test := range []struct{ addrs, want string }{
		{"", ""},
		{"192.168.1.5 10.0.0.1 100.64.0.1 127.0.0.1 169.254.1.1", ""},
		{"192.9.200.17", "192.9.200.0/24"},
		{"192.9.200.17 192.9.200.18 192.9.201.1", "192.9.200.0/24 192.9.201.0/24"},
		{"::ffff:11.1.2.3", "11.1.2.0/24"},
		{"2001:db8::1 fd00::1 ::1", ""},
		{"0.0.0.0 224.0.0.251 255.255.255.255", ""},
		{"1.0.0.1 2.0.0.1 3.0.0.1 4.0.0.1 5.0.0.1", "1.0.0.0/24 2.0.0.0/24 3.0.0.0/24 4.0.0.0/24"},
	} {
		var got []string
		for _, p := range unusual(parseAddrs(strings.Fields(test.addrs))) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("unusual(%s) = %s, want %s", test.addrs, got, test.want)
		}
	}
}

// TestUnusualSubnet: a plant with addresses that are not private ones is served
// by them; where the box goes later, the root does not follow.
func TestUnusualSubnet(t *testing.T) {
	p := new(place)
	p.move([]string{"signalbox.local"}, "192.9.200.17")
	a := newAuthority(t, p.config(nil))
	if s := a.Status(); !slices.Contains(s.Names, "192.9.200.17") || len(s.Refused) > 0 {
		t.Errorf("at first: %+v", s)
	}
	p.move([]string{"signalbox.local", "edge7"}, "192.9.200.99", "193.9.200.17", "2001:db8::5")
	a.Refresh()
	s := a.Status()
	if !slices.Contains(s.Names, "192.9.200.99") {
		t.Errorf("names %q, want the new lease in the same subnet", s.Names)
	}
	if want := []string{"193.9.200.17", "2001:db8::5", "edge7"}; !slices.Equal(s.Refused, want) || s.Err != nil {
		t.Errorf("refused %q (%v), want %q", s.Refused, s.Err, want)
	}
}

func TestSubjectsAreBounded(t *testing.T) {
	var names []string
	var addrs []netip.Addr
	for n := range 500 {
		names = append(names, fmt.Sprintf("host-%03d.local", n), "HOST-000.LOCAL.")
		addrs = append(addrs, netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}))
	}
	names = append(names, "", "bad_name.local", "-x.local", "x..local", strings.Repeat("x", 64)+".local", "10.0.0.1")
	a := hall(t)
	s := a.root.subjectsOf(names, append(addrs, netip.Addr{}, netip.IPv4Unspecified(), netip.MustParseAddr("224.0.0.1")))
	if len(s.names) != maxNames || len(s.addrs) != maxAddrs || !slices.Contains(s.names, "localhost") || !slices.Contains(s.addrs, loopback[1]) {
		t.Errorf("%d names and %d addresses, want %d and %d, localhost among them", len(s.names), len(s.addrs), maxNames, maxAddrs)
	}
	if want := 500 - (maxNames - 1) + 500 - (maxAddrs - 2) + 5; len(s.refused) != want {
		t.Errorf("%d refused, want %d", len(s.refused), want)
	}
	slices.Reverse(names)
	slices.Reverse(addrs)
	if !s.equal(a.root.subjectsOf(names, addrs)) {
		t.Error("another order makes another certificate")
	}
	if _, err := a.root.issue(s, a.root.windowAt(time.Now(), epoch)); err != nil {
		t.Error("issue:", err)
	}
}

func TestValidate(t *testing.T) {
	for domain, ok := range map[string]bool{
		"": true, "plant2.example.com": true, "example.com": true, "internal": true, "home.arpa": true, "local": true,
		"com": false, "Plant.example.com": false, ".example.com": false, "example.com.": false, "*.example.com": false, "10.0.0.1": false, "a b": false,
	} {
		if err := (Config{Domain: domain}).Validate(); (err == nil) != ok {
			t.Errorf("domain %q: %v, want accepted %v", domain, err, ok)
		}
	}
	if err := (Config{CertFile: "c.pem"}).Validate(); err == nil || !strings.HasPrefix(err.Error(), `tls.key: got "", want a file`) {
		t.Errorf("certificate without a key: %v", err)
	}
	if err := (Config{CertFile: "/nowhere/c.pem", KeyFile: "/nowhere/k.pem"}).Check(); err == nil || !strings.HasPrefix(err.Error(), "tls.cert: ") {
		t.Errorf("Check: %v, want it to say that tls.cert is not there", err)
	}
}

func FuzzParseRoot(f *testing.F) {
	stored, err := makeRoot(Config{}, time.Now())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(stored)
	f.Add(stored[:len(stored)/2])
	f.Add(bytes.Repeat([]byte{0}, 4096))
	f.Fuzz(func(t *testing.T, stored []byte) {
		r, err := parseRoot(stored)
		if err == nil && (r.cert == nil || r.key == nil) {
			t.Error("a root without certificate or key")
		}
	})
}
