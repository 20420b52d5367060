package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/url"
	"time"
)

const (
	rootYears   = 10
	issuerYears = 2
	// issuerEarly is how long before its end an issuer is renewed, if the root's
	// key is there: time enough to fetch it from where it is kept.
	issuerEarly = 180 * 24 * time.Hour
	// backdate lets verifiers whose clock is behind accept what is new.
	backdate = time.Hour
)

// pair is a certificate and its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey() (*ecdsa.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// newSerial gives 127 random bits: positive, and within 20 octets (RFC 5280 §4.1.2.2).
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

// makeRoot makes a root with a key of its own. Below it is one issuer, and after
// rotations the next roots in between: hence the path length.
func makeRoot(domain string, now time.Time) (*pair, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := authorityTemplate(domain, "Signalbox root "+now.UTC().Format(time.DateOnly), 1+maxOlderRoots)
	template.NotBefore, template.NotAfter = now.Add(-backdate), now.AddDate(rootYears, 0, 0)
	cert, err := sign(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &pair{cert, key}, nil
}

// makeIssuer has root vouch for an issuer with this key.
func makeIssuer(domain string, root *pair, key *ecdsa.PrivateKey, now time.Time) (*x509.Certificate, error) {
	template := authorityTemplate(domain, "Signalbox issuer "+now.UTC().Format(time.DateOnly), 0)
	template.MaxPathLenZero = true
	template.NotBefore, template.NotAfter = now.Add(-backdate), earlier(now.AddDate(issuerYears, 0, 0), root.cert.NotAfter)
	// No URI of another trust domain. DNS names are free: the cloud's own HTTPS
	// certificates come from here too, and only boxes that joined trust them.
	template.PermittedURIDomains = []string{domain}
	template.PermittedDNSDomainsCritical = true
	return sign(template, root.cert, key.Public(), root.key)
}

// cross has an older root vouch for a newer one, so that boxes which have not
// heard of the newer one trust what it issues.
func cross(older *pair, newer *x509.Certificate, domain string) (*x509.Certificate, error) {
	template := authorityTemplate(domain, newer.Subject.CommonName, maxOlderRoots)
	template.NotBefore, template.NotAfter = newer.NotBefore, earlier(newer.NotAfter, older.cert.NotAfter)
	return sign(template, older.cert, newer.PublicKey, older.key)
}

// authorityTemplate is as SPIFFE X.509-SVID §3 and §4 want it: the trust domain
// as the only URI, keyCertSign and cRLSign as the only usages.
func authorityTemplate(domain, name string, pathLen int) *x509.Certificate {
	return &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Signalbox"}, CommonName: name},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: domain}},
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLen:            pathLen,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// sign makes a certificate and reads it back.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, by *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, by)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
