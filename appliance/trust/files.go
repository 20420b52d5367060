package trust

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

const (
	maxFileBytes = 1 << 20
	// settle: files changed this short before they were read are read again,
	// since a second change may carry the same time stamp and size.
	settle = 2 * time.Second
)

// pair is a certificate of one's own in two files that may change while the box
// runs. Only Refresh uses it, under the authority's lock.
type pair struct {
	certFile, keyFile string

	cert   *tls.Certificate // the last good one; nil: there was none yet
	seen   [2]fs.FileInfo   // of what was read last
	readAt time.Time
	err    error // why the files as they are now are not in force
}

// look reads the files if they have changed, and reports whether it has.
func (p *pair) look(now time.Time) bool {
	certInfo, certErr := os.Stat(p.certFile)
	keyInfo, keyErr := os.Stat(p.keyFile)
	if certErr == nil && keyErr == nil && p.err == nil && p.same(certInfo, p.seen[0]) && p.same(keyInfo, p.seen[1]) {
		return false
	}
	p.seen, p.readAt = [2]fs.FileInfo{certInfo, keyInfo}, now
	cert, err := readPair(p.certFile, p.keyFile)
	if p.err = err; err == nil {
		p.cert = cert
	}
	return true
}

func (p *pair) same(now, then fs.FileInfo) bool {
	return then != nil && os.SameFile(now, then) && now.Size() == then.Size() && now.ModTime().Equal(then.ModTime()) &&
		p.readAt.Sub(then.ModTime()) >= settle
}

// readPair reads a certificate chain and its key and checks that a server can
// use them. An expired one can be used: what it serves is the devices' to judge.
func readPair(certFile, keyFile string) (*tls.Certificate, error) {
	certPEM, err := readFile(certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
	}
	switch {
	case len(cert.Leaf.DNSNames)+len(cert.Leaf.IPAddresses) == 0:
		err = errors.New("the certificate has no subject alternative names, and browsers look at nothing else")
	case cert.Leaf.IsCA:
		err = errors.New("the first certificate is an authority's: put the server's own first, then the chain")
	case len(cert.Leaf.ExtKeyUsage) > 0 && !forServers(cert.Leaf):
		err = errors.New("the certificate is not for TLS servers (extended key usage)")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", certFile, err)
	}
	return &cert, nil
}

func forServers(cert *x509.Certificate) bool {
	for _, usage := range cert.ExtKeyUsage {
		if usage == x509.ExtKeyUsageServerAuth || usage == x509.ExtKeyUsageAny {
			return true
		}
	}
	return false
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFileBytes+1))
	if err == nil && len(content) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d KiB, want a PEM file", path, maxFileBytes>>10)
	}
	return content, err
}
