package upstream

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"signalbox/sync/wire"
)

// person is the identity of a test's box: a key, and the cloud's key to know it by.
type person struct {
	box   wire.BoxID
	key   crypto.Signer
	chain [][]byte
	cloud *authority
	url   string

	mu   sync.Mutex
	skew time.Duration
}

// authority is the cloud's key, which also is its certificate for TLS.
type authority struct {
	key  *ecdsa.PrivateKey
	der  []byte
	pool *x509.CertPool
}

func newKeyPair(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKeyPair(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Now().AddDate(50, 0, 0), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, DNSNames: []string{"cloud.test", "localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, der: der, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

func newPerson(t *testing.T, cloud *authority, url string) *person {
	t.Helper()
	return &person{box: wire.BoxID{Tenant: "main", Site: "hall-2", Box: "b1"}, key: newKeyPair(t), chain: [][]byte{[]byte("certificate")}, cloud: cloud, url: url}
}

func (p *person) Box() wire.BoxID       { return p.box }
func (p *person) URL() string           { return p.url }
func (p *person) Signer() crypto.Signer { return p.key }
func (p *person) CertEnd() time.Time {
	return time.Now().Add(6 * 24 * time.Hour).Truncate(24 * time.Hour)
}
func (p *person) Reload() (bool, error) { return false, nil }
func (p *person) TLS() *tls.Config {
	return &tls.Config{RootCAs: p.cloud.pool, MinVersion: tls.VersionTLS12}
}
func (p *person) Explain(err error) error     { return err }
func (p *person) Skew() (time.Duration, bool) { p.mu.Lock(); defer p.mu.Unlock(); return p.skew, true }
func (p *person) setSkew(skew time.Duration)  { p.mu.Lock(); defer p.mu.Unlock(); p.skew = skew }

func (p *person) Prove(nonce, method string, target *url.URL, body []byte) (*wire.Proof, error) {
	return wire.NewProof(p.key, p.chain, nonce, method, wire.Target(target), body)
}

func (p *person) VerifyCloud(proof *wire.Proof, answer http.Header, body []byte) error {
	c, err := wire.ParseCloudProof(answer.Get(wire.CloudProofHeader))
	if err != nil {
		return err
	}
	if !c.Verify(p.cloud.key.Public(), proof) || body != nil && !c.Covers(body) {
		return errors.New("the signature is not the cloud's")
	}
	return nil
}
