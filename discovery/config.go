package discovery

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Config is the [discovery] section. Start from Default: Enabled has no zero
// value that means its default.
type Config struct {
	// Enabled turns the announcements on.
	Enabled bool `toml:"enabled"`
	// Name is how people see the box in a list, up to 63 bytes of any
	// characters. Empty: "Signalbox" and the first four characters of its id.
	Name string `toml:"name"`
	// Host is the label before .local that the box answers for.
	Host string `toml:"host"`
	// Interfaces are name patterns of those to announce on; empty: all.
	Interfaces []string `toml:"interfaces"`
	// IgnoreInterfaces are name patterns of those to leave out. One that
	// Interfaces names in full is used all the same. Nil: those of containers,
	// virtual machines and tunnels; an empty list ignores none.
	IgnoreInterfaces []string `toml:"ignore_interfaces"`

	Logger *slog.Logger `toml:"-"` // nil: discard
}

// Default is the configuration of an empty [discovery] section.
func Default() Config {
	return Config{Enabled: true, Host: "signalbox", IgnoreInterfaces: virtualInterfaces()}
}

// virtualInterfaces are those that Docker, Podman, libvirt, LXD and Kubernetes
// make on a host, and tunnels: a box announced there is found by those who
// cannot use it. Docker names its own networks br- and twelve hexadecimal
// digits; a br-lan is a real network.
func virtualInterfaces() []string {
	return []string{
		"lo", "docker*", "br-" + strings.Repeat("[0-9a-f]", 12), "veth*", "virbr*", "podman*",
		"lxcbr*", "lxdbr*", "cni*", "flannel*", "cali*", "tun*", "wg*", "tailscale*", "zt*",
	}
}

func (c Config) withDefaults() Config {
	if c.Host == "" {
		c.Host = Default().Host
	}
	if c.IgnoreInterfaces == nil {
		c.IgnoreInterfaces = virtualInterfaces()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// FieldError is one fault in the configuration.
type FieldError struct {
	Key  string // discovery.host
	Got  string
	Want string // what would be accepted
}

func (e *FieldError) Error() string { return fmt.Sprintf("%s: got %q, want %s", e.Key, e.Got, e.Want) }

// Validate reports every fault of the section, joined, each a *FieldError.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	if want := instanceFault(c.Name); c.Name != "" && want != "" {
		errs = append(errs, &FieldError{"discovery.name", c.Name, want})
	}
	if want := hostFault(c.Host); want != "" {
		errs = append(errs, &FieldError{"discovery.host", c.Host, want})
	}
	errs = append(errs, checkPatterns("discovery.interfaces", c.Interfaces)...)
	errs = append(errs, checkPatterns("discovery.ignore_interfaces", c.IgnoreInterfaces)...)
	return errors.Join(errs...)
}

func checkPatterns(key string, patterns []string) (errs []error) {
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || p == "" {
			errs = append(errs, &FieldError{key, p, "an interface name or a pattern such as eth*"})
		}
	}
	return errs
}

// maxLabel is the most bytes of one label of a DNS name (RFC 1035 §2.3.4).
const maxLabel = 63

// instanceFault says what is wrong with an instance name, "" when nothing is
// (RFC 6763 §4.1.1). The library strips dots from both ends of a name.
func instanceFault(name string) string {
	bad := func(r rune) bool { return unicode.IsControl(r) }
	switch {
	case name == "" || len(name) > maxLabel || !utf8.ValidString(name):
		return "1 to 63 bytes of UTF-8"
	case strings.ContainsFunc(name, bad):
		return "a name without control characters"
	case strings.Trim(name, ".") != name:
		return "a name that neither starts nor ends with a dot"
	}
	return ""
}

// hostFault says what is wrong with a host label, "" when nothing is.
func hostFault(label string) string {
	bad := func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if label == "" || len(label) > maxLabel || strings.ContainsFunc(label, bad) || strings.Trim(label, "-") != label {
		return "1 to 63 letters, digits and inner hyphens, without .local"
	}
	return ""
}
