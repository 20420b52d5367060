package identity

import (
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"signalbox/sync/wire"
)

// DefaultDomain is the trust domain of a cloud that chose none.
const DefaultDomain = "signalbox"

// Config is what Open needs.
type Config struct {
	Dir    string // the cloud's state; the authority is in its folder ca
	Domain string // trust domain; empty: what the root has, DefaultDomain if there is none yet
	Logger *slog.Logger
}

// ErrRootKey is returned by Open when a new issuer is needed and the root's key is not there.
var ErrRootKey = errors.New("the root's key is needed and not there")

// Authority issues certificates. Its methods may be called concurrently.
type Authority struct {
	domain string
	roots  []*x509.Certificate // the one in use first
	bundle *x509bundle.Bundle
	issuer pair
	chain  []*x509.Certificate // from the issuer towards older roots
	secret []byte              // what Session and nonce keys are derived from

	mu    sync.Mutex
	proof *pair // of the cloud itself, see cloudKey
}

// Open reads the authority in dir/ca. At the first start it makes root and
// issuer; later it makes a new certificate for the issuer's key when that ends
// soon and the root's key is there. It never makes a root beside one there was.
func Open(cfg Config) (*Authority, error) {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	dir := filepath.Join(cfg.Dir, folder)
	if err := recoverFolder(cfg.Dir); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	a, err := open(dir, cfg.Domain, time.Now(), log)
	if err != nil {
		return nil, fmt.Errorf("authority in %s: %w", dir, err)
	}
	return a, nil
}

func open(dir, domain string, now time.Time, log *slog.Logger) (*Authority, error) {
	roots, domain, err := openRoots(dir, domain, now, log)
	if err != nil {
		return nil, err
	}
	a := &Authority{domain: domain, roots: roots}
	td, err := spiffeid.TrustDomainFromString(domain)
	if err != nil {
		return nil, err
	}
	a.bundle = x509bundle.FromX509Authorities(td, roots)
	if err := a.openIssuer(dir, now, log); err != nil {
		return nil, err
	}
	a.secret, err = a.issuer.key.Bytes()
	return a, err
}

// openRoots reads the roots, or makes one if there was never an authority.
func openRoots(dir, wanted string, now time.Time, log *slog.Logger) ([]*x509.Certificate, string, error) {
	roots, err := readCerts(filepath.Join(dir, rootFile))
	if errors.Is(err, fs.ErrNotExist) {
		return firstRoot(dir, wanted, now, log)
	}
	if err != nil {
		return nil, "", err
	}
	domain := ""
	for i, root := range roots {
		if len(root.URIs) != 1 || !root.IsCA || i > 0 && root.URIs[0].Host != domain {
			return nil, "", fmt.Errorf("%s: certificate %d is not a root of trust domain %q", rootFile, i+1, domain)
		}
		domain = root.URIs[0].Host
	}
	if wanted != "" && wanted != domain {
		return nil, "", fmt.Errorf("trust domain: got %q, and the root is of %q; it cannot change without every box joining anew", wanted, domain)
	}
	return roots, domain, nil
}

func firstRoot(dir, domain string, now time.Time, log *slog.Logger) ([]*x509.Certificate, string, error) {
	if _, err := os.Stat(filepath.Join(dir, issuerFile)); err == nil {
		return nil, "", fmt.Errorf("%s is missing beside %s; bring it back from a backup or another node, boxes trust no other", rootFile, issuerFile)
	}
	if domain == "" {
		domain = DefaultDomain
	}
	if _, err := spiffeid.TrustDomainFromString(domain); err != nil {
		return nil, "", fmt.Errorf(`trust domain: got %.80q, want a name such as "signalbox.example.com": %w`, domain, err)
	}
	root, err := makeRoot(domain, now)
	if err != nil {
		return nil, "", err
	}
	// The key first: a certificate without its key would be of no use.
	if err := errors.Join(writeKey(filepath.Join(dir, rootKey), root.key),
		writeCerts(filepath.Join(dir, rootFile), []*x509.Certificate{root.cert})); err != nil {
		return nil, "", err
	}
	log.Info("root authority made; keep a copy of ca/root.key offline, where it may then be removed", "reason", dir)
	return []*x509.Certificate{root.cert}, domain, nil
}

// openIssuer reads the issuer, and makes or renews it where it has to.
func (a *Authority) openIssuer(dir string, now time.Time, log *slog.Logger) error {
	chain, err := readCerts(filepath.Join(dir, issuerFile))
	if errors.Is(err, fs.ErrNotExist) {
		return a.makeIssuer(dir, nil, now, log)
	}
	if err != nil {
		return err
	}
	key, err := readKey(filepath.Join(dir, issuerKey), chain[0])
	if err != nil {
		return err
	}
	a.issuer, a.chain = pair{chain[0], key}, chain
	if err := a.checkIssuer(now); err != nil {
		return err
	}
	left := chain[0].NotAfter.Sub(now)
	if left > issuerEarly {
		return nil
	}
	err = a.makeIssuer(dir, &a.issuer, now, log)
	if errors.Is(err, ErrRootKey) && left > 0 {
		log.Warn("the issuer has to be renewed soon: put ca/root.key back for one start", "dur", left.Round(time.Hour), "err", err)
		return nil
	}
	return err
}

// checkIssuer verifies the issuer against the roots, whenever it was good.
func (a *Authority) checkIssuer(now time.Time) error {
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, root := range a.roots {
		pool.AddCert(root)
	}
	for _, cert := range a.chain[1:] {
		between.AddCert(cert)
	}
	cert := a.issuer.cert
	_, err := cert.Verify(x509.VerifyOptions{
		Roots: pool, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		CurrentTime: within(now, cert),
	})
	if err != nil || !cert.IsCA {
		return fmt.Errorf("%s does not come from a root in %s; bring back the files that belong together: %w", issuerFile, rootFile, err)
	}
	return nil
}

// within is now, or the nearest time at which cert is good.
func within(now time.Time, cert *x509.Certificate) time.Time {
	if now.Before(cert.NotBefore) {
		return cert.NotBefore
	}
	return earlier(now, cert.NotAfter)
}

// makeIssuer makes an issuer, with the key of old if there is one: what is
// derived from it must stay the same on every node.
func (a *Authority) makeIssuer(dir string, old *pair, now time.Time, log *slog.Logger) error {
	key, err := readKey(filepath.Join(dir, rootKey), a.roots[0])
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: a new issuer has to be made, put %s back into %s for one start", ErrRootKey, rootKey, dir)
	}
	if err != nil {
		return err
	}
	root := &pair{a.roots[0], key}
	if now.After(root.cert.NotAfter) {
		return fmt.Errorf("the root ended on %s; make the next one, and have every box join anew", root.cert.NotAfter.Format(time.DateOnly))
	}
	next := pair{}
	if old != nil {
		next.key = old.key
	} else if next.key, err = newKey(); err != nil {
		return err
	}
	if next.cert, err = makeIssuer(a.domain, root, next.key, now); err != nil {
		return err
	}
	if old == nil {
		if err := writeKey(filepath.Join(dir, issuerKey), next.key); err != nil {
			return err
		}
	}
	chain := []*x509.Certificate{next.cert}
	if old != nil {
		chain = append(chain, a.chain[1:]...)
	}
	if err := writeCerts(filepath.Join(dir, issuerFile), chain); err != nil {
		return err
	}
	a.issuer, a.chain = next, chain
	log.Info("issuer made; put the same ca/issuer.* and ca/root.pem on every cloud node", "reason", next.cert.Subject.CommonName)
	return nil
}

// Domain is the trust domain.
func (a *Authority) Domain() string { return a.domain }

// Bundle is every root that is good, in PEM.
func (a *Authority) Bundle() []byte { return encodeCerts(a.roots) }

// RootHash is the SHA-256 of the root in use, as "sha256:" and hex: what a
// command to join pins.
func (a *Authority) RootHash() string { return HashOf(a.roots[0]) }

// HashOf is a certificate's SHA-256 as RootHash writes it.
func HashOf(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// IssuerEnd is when the issuer ends, and with it all that it issued.
func (a *Authority) IssuerEnd() time.Time { return a.issuer.cert.NotAfter }

// SessionKey signs the names of sessions with the broker: 32 bytes, the same on
// every node with the same issuer.
func (a *Authority) SessionKey() []byte { return a.derive("signalbox broker session 1") }

func (a *Authority) nonceKey() []byte { return a.derive("signalbox nonce 1") }

func (a *Authority) derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, a.secret, nil, purpose, sha256.Size)
	if err != nil {
		panic(err) // only for a length that is none
	}
	return key
}

// verify is wire.VerifySVID against the roots, and the issuers that this node has.
func (a *Authority) verify(chain []*x509.Certificate, at time.Time) (path string, until time.Time, err error) {
	return wire.VerifySVID(slices.Concat(chain, a.chain), a.bundle, at)
}

func (a *Authority) rootsDER() [][]byte { return rawOf(a.roots) }

func rawOf(certs []*x509.Certificate) [][]byte {
	raw := make([][]byte, 0, len(certs))
	for _, cert := range certs {
		raw = append(raw, cert.Raw)
	}
	return raw
}
