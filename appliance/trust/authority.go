// Package trust is the box's local certificate authority: a root that devices
// may install, and a leaf for every name and address the box has.
package trust

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// KeyStore keeps keys durably.
type KeyStore interface {
	// Key gives the bytes stored under name, or an error when there are none.
	Key(name string) ([]byte, error)
	// CreateKey gives the bytes under name; when there are none it stores, in
	// the same step, what make returns.
	CreateKey(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error)
}

// Config is the [tls] section and what the box knows about itself.
type Config struct {
	CertFile string `toml:"cert"`   // PEM chain of one's own instead of the local CA's leaf; with KeyFile or not at all
	KeyFile  string `toml:"key"`    // PEM key of CertFile
	Domain   string `toml:"domain"` // the site's own DNS domain, permitted to the root when it is made

	Label  string              `toml:"-"` // told apart by in a device's list of authorities: site and box id
	Names  func() []string     `toml:"-"` // the host names of the box now; nil: none beside localhost
	Addrs  func() []netip.Addr `toml:"-"` // its addresses now; nil: none beside loopback
	Known  func() time.Time    `toml:"-"` // a moment known to have passed, for boxes that boot in 1970; nil: unknown
	Keys   KeyStore            `toml:"-"`
	Logger *slog.Logger        `toml:"-"` // nil: discard
}

// Authority is the local CA and the certificate in force. Its methods may be called concurrently.
type Authority struct{}

// Status is what health and the console show.
type Status struct {
	Source      string    // "local" or "files"
	Names       []string  // what the certificate in force covers, addresses included
	Refused     []string  // names and addresses of the box the root does not permit
	Expires     time.Time // of the certificate in force
	RootExpires time.Time
	Fingerprint string // of the root
	Err         error  // why the files (or a newer leaf) are not in force
}

// New makes the root if there is none yet, and the first leaf.
func New(cfg Config) (*Authority, error) { return nil, errors.New("not built") }

// Run renews the leaf and reloads files until ctx is cancelled.
func (a *Authority) Run(ctx context.Context) error { return ctx.Err() }

// Refresh looks at names, addresses, files and the clock now instead of within a second.
func (a *Authority) Refresh() {}

// TLSConfig is for servers: TLS 1.2 and later, HTTP/1.1, the certificate in force.
func (a *Authority) TLSConfig() *tls.Config { return nil }

// RootPEM is the root certificate as devices install it.
func (a *Authority) RootPEM() []byte { return nil }

// RootDER is the root certificate in DER.
func (a *Authority) RootDER() []byte { return nil }

// Fingerprint is the SHA-256 of RootDER in lower-case hex.
func (a *Authority) Fingerprint() string { return "" }

// Status describes the certificate in force.
func (a *Authority) Status() Status { return Status{} }

// Check reports every fault of the section, reading CertFile and KeyFile.
func (c Config) Check() error { return nil }
