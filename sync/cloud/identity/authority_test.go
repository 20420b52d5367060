package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/sync/wire"
)

var quiet = slog.New(slog.DiscardHandler)

func openAt(t *testing.T, dir string, at time.Time) *Authority {
	t.Helper()
	a, err := open(dir, "", at, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestFirstStart makes an authority, and finds the same one ever after, with
// the root's key taken away too.
func TestFirstStart(t *testing.T) {
	state := t.TempDir()
	a, err := Open(Config{Dir: state, Domain: "fleet.example"})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{rootFile, rootKey, issuerFile, issuerKey} {
		info, err := os.Stat(filepath.Join(state, folder, file))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info.Mode(), err)
		}
	}
	root, issuer := a.roots[0], a.issuer.cert
	if years := root.NotAfter.Sub(root.NotBefore).Hours() / 24 / 365; years < 9.9 || years > 10.1 {
		t.Errorf("the root lives %.1f years", years)
	}
	if !issuer.IsCA || issuer.MaxPathLen != 0 || !issuer.MaxPathLenZero || !slices.Equal(issuer.PermittedURIDomains, []string{"fleet.example"}) {
		t.Errorf("issuer: path length %d, domains %q", issuer.MaxPathLen, issuer.PermittedURIDomains)
	}
	if err := os.Remove(filepath.Join(state, folder, rootKey)); err != nil {
		t.Fatal(err)
	}
	again, err := Open(Config{Dir: state})
	if err != nil {
		t.Fatal(err)
	}
	if again.RootHash() != a.RootHash() || again.Domain() != "fleet.example" || string(again.SessionKey()) != string(a.SessionKey()) {
		t.Error("another authority after a restart")
	}
	if len(a.SessionKey()) != 32 || string(a.SessionKey()) == string(a.nonceKey()) {
		t.Error("derived keys are not 32 bytes of their own")
	}
	if _, err := Open(Config{Dir: state, Domain: "other"}); err == nil || !strings.Contains(err.Error(), `got "other", and the root is of "fleet.example"`) {
		t.Errorf("another trust domain: %v", err)
	}
}

// TestCutFirstStart starts again with what a power cut may have left.
func TestCutFirstStart(t *testing.T) {
	whole := t.TempDir()
	openAt(t, whole, time.Now())
	written := []string{rootKey, rootFile, issuerKey, issuerFile} // in that order
	for n := range written {
		dir := t.TempDir()
		for _, file := range written[:n] {
			copyFile(t, filepath.Join(whole, file), filepath.Join(dir, file))
		}
		a := openAt(t, dir, time.Now())
		if b := openAt(t, dir, time.Now()); a.RootHash() != b.RootHash() {
			t.Errorf("after %d files: another root at each start", n)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestIssuerEnds has the root's key kept elsewhere when the issuer ends.
func TestIssuerEnds(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	first := openAt(t, dir, now)
	kept := filepath.Join(t.TempDir(), rootKey)
	if err := os.Rename(filepath.Join(dir, rootKey), kept); err != nil {
		t.Fatal(err)
	}
	late := now.AddDate(1, 8, 0)
	if a := openAt(t, dir, late); !a.IssuerEnd().Equal(first.IssuerEnd()) {
		t.Error("renewed without the root's key")
	}
	_, err := open(dir, "", now.AddDate(2, 1, 0), quiet)
	if !errors.Is(err, ErrRootKey) || !strings.Contains(err.Error(), "put root.key back into "+dir) {
		t.Errorf("error %v", err)
	}
	copyFile(t, kept, filepath.Join(dir, rootKey))
	second := openAt(t, dir, late)
	if !second.IssuerEnd().After(first.IssuerEnd()) || string(second.SessionKey()) != string(first.SessionKey()) {
		t.Error("the new issuer does not last longer, or has another key")
	}
	chain, err := first.issueBox(wire.BoxID{Tenant: "main", Site: "s", Box: "b"}, &newTestKey(t).PublicKey, late)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := second.verify(chain, late); err != nil {
		t.Errorf("a box of the node with the older issuer: %v", err)
	}
}

func TestMissingFiles(t *testing.T) {
	for file, want := range map[string]string{
		rootFile:  "root.pem is missing beside issuer.pem",
		issuerKey: "issuer.key: no such file",
	} {
		dir := t.TempDir()
		openAt(t, dir, time.Now())
		if err := os.Remove(filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
		if _, err := open(dir, "", time.Now(), quiet); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v", file, err)
		}
	}
	mixed, other := t.TempDir(), t.TempDir()
	openAt(t, mixed, time.Now())
	openAt(t, other, time.Now())
	copyFile(t, filepath.Join(other, issuerKey), filepath.Join(mixed, issuerKey))
	if _, err := open(mixed, "", time.Now(), quiet); err == nil || !strings.Contains(err.Error(), "not the key of the certificate beside it") {
		t.Errorf("another's key: %v", err)
	}
	copyFile(t, filepath.Join(other, issuerFile), filepath.Join(mixed, issuerFile))
	if _, err := open(mixed, "", time.Now(), quiet); err == nil || !strings.Contains(err.Error(), "does not come from a root") {
		t.Errorf("another's issuer: %v", err)
	}
}

func newTestKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestRotate changes the root twice. Boxes that know only the first one trust
// the cloud all the time, and the cloud them.
func TestRotate(t *testing.T) {
	state, now := t.TempDir(), time.Now()
	first, err := Open(Config{Dir: state, Domain: "fleet.example"})
	if err != nil {
		t.Fatal(err)
	}
	box := wire.BoxID{Tenant: "main", Site: "s", Box: "b"}
	before, err := first.issueBox(box, &newTestKey(t).PublicKey, now)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Rotate(state); err != nil {
			t.Fatal(err)
		}
	}
	third, err := Open(Config{Dir: state})
	if err != nil {
		t.Fatal(err)
	}
	if third.RootHash() == first.RootHash() || len(third.roots) != 3 {
		t.Errorf("%d roots", len(third.roots))
	}
	if path, _, err := third.verify(before, now); err != nil || path != box.Path() {
		t.Errorf("a box from before the rotation: %q, %v", path, err)
	}
	_, chain, err := third.cloudKey(now)
	if err != nil {
		t.Fatal(err)
	}
	certs, _ := wire.ParseChain(chain)
	if path, _, err := wire.VerifySVID(certs, first.bundle, now); err != nil || path != wire.CloudPath {
		t.Errorf("the cloud for a box that knows the first root only: %q, %v", path, err)
	}
	if len(chain) > 4 {
		t.Errorf("a chain of %d certificates does not fit a proof", len(chain))
	}
	// Cut between the two renames.
	ca := filepath.Join(state, folder)
	if err := errors.Join(os.RemoveAll(ca+".new"), os.Rename(ca, ca+".new")); err != nil {
		t.Fatal(err)
	}
	if again, err := Open(Config{Dir: state}); err != nil || again.RootHash() != third.RootHash() {
		t.Errorf("after a cut rotation: %v", err)
	}
}

// TestSVID checks a box's certificate against X.509-SVID and what it may not be.
func TestSVID(t *testing.T) {
	a := openAt(t, t.TempDir(), time.Now())
	now, box := time.Now(), wire.BoxID{Tenant: "main", Site: "hall-2", Box: "kfz"}
	chain, err := a.issueBox(box, &newTestKey(t).PublicKey, now)
	if err != nil {
		t.Fatal(err)
	}
	leaf := chain[0]
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://signalbox/t/main/site/hall-2/box/kfz" || len(leaf.DNSNames)+len(leaf.IPAddresses) > 0 {
		t.Errorf("names %v %v %v", leaf.URIs, leaf.DNSNames, leaf.IPAddresses)
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || leaf.IsCA || leaf.NotAfter.Sub(now).Round(time.Hour) != 7*24*time.Hour {
		t.Errorf("usage %v, CA %v, until %v", leaf.KeyUsage, leaf.IsCA, leaf.NotAfter)
	}
	path, until, err := a.verify(chain, now)
	if err != nil || path != box.Path() || !until.Equal(leaf.NotAfter) {
		t.Errorf("verify: %q, %v, %v", path, until, err)
	}
	if _, _, err := a.verify(chain, now.Add(8*24*time.Hour)); !errors.Is(err, wire.ErrNotSVID) {
		t.Errorf("after its end: %v", err)
	}
	if _, _, err := openAt(t, t.TempDir(), now).verify(chain, now); !errors.Is(err, wire.ErrNotSVID) {
		t.Errorf("another authority: %v", err)
	}
	// What somebody with the issuer's key, but not the root's, cannot do.
	foreign := &x509.Certificate{URIs: []*url.URL{{Scheme: "spiffe", Host: "bank", Path: "/x"}}, KeyUsage: x509.KeyUsageDigitalSignature}
	certs, err := a.issue(foreign, &newTestKey(t).PublicKey, now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	pool.AddCert(a.roots[0])
	between.AddCert(a.issuer.cert)
	if _, err := certs[0].Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil {
		t.Error("an id of another trust domain verifies")
	}
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if certs, err = a.issueBox(box, &p384.PublicKey, now); err == nil {
		_, _, err = a.verify(certs, now)
	}
	if !errors.Is(err, wire.ErrKeyKind) {
		t.Errorf("a key on P-384: %v", err)
	}
}

func TestServerCertificate(t *testing.T) {
	a := openAt(t, t.TempDir(), time.Now())
	s, err := a.ServerCertificate(ServerConfig{Names: []string{"cloud.example", "192.0.2.7"}})
	if err != nil {
		t.Fatal(err)
	}
	first, _ := s.Certificate(nil)
	if first.Leaf.VerifyHostname("cloud.example") != nil || first.Leaf.VerifyHostname("192.0.2.7") != nil {
		t.Errorf("names %v %v", first.Leaf.DNSNames, first.Leaf.IPAddresses)
	}
	now := time.Now()
	s.now = func() time.Time { return now.Add(50 * 24 * time.Hour) }
	if same, _ := s.Certificate(nil); same != first {
		t.Error("renewed after 50 days")
	}
	s.now = func() time.Time { return now.Add(61 * 24 * time.Hour) }
	if next, _ := s.Certificate(nil); next == first {
		t.Error("not renewed after 61 days")
	}
	// The operator's own.
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	leaf, _ := x509.ParseCertificate(first.Certificate[0])
	if err := errors.Join(writeCerts(cert, []*x509.Certificate{leaf}), writeKey(key, first.PrivateKey.(*ecdsa.PrivateKey))); err != nil {
		t.Fatal(err)
	}
	own, err := a.ServerCertificate(ServerConfig{CertFile: cert, KeyFile: key})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := own.Certificate(nil); string(got.Certificate[0]) != string(leaf.Raw) {
		t.Error("not the operator's certificate")
	}
	if err := os.WriteFile(key, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	own.now = func() time.Time { return time.Now().Add(time.Minute) }
	if got, err := own.Certificate(nil); err != nil || got == nil {
		t.Errorf("a broken file takes the last good one away: %v", err)
	}
	if _, err := a.ServerCertificate(ServerConfig{CertFile: cert}); err == nil {
		t.Error("a certificate without its key is taken")
	}
}
