package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// tlsConfig trusts the system's authorities, the cloud's own roots and those of
// caFile, at the time of clk.
func tlsConfig(g *generation, caFile string, clk *clock) (*tls.Config, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any: ours are enough
	}
	for _, root := range g.pool {
		pool.AddCert(root)
	}
	if caFile != "" {
		content, err := readFile(caFile)
		if err != nil {
			return nil, fmt.Errorf("upstream.ca: %w", err)
		}
		if !pool.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("upstream.ca: got %q, want a PEM file with certificates", caFile)
		}
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool, Time: clk.now}, nil
}

// Explain says what a connection to the cloud has failed with, if that was its
// certificate, and returns other errors as they are. A box whose clock shows
// 1970 learns from it, so that its next attempt may succeed.
func (i *Identity) Explain(err error) error {
	failed, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(failed.UnverifiedCertificates) == 0 {
		return err
	}
	leaf := failed.UnverifiedCertificates[0]
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](failed.Err); ok && invalid.Reason == x509.Expired && i.clock.behind() {
		// Wherever we are in time, we may suppose to be where it has begun: it is
		// verified all the same, and then the cloud says what time it is. Nobody has
		// vouched for the certificate yet, so this is forgotten with the next one.
		i.clock.suppose(leaf.NotBefore.Add(time.Second))
	}
	return explain(failed, i.clock.now())
}

func explain(failed *tls.CertificateVerificationError, now time.Time) error {
	shown := failed.UnverifiedCertificates
	leaf, last := shown[0], shown[len(shown)-1]
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	text := failed.Err.Error()
	switch {
	case errors.As(failed.Err, &unknown):
		text = fmt.Sprintf("the certificate shown is issued by %q, which neither this machine's authorities nor the cloud's own vouch for; "+
			"if a proxy on the way looks into TLS, write its root into a file and name that as upstream.ca", last.Issuer)
	case errors.As(failed.Err, &host):
		text = fmt.Sprintf("the certificate shown is for %s, not for %s; use an address that it is for", namesOf(leaf), host.Host)
	case errors.As(failed.Err, &invalid) && invalid.Reason == x509.Expired:
		text = fmt.Sprintf("the certificate shown, of %q, is good from %s to %s, and it is %s by this box's clock; set the clock, or renew the certificate",
			leaf.Subject, leaf.NotBefore.Format(time.RFC3339), leaf.NotAfter.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return &TLSError{text, failed}
}

func namesOf(cert *x509.Certificate) string {
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(slices.Clip(names), ip.String())
	}
	switch {
	case len(names) == 0:
		return "no name"
	case len(names) > 5:
		names = append(slices.Clone(names[:5]), "…")
	}
	return strings.Join(names, ", ")
}

// TLSError is a certificate that is not to be trusted, in words for people.
type TLSError struct {
	text string
	err  error
}

func (e *TLSError) Error() string { return e.text }

// Unwrap gives what the TLS library said.
func (e *TLSError) Unwrap() error { return e.err }
