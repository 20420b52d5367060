package upstream

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"signalbox/sync/wire"
)

// Config is the [upstream] section and what New needs beside it. A zero field
// means its default.
type Config struct {
	// URL are the addresses of the cloud, tried in their order. Empty: those that
	// `signalbox join` has written down.
	URL []string `toml:"url"`
	// CA is a PEM file with authorities to trust on top of the machine's and the
	// cloud's own, for a proxy that ends TLS.
	CA string `toml:"ca"`
	// Level is how much leaves the site: minimal, default or named.
	Level string `toml:"level"`
	// FrameEvery is how often a box in use reports; an idle one takes five
	// minutes, an alert is reported at once.
	FrameEvery time.Duration `toml:"frame_every"`
	// UplinkRate caps what the box sends to the cloud; 0 is no cap.
	UplinkRate Rate `toml:"uplink_rate"`
	// OutboxBytes is the most that frames take on disk while the cloud is away.
	OutboxBytes int64 `toml:"outbox_bytes"`
	// Backup has the box bring its backups to the cloud, sealed: the cloud learns
	// how large they are and when they come, at every level of privacy.
	Backup bool `toml:"backup"`

	Dir      string                                `toml:"-"` // the box's data folder
	Speed    int                                   `toml:"-"` // the agent's waits are so many times shorter, for tests; 0 is 1
	SiteKey  []byte                                `toml:"-"` // what stays here and turns names into ids
	Version  string                                `toml:"-"` // of the program
	Proxy    func(*http.Request) (*url.URL, error) `toml:"-"` // nil: HTTPS_PROXY and NO_PROXY of the environment
	Source   Source                                `toml:"-"`
	Archive  Archive                               `toml:"-"` // nil: there are no backups to bring
	Commands Commands                              `toml:"-"` // nil: none are carried out
	Controls Controls                              `toml:"-"` // nil: nothing of the box can be set by a policy
	Logger   *slog.Logger                          `toml:"-"` // nil: discard

	open    func(dir, ca string) (Identity, error)                            // nil: that of package identity
	connect func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP
}

// Bounds of the settings.
const (
	minFrameEvery  = time.Minute
	maxFrameEvery  = 5 * time.Minute
	minOutboxBytes = 4 << 20
	maxOutboxBytes = 1 << 30
	maxURLs        = 8
)

// Default is the configuration of an empty [upstream] section.
func Default() Config {
	return Config{Level: string(wire.Default), FrameEvery: time.Minute, OutboxBytes: 64 << 20, Backup: true}
}

func (c Config) withDefaults() Config {
	d := Default()
	if c.Level == "" {
		c.Level = d.Level
	}
	if c.FrameEvery == 0 {
		c.FrameEvery = d.FrameEvery
	}
	if c.OutboxBytes == 0 {
		c.OutboxBytes = d.OutboxBytes
	}
	if c.Proxy == nil {
		c.Proxy = http.ProxyFromEnvironment
	}
	if c.open == nil {
		c.open = openIdentity
	}
	if c.Speed < 1 {
		c.Speed = 1
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// paced is how long a wait of d takes.
func (c *Config) paced(d time.Duration) time.Duration { return d / time.Duration(c.Speed) }

// Validate reports every setting that New would refuse, joined.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("upstream."+key+": "+format, args...))
	}
	for _, text := range c.URL {
		if err := checkURL(text); err != nil {
			fault("url", "%w", err)
		}
	}
	if len(c.URL) > maxURLs {
		fault("url", "got %d addresses, want at most %d", len(c.URL), maxURLs)
	}
	if _, err := wire.ParsePrivacy(c.Level); err != nil {
		fault("level", `got %.80q, want minimal, default or named`, c.Level)
	}
	if c.FrameEvery < minFrameEvery || c.FrameEvery > maxFrameEvery {
		fault("frame_every", "got %v, want 1m to 5m", c.FrameEvery)
	}
	if c.UplinkRate != 0 && (c.UplinkRate < minRate || c.UplinkRate > maxRate) {
		fault("uplink_rate", "got %d, want %s", c.UplinkRate, wantRate)
	}
	if c.OutboxBytes < minOutboxBytes || c.OutboxBytes > maxOutboxBytes {
		fault("outbox_bytes", "got %d, want a size from %dMiB to %dGiB", c.OutboxBytes, minOutboxBytes>>20, maxOutboxBytes>>30)
	}
	return errors.Join(errs...)
}

// Check is Validate and a look into the file that the section names.
func (c Config) Check() error {
	err := c.Validate()
	if c.CA == "" {
		return err
	}
	if _, caErr := readPool(c.CA); caErr != nil {
		err = errors.Join(err, fmt.Errorf("upstream.ca: got %q, want a PEM file with certificates: %w", c.CA, caErr))
	}
	return err
}

// checkURL accepts https://HOST[:PORT], and http for a cloud on this machine.
func checkURL(text string) error {
	u, err := url.Parse(text)
	ok := err == nil && u.Host != "" && u.Hostname() != "" && u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == ""
	if !ok || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return fmt.Errorf(`got %.200q, want the cloud's address such as "https://cloud.example:8453"`, text)
	}
	return nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func readPool(file string) (pem []byte, err error) {
	if pem, err = os.ReadFile(file); err != nil {
		return nil, err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, errors.New("no certificate in it")
	}
	return pem, nil
}
