package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
)

// leaf is a certificate of the local CA and what it was made for.
type leaf struct {
	subjects
	window
	cert *tls.Certificate
}

// issue makes a leaf with a key of its own. Leaves live in memory: a box that
// restarts makes another, and devices know it by the root.
func (r *root) issue(s subjects, w window) (*leaf, error) {
	l, err := r.issueUnchecked(s, w)
	if err != nil {
		return nil, err
	}
	// A device would refuse it without a word the box could hear.
	if err := r.check(l.cert.Leaf); err != nil {
		return nil, fmt.Errorf("check new certificate: %w", err)
	}
	return l, nil
}

func (r *root) issueUnchecked(s subjects, w window) (*leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// Not like a host name, or some verifiers hold it against the constraints.
		Subject:               pkix.Name{Organization: r.cert.Subject.Organization, CommonName: "this box"},
		NotBefore:             w.from,
		NotAfter:              w.until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              s.names,
	}
	for _, addr := range s.addrs {
		template.IPAddresses = append(template.IPAddresses, net.IP(addr.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, r.cert, key.Public(), r.key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &leaf{s, w, &tls.Certificate{
		// The root goes along for clients that know it by its fingerprint only.
		Certificate: [][]byte{der, r.cert.Raw}, PrivateKey: key, Leaf: cert,
	}}, nil
}

// check verifies a leaf as a device would.
func (r *root) check(cert *x509.Certificate) error {
	pool := x509.NewCertPool()
	pool.AddCert(r.cert)
	_, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 2)})
	return err
}
