package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
)

// external is a NATS cluster elsewhere, as boxes are brought to it.
type external struct {
	urls  []string
	known func() []string // servers that the cluster has told of
	tls   *tls.Config     // nil: only where a server asks for it, with the system's authorities
}

// tlsConfig is for connections of the cloud and of boxes; nil if nothing is set.
func (c *Config) tlsConfig() (*tls.Config, error) {
	if c.CAFile == "" && c.CertFile == "" {
		return nil, nil
	}
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("broker: authorities of the cluster: %w", err)
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("broker: authorities of the cluster: no certificate in %s, want PEM", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("broker: certificate for the cluster: %w", err)
		}
		out.Certificates = []tls.Certificate{pair}
	}
	return out, nil
}

// options are how the cloud itself signs in.
func (c *Config) options(tlsConfig *tls.Config) []nats.Option {
	var opts []nats.Option
	if tlsConfig != nil {
		opts = append(opts, nats.Secure(tlsConfig))
	}
	if c.Creds != "" {
		opts = append(opts, nats.UserCredentials(c.Creds))
	} else if c.User != "" {
		opts = append(opts, nats.UserInfo(c.User, c.Password))
	}
	return opts
}

// dial opens a connection for a box to one of the servers, whichever answers.
// The order is random so that boxes spread over the cluster.
func (e *external) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var errs []error
	for _, text := range e.servers() {
		conn, err := e.dialServer(ctx, text)
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(errs...)
}

func (e *external) servers() []string {
	all := append(slices.Clone(e.urls), e.known()...)
	slices.Sort(all)
	all = slices.Compact(all)
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// dialServer connects and does what a NATS client does up to the INFO line, TLS
// included: a box speaks NATS in the clear, within the tunnel's TLS.
func (e *external) dialServer(ctx context.Context, text string) (net.Conn, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("nats address %.200q: %w", text, err)
	}
	// A server that is gone must leave time for the others.
	each, cancel := context.WithTimeout(ctx, dialTimeout/3)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(each, "tcp", hostPort(u))
	if err != nil {
		return nil, err
	}
	conn, err := e.greet(each, raw, u)
	if err != nil {
		raw.Close()
		return nil, fmt.Errorf("nats server %s: %w", u.Host, err)
	}
	return conn, nil
}

// greet reads the INFO line, starts TLS where it is asked for, and gives a
// connection that begins with an INFO line for the box.
func (e *external) greet(ctx context.Context, raw net.Conn, u *url.URL) (net.Conn, error) {
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	line, err := readInfo(raw)
	if err != nil {
		return nil, err
	}
	info, wantsTLS, err := infoForBox(line)
	if err != nil {
		return nil, err
	}
	conn := raw
	if wantsTLS || u.Scheme == "tls" || e.tls != nil {
		if conn, err = e.startTLS(ctx, raw, u.Hostname()); err != nil {
			return nil, err
		}
	}
	return &greeted{Conn: conn, info: info}, conn.SetDeadline(time.Time{})
}

func (e *external) startTLS(ctx context.Context, raw net.Conn, host string) (net.Conn, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if e.tls != nil {
		cfg = e.tls.Clone()
	}
	cfg.ServerName = host
	conn := tls.Client(raw, cfg)
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return conn, nil
}

func hostPort(u *url.URL) string {
	if u.Port() == "" {
		return net.JoinHostPort(u.Hostname(), "4222")
	}
	return u.Host
}

// greeted is a connection of which the first line has been read already.
type greeted struct {
	net.Conn
	info []byte
}

// Read gives the line first. Only one goroutine reads a connection.
func (g *greeted) Read(p []byte) (int, error) {
	if len(g.info) == 0 {
		return g.Conn.Read(p)
	}
	n := copy(p, g.info)
	g.info = g.info[n:]
	return n, nil
}
