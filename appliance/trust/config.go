package trust

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// KeyStore keeps keys durably.
type KeyStore interface {
	// CreateKey gives the bytes under name; when there are none it stores, in
	// the same step, what make returns.
	CreateKey(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error)
}

// Config is the [tls] section and what the box knows about itself.
type Config struct {
	CertFile string `toml:"cert"`   // PEM chain of one's own instead of the local CA's leaf; with KeyFile or not at all
	KeyFile  string `toml:"key"`    // PEM key of CertFile
	Domain   string `toml:"domain"` // the site's own DNS domain, permitted to the root when it is made

	Label  string              `toml:"-"` // what tells this root from others on a device: site and box id
	Names  func() []string     `toml:"-"` // the host names of the box now; nil: none beside localhost
	Addrs  func() []netip.Addr `toml:"-"` // its addresses now; nil: none beside loopback
	Known  func() time.Time    `toml:"-"` // a moment known to have passed, for boxes that boot in 1970; nil: unknown
	Keys   KeyStore            `toml:"-"`
	Logger *slog.Logger        `toml:"-"` // nil: discard
}

// privateDomains are one label and can still be a site's domain: nobody on the
// internet gets a name below them (ICANN's list of delegations; RFC 8375).
var privateDomains = []string{"corp", "home", "internal", "intranet", "lan", "local", "private"}

// Validate reports every fault of the section. It does not touch the disk; Check does.
func (c Config) Validate() error {
	var errs []error
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, fmt.Errorf("tls.key: got %q, want a file for the key beside tls.cert = %q, or neither", c.KeyFile, c.CertFile))
	}
	if d := c.Domain; d != "" && (!validName(d) || !strings.Contains(d, ".") && !slices.Contains(privateDomains, d)) {
		errs = append(errs, fmt.Errorf("tls.domain: got %q, want the site's domain in lower case, such as plant2.example.com: all names below it are permitted to the box", d))
	}
	return errors.Join(errs...)
}

// Check is Validate, and reads CertFile and KeyFile too.
func (c Config) Check() error {
	err := c.Validate()
	if err == nil && c.CertFile != "" {
		if _, readErr := readPair(c.CertFile, c.KeyFile); readErr != nil {
			return fmt.Errorf("tls.cert: %w", readErr)
		}
	}
	return err
}

// validName reports whether name is a host name in the form certificates hold:
// lower-case ASCII labels of letters, digits and inner hyphens.
func validName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	// Four numbers are an address, and a name constraint does not hold for it.
	_, err := netip.ParseAddr(name)
	return err != nil
}
