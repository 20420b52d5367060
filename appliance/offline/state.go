package offline

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
	"signalbox/appliance/config"
	"signalbox/appliance/keys"
	"signalbox/appliance/store"
	"signalbox/turn"
)

// state tells about the box what can be told of one that does not run.
type state struct{ *Box }

func (s state) Status() api.Status {
	stats := s.store.Stats()
	return api.Status{
		Summary: api.Summary{ID: s.store.BoxID(), Site: s.cfg.Site.Name, Version: s.cfg.Version},
		Started: time.Now(),
		Store: api.StoreStatus{
			Path: s.store.Path(), Bytes: stats.FileBytes, MaxBytes: stats.MaxBytes, Recovery: s.store.Recovery().String(),
		},
	}
}

func (s state) Parts() []api.Part {
	return []api.Part{{Name: "box", Required: true, Reason: "it is stopped"}}
}

func (s state) WellKnown() api.WellKnown {
	return api.WellKnown{ID: s.store.BoxID(), Site: s.cfg.Site.Name, Version: s.cfg.Version}
}

func (s state) BaseURL() string { return "" }

// relay makes credentials that are good once the box runs.
type relay struct {
	cfg       config.Config
	store     *store.Store
	authority *auth.Authority
}

func (r relay) Credential(_, subject string, ttl time.Duration) (api.TURNCredential, error) {
	secret, err := keys.Relay(context.Background(), r.store)
	if err != nil {
		return api.TURNCredential{}, err
	}
	now := time.Now()
	c := turn.NewCredential(secret, subject, now.Add(ttl))
	for _, revoked := range r.authority.Revocations() {
		if revoked.Subject == subject { // then it has to say that it was made after
			issued := now
			if !issued.Truncate(time.Second).After(revoked.Before) {
				issued = revoked.Before.Add(time.Second)
			}
			c = turn.NewStamped(secret, subject, "", issued, now.Add(ttl))
		}
	}
	return api.TURNCredential{
		URLs: relayURLs(r.cfg), Username: c.Username, Credential: c.Password, Expires: c.Expires,
	}, nil
}

// Rotate makes a new secret, which the box takes up at its next start.
func (r relay) Rotate(ctx context.Context, overlap time.Duration) error {
	err := keys.RotateRelay(ctx, r.store, overlap, time.Now())
	if errors.Is(err, keys.ErrRotatedTooOften) {
		return fmt.Errorf("%w: %w", api.ErrRelaySecrets, err)
	}
	return err
}

// relayURLs names the relay at the addresses it is told to listen on, in the
// order in which a running box names them. Where that is all addresses, those of
// this machine stand for them.
func relayURLs(cfg config.Config) []string {
	var urls []string
	listen := reached(cfg.Turn.Listen)
	for _, transport := range []string{"udp", "tcp"} {
		for _, at := range listen {
			urls = append(urls, "turn:"+at+"?transport="+transport)
		}
	}
	for _, at := range append(reached(cfg.HTTP.HTTPS), reached(cfg.Turn.TLSEntries())...) {
		urls = append(urls, "turns:"+at+"?transport=tcp")
	}
	return urls
}

// reached are the addresses to which those of a configuration come.
func reached(listen []string) []string {
	var addrs []string
	for _, text := range listen {
		host, port, err := net.SplitHostPort(text)
		if err != nil {
			continue // the configuration has been validated
		}
		hosts := []string{host}
		if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
			hosts = ownAddrs()
		}
		for _, host := range hosts {
			addrs = append(addrs, net.JoinHostPort(host, port))
		}
	}
	return addrs
}

// ownAddrs are the addresses under which others may reach this machine.
func ownAddrs() []string {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var hosts []string
	for _, f := range found {
		prefix, err := netip.ParsePrefix(f.String())
		if addr := prefix.Addr(); err == nil && addr.IsGlobalUnicast() {
			hosts = append(hosts, addr.String())
		}
	}
	return hosts
}
