package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Files of an authority, in the folder ca of the cloud's state.
const (
	folder     = "ca"
	rootFile   = "root.pem"   // every root that is good, the one in use first
	rootKey    = "root.key"   // of the root in use; may be kept elsewhere
	issuerFile = "issuer.pem" // the issuer, then what connects it to older roots
	issuerKey  = "issuer.key"

	maxFileBytes = 256 << 10

	pemCertificate = "CERTIFICATE"
	pemPrivateKey  = "PRIVATE KEY"
)

// writeFile replaces a file durably: after a power cut there is the old one or
// the new one. It is for its owner alone.
func writeFile(path string, content []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(content) > maxFileBytes {
		err = fmt.Errorf("%s has more than %d KiB, want a PEM file", path, maxFileBytes>>10)
	}
	return content, err
}

// readCerts reads a file of one or more certificates.
func readCerts(path string) ([]*x509.Certificate, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	var certs []*x509.Certificate
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != pemCertificate {
			return nil, fmt.Errorf("%s: got a block %q, want %s only", path, block.Type, pemCertificate)
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		certs = append(certs, cert)
	}
	if len(certs) == 0 {
		return nil, fmt.Errorf("%s: has no certificate", path)
	}
	return certs, nil
}

// readKey reads a P-256 key and checks that it is the certificate's.
func readKey(path string, of *x509.Certificate) (*ecdsa.PrivateKey, error) {
	content, err := readFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(content)
	if block == nil || block.Type != pemPrivateKey {
		return nil, fmt.Errorf("%s: want a private key in PEM (PKCS #8)", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%s: want an ECDSA key on P-256", path)
	}
	if of != nil && !key.PublicKey.Equal(of.PublicKey) {
		return nil, fmt.Errorf("%s: is not the key of the certificate beside it; bring back the two files that belong together", path)
	}
	return key, nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}))
}

func writeCerts(path string, certs []*x509.Certificate) error {
	return writeFile(path, encodeCerts(certs))
}

func encodeCerts(certs []*x509.Certificate) []byte {
	var out []byte
	for _, cert := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: cert.Raw})...)
	}
	return out
}
