package wire

import (
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
)

// ErrNotSVID is returned for a certificate that is not an X.509 SVID of this
// trust domain, or does not lead to its roots.
var ErrNotSVID = errors.New("not a certificate of this trust domain")

// ParseChain parses certificates in DER.
func ParseChain(chain [][]byte) ([]*x509.Certificate, error) {
	certs := make([]*x509.Certificate, 0, len(chain))
	for _, der := range chain {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		certs = append(certs, cert)
	}
	return certs, nil
}

// Bundle is the roots of a trust domain. roots is DER.
func Bundle(domain string, roots [][]byte) (*x509bundle.Bundle, error) {
	td, err := spiffeid.TrustDomainFromString(domain)
	if err != nil {
		return nil, fmt.Errorf("trust domain %.80q: %w", domain, err)
	}
	certs, err := ParseChain(roots)
	if err != nil {
		return nil, fmt.Errorf("root %w", err)
	}
	for _, cert := range certs {
		if !cert.IsCA {
			return nil, fmt.Errorf("root certificate %q: is not an authority's", cert.Subject)
		}
	}
	return x509bundle.FromX509Authorities(td, certs), nil
}

// VerifySVID verifies a chain at a time and returns the path of its SPIFFE id
// and when the chain as a whole ends: no certificate outlives its issuer's.
// Errors wrap ErrNotSVID. Besides what X.509 SVID §5 asks for, the key must be
// one that SignMessage can use and the id the only name.
func VerifySVID(chain []*x509.Certificate, roots *x509bundle.Bundle, at time.Time) (path string, until time.Time, err error) {
	if len(chain) == 0 {
		return "", time.Time{}, fmt.Errorf("%w: there is none", ErrNotSVID)
	}
	leaf := chain[0]
	id, chains, err := x509svid.Verify(chain, roots, x509svid.WithTime(at))
	switch {
	case err != nil:
		return "", time.Time{}, fmt.Errorf("%w: %w", ErrNotSVID, err)
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return "", time.Time{}, fmt.Errorf("%w: its key is not for signatures", ErrNotSVID)
	case len(leaf.DNSNames)+len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0:
		return "", time.Time{}, fmt.Errorf("%w: it has names beside its SPIFFE id", ErrNotSVID)
	}
	if err := CheckKey(leaf.PublicKey); err != nil {
		return "", time.Time{}, fmt.Errorf("%w: %w", ErrNotSVID, err)
	}
	for _, verified := range chains { // of several, the one that lasts longest
		end := leaf.NotAfter
		for _, cert := range verified {
			if cert.NotAfter.Before(end) {
				end = cert.NotAfter
			}
		}
		if end.After(until) {
			until = end
		}
	}
	return id.Path(), until, nil
}
