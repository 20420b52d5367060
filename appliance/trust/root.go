package trust

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	rootKeyName = "trust/root" // in the KeyStore
	rootYears   = 10

	pemCertificate = "CERTIFICATE"
	pemPrivateKey  = "PRIVATE KEY"
)

// epoch is before any box was made: no clock that is right shows less. Roots are
// valid from then on, whatever the clock showed when they were made.
var epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// permanent are the addresses a root vouches for: those that nobody on the
// internet has, so that a device which trusts the root gives away nothing there.
// 100.64.0.0/10 is what overlay networks use (RFC 6598).
var permanent = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("fc00::/7"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("::1/128"),
}

// maxUnusual bounds the subnets a root permits beyond the permanent ones.
const maxUnusual = 4

// unusual gives subnets to permit for addresses that are not private ones: old
// plants number their machines from other people's IPv4 space, have no mDNS
// across their VLANs, and must be reached by address. A root outlives many
// leases, so it gets the /24 and not the one address. It gets no global IPv6
// prefix: providers change those, and then they are somebody else's. Such a box
// is reached by its name or its private addresses.
func unusual(addrs []netip.Addr) []netip.Prefix {
	var subnets []netip.Prefix
	for _, addr := range addrs {
		addr = addr.Unmap()
		if !addr.Is4() || !addr.IsGlobalUnicast() || within(permanent, addr) || within(subnets, addr) || len(subnets) == maxUnusual {
			continue
		}
		subnets = append(subnets, netip.PrefixFrom(addr, 24).Masked())
	}
	return subnets
}

func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// root is the certificate devices install, and the key that signs leaves.
type root struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// makeRoot makes a root in the form it is stored in: certificate and key as PEM
// in one piece, so that there is never one without the other.
func makeRoot(cfg Config, now time.Time) ([]byte, error) {
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
		Subject:      pkix.Name{Organization: []string{"Signalbox"}, CommonName: commonName(cfg.Label)},
		NotBefore:    epoch,
		NotAfter:     now.AddDate(rootYears, 0, 0),
		IsCA:         true,
		KeyUsage:     x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		// Honoured along the chain by browsers: this root is for TLS servers, not
		// for mail, code or people.
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		// Leaves are signed by the root itself. One intermediate stays possible,
		// so that sealing the root one day needs no visit to every device.
		MaxPathLen:                  1,
		PermittedDNSDomainsCritical: true, // RFC 5280 §4.2.1.10
		PermittedDNSDomains:         []string{"local", "localhost"},
	}
	if cfg.Domain != "" && cfg.Domain != "local" {
		template.PermittedDNSDomains = append(template.PermittedDNSDomains, cfg.Domain)
	}
	for _, p := range slices.Concat(permanent, unusual(call(cfg.Addrs))) {
		template.PermittedIPRanges = append(template.PermittedIPRanges, &net.IPNet{
			IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		})
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return slices.Concat(
		pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: pkcs8}),
	), nil
}

// parseRoot reads what makeRoot made.
func parseRoot(stored []byte) (*root, error) {
	first, rest := pem.Decode(stored)
	second, _ := pem.Decode(rest)
	if first == nil || second == nil || first.Type != pemCertificate || second.Type != pemPrivateKey {
		return nil, errors.New("want a certificate and a private key in PEM")
	}
	cert, err := x509.ParseCertificate(first.Bytes)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(second.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("certificate and key do not belong together")
	}
	return &root{cert, key}, nil
}

// permits reports whether leaves may carry the address. What the root was made
// with counts: one name too many, and verifiers refuse the whole leaf.
func (r *root) permits(addr netip.Addr) bool {
	ip := net.IP(addr.AsSlice())
	return slices.ContainsFunc(r.cert.PermittedIPRanges, func(n *net.IPNet) bool {
		return len(n.IP) == len(ip) && n.Contains(ip)
	})
}

// permitsName is permits for a host name.
func (r *root) permitsName(name string) bool {
	return slices.ContainsFunc(r.cert.PermittedDNSDomains, func(domain string) bool {
		return name == domain || strings.HasSuffix(name, "."+domain)
	})
}

// made is when the root was made, by the box's clock of then. A day is taken off
// for what AddDate makes of a 29th of February.
func (r *root) made() time.Time { return r.cert.NotAfter.AddDate(-rootYears, 0, -1) }

// commonName is what devices list the root under, at most 64 characters (RFC
// 5280 appendix A.1).
func commonName(label string) string {
	name := strings.ToValidUTF8(strings.TrimSpace("Signalbox "+label), "")
	if runes := []rune(name); len(runes) > 64 {
		name = string(runes[:64])
	}
	return name
}

// newSerial gives 127 random bits: positive, and within 20 octets (RFC 5280 §4.1.2.2).
func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
}

func call[T any](fn func() []T) []T {
	if fn == nil {
		return nil
	}
	return fn()
}

func pemOf(cert *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemCertificate, Bytes: cert.Raw})
}
