package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"

	"signalbox/sync/wire"
)

const (
	keyFile   = "key.pem"
	chainFile = "chain.pem"
	rootsFile = "roots.pem"
	siteFile  = "site.json"

	pemCertificate = "CERTIFICATE"
	pemPrivateKey  = "PRIVATE KEY"

	maxFileBytes = 64 << 10
)

// site is the document beside the certificates.
type site struct {
	URL     string    `json:"url"`    // of the cloud, as it was given to join
	Box     string    `json:"box"`    // wire.BoxID
	Domain  string    `json:"domain"` // trust domain
	Joined  time.Time `json:"joined"` // the cloud's clock
	KeyMade time.Time `json:"key_made"`
}

// generation is an identity: it does not change.
type generation struct {
	number uint64
	site   site
	box    wire.BoxID
	key    crypto.Signer
	chain  []*x509.Certificate // the box's own first
	roots  *x509bundle.Bundle
	pool   []*x509.Certificate // of roots, in their order
}

func (g *generation) leaf() *x509.Certificate { return g.chain[0] }

func (g *generation) der() [][]byte { return rawOf(g.chain) }

// newGeneration puts an identity together and checks that it is one: the chain
// is the key's and leads to roots at a time.
func newGeneration(s site, key crypto.Signer, chain, roots [][]byte, at time.Time) (*generation, error) {
	g := &generation{site: s, key: key}
	var err error
	if g.box, err = wire.ParseBoxID(s.Box); err != nil {
		return nil, err
	}
	if g.chain, err = wire.ParseChain(chain); err != nil {
		return nil, err
	}
	if g.pool, err = wire.ParseChain(roots); err != nil {
		return nil, err
	}
	if g.roots, err = wire.Bundle(s.Domain, roots); err != nil {
		return nil, err
	}
	return g, g.check(at)
}

func (g *generation) check(at time.Time) error {
	path, _, err := wire.VerifySVID(g.chain, g.roots, at)
	if err != nil {
		return err
	}
	if path != g.box.Path() {
		return fmt.Errorf("the certificate is of %q, want %q", path, g.box.Path())
	}
	own, err := wire.KeyID(g.key.Public())
	if err != nil {
		return err
	}
	if certified, err := wire.KeyID(g.leaf().PublicKey); err != nil || certified != own {
		return errors.New("the certificate is not of this box's key")
	}
	return nil
}

// read reads an identity. It is checked at the time its certificate began, since
// nothing is known of the clock yet.
func (f folder) read(n uint64) (*generation, error) {
	g, err := readGeneration(f.path(n))
	if err != nil {
		return nil, fmt.Errorf("identity %s: %w; restore the folder or join again", f.path(n), err)
	}
	g.number = n
	return g, nil
}

func readGeneration(dir string) (*generation, error) {
	var s site
	content, err := readFile(filepath.Join(dir, siteFile))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return nil, fmt.Errorf("%s: %w", siteFile, err)
	}
	chain, err := readCerts(filepath.Join(dir, chainFile))
	if err != nil {
		return nil, err
	}
	roots, err := readCerts(filepath.Join(dir, rootsFile))
	if err != nil {
		return nil, err
	}
	key, err := readKey(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", chainFile, err)
	}
	return newGeneration(s, key, chain, roots, leaf.NotBefore)
}

type namedFile struct {
	name    string
	content []byte
}

func (g *generation) files() ([]namedFile, error) {
	key, err := encodeKey(g.key)
	if err != nil {
		return nil, err
	}
	document, err := json.MarshalIndent(g.site, "", "  ")
	if err != nil {
		return nil, err
	}
	return []namedFile{
		{keyFile, key}, {chainFile, encodeCerts(g.chain)}, {rootsFile, encodeCerts(g.pool)}, {siteFile, append(document, '\n')},
	}, nil
}

func newKey() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

func encodeKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}), err
}

func readKey(path string) (crypto.Signer, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != pemPrivateKey {
		return nil, fmt.Errorf("%s: want a private key in PEM (PKCS #8)", filepath.Base(path))
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	key, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), wire.ErrKeyKind)
	}
	return key, wire.CheckKey(key.Public())
}

func encodeCerts(certs []*x509.Certificate) (out []byte) {
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: cert.Raw})...)
	}
	return out
}

// readCerts reads certificates as DER.
func readCerts(path string) (certs [][]byte, err error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == pemCertificate {
			certs = append(certs, block.Bytes)
		}
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: has no certificate", filepath.Base(path))
	}
	return certs, nil
}

func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s: has %d bytes, want at most %d", filepath.Base(path), info.Size(), maxFileBytes)
	}
	return os.ReadFile(path)
}

func rawOf(certs []*x509.Certificate) [][]byte {
	raw := make([][]byte, 0, len(certs))
	for _, cert := range certs {
		raw = append(raw, cert.Raw)
	}
	return raw
}
