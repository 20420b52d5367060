package turntest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// certificate is good for loopback addresses, and its own root.
var certificate = sync.OnceValues(func() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "turntest"},
		// Where time is not real it begins in 2000 (testing/synctest).
		NotBefore: time.Unix(0, 0), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA:        true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
})

// ServerTLS is for a server on loopback.
func ServerTLS(t testing.TB) *tls.Config {
	t.Helper()
	cert, err := certificate()
	if err != nil {
		t.Fatalf("make a certificate: %v", err)
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
}

// ClientTLS trusts servers with ServerTLS, and offers the given protocols.
func ClientTLS(t testing.TB, protocols ...string) *tls.Config {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ServerTLS(t).Certificates[0].Leaf)
	return &tls.Config{RootCAs: roots, NextProtos: protocols, MinVersion: tls.VersionTLS12}
}

// DialTLS is Dial over TLS, with the given protocols in the handshake.
func DialTLS(t testing.TB, server netip.AddrPort, protocols ...string) *Client {
	t.Helper()
	dialer := &tls.Dialer{Config: ClientTLS(t, protocols...)}
	conn, err := dialer.DialContext(t.Context(), "tcp", server.String())
	if err != nil {
		t.Fatalf("dial %v/tls: %v", server, err)
	}
	return Use(t, conn)
}
