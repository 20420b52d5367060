package cloud

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"

	"signalbox/sync/wire"
)

// Validate reports every fault of the section.
func (h HTTP) Validate() error {
	var errs []error
	for _, group := range []struct {
		key   string
		addrs []string
	}{{"http.listen", h.Listen}, {"http.https", h.HTTPS}} {
		for _, addr := range group.addrs {
			host, port, err := net.SplitHostPort(addr)
			if _, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || strings.ContainsAny(host, " /") {
				errs = append(errs, fmt.Errorf(`%s: got %q, want ADDRESS:PORT or :PORT, such as ":8453"`, group.key, addr))
			}
		}
	}
	if _, err := h.proxies(); err != nil {
		errs = append(errs, err)
	}
	if len(h.HTTPS)+len(h.Handed) == 0 {
		errs = append(errs, errors.New("http.https: got [], want an address: boxes join and report there"))
	}
	return errors.Join(errs...)
}

// proxies are the trusted ones as prefixes.
func (h HTTP) proxies() (list []netip.Prefix, err error) {
	var errs []error
	for _, text := range h.TrustedProxies {
		p, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			p, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		if err != nil || p.Bits() == 0 { // everybody could say who they are
			errs = append(errs, fmt.Errorf(`http.trusted_proxies: got %q, want an address or a prefix of load balancers, such as "10.0.0.0/24"`, text))
			continue
		}
		list = append(list, p.Masked())
	}
	return list, errors.Join(errs...)
}

// Validate reports every fault of the section.
func (t TLS) Validate() error {
	if (t.Cert == "") != (t.Key == "") {
		return fmt.Errorf("tls.cert: got %q with tls.key %q, want both or neither", t.Cert, t.Key)
	}
	return nil
}

// Validate reports every fault of the section.
func (n NATS) Validate() error {
	if len(n.URLs) > 0 && n.CalloutFile == "" {
		return errors.New(`nats.callout_file: got "", want the file with the seed of the account's signing key; "signalbox cloud nats-config" makes one`)
	}
	return nil
}

// Check is Validate, and looks whether the files can be read.
func (n NATS) Check() error {
	if err := n.Validate(); err != nil {
		return err
	}
	var errs []error
	for _, named := range []struct{ key, file string }{
		{"nats.password_file", n.PasswordFile},
		{"nats.creds_file", n.CredsFile},
		{"nats.ca_file", n.CAFile},
		{"nats.cert_file", n.CertFile},
		{"nats.key_file", n.KeyFile},
		{"nats.callout_file", n.CalloutFile},
	} {
		if named.file == "" {
			continue
		}
		f, err := os.Open(named.file)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", named.key, err))
			continue
		}
		_ = f.Close()
	}
	return errors.Join(errs...)
}

// checkTop finds the faults of the keys that are in no section.
func (c Config) checkTop() error {
	var errs []error
	if c.URL != "" {
		if u, err := url.Parse(c.URL); err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" {
			errs = append(errs, fmt.Errorf("url: got %q, want https://HOST or https://HOST:PORT", c.URL))
		}
	}
	if err := wire.CheckName(c.Tenant); err != nil {
		errs = append(errs, fmt.Errorf("tenant: %w", err))
	}
	return errors.Join(errs...)
}
