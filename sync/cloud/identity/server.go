package identity

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"
)

// filesEvery is how often, at most, the operator's certificate files are looked
// at. It is also what lies between two tries to issue a certificate of our own.
const filesEvery = 5 * time.Second

// ServerConfig says what the cloud's HTTPS listener shows.
type ServerConfig struct {
	Names             []string // host names and addresses; empty: those of this machine
	CertFile, KeyFile string   // a certificate of the operator's own instead
	Logger            *slog.Logger
}

// Server gives the certificate for the cloud's HTTPS listener: the operator's
// own files, or one of the issuer's for 90 days, which boxes trust because they
// know the root. It renews by itself: it looks when somebody connects.
type Server struct {
	a   *Authority
	cfg ServerConfig
	now func() time.Time

	mu     sync.Mutex
	cert   *tls.Certificate
	looked time.Time
	seen   [2]fs.FileInfo
}

// ServerCertificate makes the first certificate, or reads the operator's.
func (a *Authority) ServerCertificate(cfg ServerConfig) (*Server, error) {
	if (cfg.CertFile == "") != (cfg.KeyFile == "") {
		return nil, fmt.Errorf("certificate %q and key %q: want both files or neither", cfg.CertFile, cfg.KeyFile)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if len(cfg.Names) == 0 {
		cfg.Names = ownNames()
	}
	s := &Server{a: a, cfg: cfg, now: time.Now}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s, s.refreshLocked()
}

// TLSConfig is for the listener. HTTP/1.1 only, since a WebSocket cannot be
// opened over HTTP/2 here.
func (s *Server) TLSConfig() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, GetCertificate: s.Certificate}
}

// Certificate is the one in force. A certificate that cannot be replaced stays.
func (s *Server) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.looked) >= filesEvery || now.Before(s.looked) {
		if err := s.refreshLocked(); err != nil {
			s.cfg.Logger.Warn("the certificate of the HTTPS listener is not replaced, the last good one stays in force", "err", err)
		}
	}
	return s.cert, nil
}

func (s *Server) refreshLocked() error {
	s.looked = s.now()
	if s.cfg.CertFile != "" {
		return s.loadLocked()
	}
	if s.cert != nil && s.looked.Before(middle(s.cert.Leaf, 2, 3)) {
		return nil
	}
	cert, err := s.a.issueServer(s.cfg.Names, s.looked)
	if err == nil {
		s.cert = cert
	}
	return err
}

// middle is when num/den of a certificate's life is over.
func middle(cert *x509.Certificate, num, den time.Duration) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / den * num)
}

// loadLocked reads the operator's files if they have changed.
func (s *Server) loadLocked() error {
	certInfo, certErr := os.Stat(s.cfg.CertFile)
	keyInfo, keyErr := os.Stat(s.cfg.KeyFile)
	if err := errors.Join(certErr, keyErr); err != nil {
		return err
	}
	if s.cert != nil && same(s.seen[0], certInfo) && same(s.seen[1], keyInfo) {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(s.cfg.CertFile, s.cfg.KeyFile)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", s.cfg.CertFile, s.cfg.KeyFile, err)
	}
	s.cert, s.seen = &cert, [2]fs.FileInfo{certInfo, keyInfo}
	return nil
}

func same(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// issueServer issues a certificate for an HTTPS server.
func (a *Authority) issueServer(names []string, now time.Time) (*tls.Certificate, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:               pkix.Name{Organization: []string{"Signalbox"}, CommonName: "cloud"},
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, name := range names {
		if addr, err := netip.ParseAddr(name); err == nil {
			template.IPAddresses = append(template.IPAddresses, net.IP(addr.WithZone("").AsSlice()))
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	chain, err := a.issue(template, key.Public(), now, serverLifetime)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: rawOf(chain), PrivateKey: key, Leaf: chain[0]}, nil
}

// ownNames are the names and addresses under which this machine may be reached.
func ownNames() []string {
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil && host != "localhost" {
		names = append(names, host)
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return append(names, "127.0.0.1", "::1")
	}
	for _, a := range addrs {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && !prefix.Addr().IsLinkLocalUnicast() {
			names = append(names, prefix.Addr().String())
		}
	}
	return names
}
