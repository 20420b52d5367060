package identity

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"net/url"
	"time"

	"signalbox/sync/wire"
)

// Lifetimes of what the issuer signs.
const (
	BoxLifetime    = 7 * 24 * time.Hour
	cloudLifetime  = 7 * 24 * time.Hour
	serverLifetime = 90 * 24 * time.Hour
	// RenewFor is how long after its end a box's certificate may still be
	// exchanged for a new one.
	RenewFor = 180 * 24 * time.Hour
)

// issueBox issues the SVID of a box. Key usages are those of SPIFFE X.509-SVID §4.3.
func (a *Authority) issueBox(box wire.BoxID, public crypto.PublicKey, now time.Time) ([]*x509.Certificate, error) {
	return a.issueSVID(box.Path(), box.Box, public, now, BoxLifetime)
}

func (a *Authority) issueSVID(path, name string, public crypto.PublicKey, now time.Time, lifetime time.Duration) ([]*x509.Certificate, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Signalbox"}, CommonName: name},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: a.domain, Path: path}},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	return a.issue(template, public, now, lifetime)
}

// issue signs a leaf that does not outlive its issuer.
func (a *Authority) issue(template *x509.Certificate, public crypto.PublicKey, now time.Time, lifetime time.Duration) ([]*x509.Certificate, error) {
	template.NotBefore, template.NotAfter = now.Add(-backdate), earlier(now.Add(lifetime), a.issuer.cert.NotAfter)
	cert, err := sign(template, a.issuer.cert, public, a.issuer.key)
	if err != nil {
		return nil, err
	}
	return append([]*x509.Certificate{cert}, a.chain...), nil
}

// cloudKey is what this node signs boxes' nonces with: a key of its own in
// memory, replaced after half its life.
func (a *Authority) cloudKey(now time.Time) (crypto.Signer, [][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proof == nil || now.After(a.proof.cert.NotBefore.Add(cloudLifetime/2)) || now.Before(a.proof.cert.NotBefore) {
		key, err := newKey()
		if err != nil {
			return nil, nil, err
		}
		chain, err := a.issueSVID(wire.CloudPath, "cloud", key.Public(), now, cloudLifetime)
		if err != nil {
			return nil, nil, err
		}
		a.proof = &pair{chain[0], key}
	}
	return a.proof.key, rawOf(append([]*x509.Certificate{a.proof.cert}, a.chain...)), nil
}
