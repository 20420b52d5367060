package trust

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// TLSConfig is for servers: TLS 1.2 and later and the certificate in force.
// HTTP/1.1 only, since a WebSocket cannot be opened over HTTP/2 here.
func (a *Authority) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"http/1.1"},
		GetCertificate: a.certificate,
	}
}

// certificate picks for one handshake. A certificate of one's own is for the
// site's name, while devices also come by signalbox.local or by address: those
// get the local CA's leaf when only that one is for them.
func (a *Authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	local, own := a.local.Load().cert, a.own.Load()
	if own == nil {
		return local, nil
	}
	host := hello.ServerName
	if host == "" && hello.Conn != nil { // by address: RFC 6066 §3 has no SNI for it
		if at, ok := hello.Conn.LocalAddr().(*net.TCPAddr); ok {
			host = at.IP.String()
		}
	}
	if host != "" && own.Leaf.VerifyHostname(host) != nil && local.Leaf.VerifyHostname(host) == nil {
		return local, nil
	}
	return own, nil
}

// Host is what a client that verifies certificates should call the box at addr:
// the address, for which the local CA's leaf is good; with a certificate of one's
// own that is not for it, a name that one is for.
func (a *Authority) Host(addr netip.Addr) string {
	own := a.own.Load()
	if own == nil || own.Leaf.VerifyHostname(addr.String()) == nil {
		return addr.String()
	}
	for _, name := range own.Leaf.DNSNames {
		if validName(strings.ToLower(name)) { // no wildcard
			return name
		}
	}
	return addr.String()
}

// RootPEM is the root certificate as devices install it.
func (a *Authority) RootPEM() []byte { return pemOf(a.root.cert) }

// RootDER is the root certificate in DER.
func (a *Authority) RootDER() []byte { return slices.Clone(a.root.cert.Raw) }

// Fingerprint is the SHA-256 of RootDER in lower-case hex.
func (a *Authority) Fingerprint() string {
	sum := sha256.Sum256(a.root.cert.Raw)
	return hex.EncodeToString(sum[:])
}
