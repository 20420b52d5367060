package identity

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"time"

	"signalbox/sync/wire"
)

const (
	// KeyEvery is how often a box changes its key. The cloud keeps every key a
	// box ever had, so not each certificate has one of its own.
	KeyEvery = 90 * 24 * time.Hour

	renewRetry    = 30 * time.Second // the first time, then up to
	renewRetryMax = time.Hour
	// renewLeast lies between two renewals: an issuer that is about to end gives
	// certificates whose half life is over.
	renewLeast = time.Minute
	jitter     = 0.1 // of the time until renewal

	newsTries, newsEvery = 4, 500 * time.Millisecond
)

// RenewerConfig is what NewRenewer needs.
type RenewerConfig struct {
	Identity *Identity
	URLs     []string      // of the cloud, tried in their order; empty: the one of join
	Name     func() string // what people at the site call the box; nil or "": not told
	Version  string
	KeyEvery time.Duration // 0 is the constant
	Proxy    ProxyFunc     // nil: http.ProxyFromEnvironment
	Logger   *slog.Logger
}

// Renewer renews the certificate of a box at half its life.
type Renewer struct {
	cfg  RenewerConfig
	kick chan struct{}
}

// NewRenewer makes a Renewer; Run runs it.
func NewRenewer(cfg RenewerConfig) *Renewer {
	if cfg.KeyEvery == 0 {
		cfg.KeyEvery = KeyEvery
	}
	if cfg.Name == nil {
		cfg.Name = func() string { return "" }
	}
	if cfg.Proxy == nil {
		cfg.Proxy = http.ProxyFromEnvironment
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Renewer{cfg: cfg, kick: make(chan struct{}, 1)}
}

// Kick has Run renew at once, as when the cloud asks for it.
func (r *Renewer) Kick() {
	select {
	case r.kick <- struct{}{}:
	default: // it will already
	}
}

// Run renews until ctx is cancelled. What goes wrong it tries again, within an
// hour at most, for as long as the cloud may accept the box.
func (r *Renewer) Run(ctx context.Context) error {
	spread, failed, least := 1+jitter*(2*rand.Float64()-1), 0, time.Duration(0)
	if r.cfg.Identity.clock.behind() {
		r.askTime(ctx)
	}
	for {
		wait := max(r.due(spread), least)
		if failed > 0 {
			wait = backoff(failed)
		}
		if !r.sleep(ctx, wait) {
			return nil
		}
		if err := r.Renew(ctx); err == nil {
			failed, spread, least = 0, 1+jitter*(2*rand.Float64()-1), renewLeast
		} else if failed++; ctx.Err() == nil {
			r.cfg.Logger.Warn("the certificate for the cloud could not be renewed, it is tried again", "attempt", failed, "err", err)
		}
	}
}

// due is how long the certificate in force has until it is renewed. It follows
// one that somebody else has put there.
func (r *Renewer) due(spread float64) time.Duration {
	_, _ = r.cfg.Identity.Reload() // what cannot be read leaves the one before in force
	leaf := r.cfg.Identity.current().leaf()
	half := leaf.NotAfter.Sub(leaf.NotBefore) / 2
	return leaf.NotBefore.Add(time.Duration(float64(half) * spread)).Sub(r.cfg.Identity.Now())
}

// sleep waits until renewal is due, or is asked for. It looks at the clock once
// an hour, since that of a box may jump.
func (r *Renewer) sleep(ctx context.Context, wait time.Duration) bool {
	for ctx.Err() == nil && wait > 0 {
		step := min(wait, time.Hour)
		timer := time.NewTimer(step)
		select {
		case <-ctx.Done():
		case <-r.kick:
			wait = 0
		case <-timer.C:
			if wait -= step; wait > 0 {
				wait = r.due(1)
			}
		}
		timer.Stop()
	}
	return ctx.Err() == nil
}

// backoff is a random time up to one that doubles (full jitter).
func backoff(failed int) time.Duration {
	most := min(renewRetry<<min(failed-1, 10), renewRetryMax)
	return time.Second + rand.N(most)
}

// askTime has the cloud say what time it is, for a box that cannot know. The
// first attempt may only teach when the cloud's TLS certificate began.
func (r *Renewer) askTime(ctx context.Context) {
	for range 2 {
		if r.self(ctx, r.cfg.Identity.current()) == nil {
			return
		}
	}
}

// Renew gets a new certificate, sees that the cloud accepts it and puts it in
// force. One that waits from an earlier attempt is tried first.
func (r *Renewer) Renew(ctx context.Context) error {
	i := r.cfg.Identity
	unlock, err := i.folder.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := i.Reload(); err != nil {
		return err
	}
	if done, err := r.resume(ctx); done || err != nil {
		return err
	}
	next, err := r.request(ctx, i.current())
	if err != nil {
		return err
	}
	n, err := i.folder.add(next)
	if err != nil {
		return fmt.Errorf("keep new certificate: %w", err)
	}
	next.number = n
	return r.adopt(ctx, next)
}

// resume tries an identity that was written and never put in force. One that the
// cloud refuses is thrown away.
func (r *Renewer) resume(ctx context.Context) (done bool, err error) {
	i := r.cfg.Identity
	in := i.current()
	n, err := i.folder.newest()
	if err != nil || n <= in.number {
		return false, err
	}
	next, err := i.folder.read(n)
	if err != nil || next.leaf().NotAfter.Before(i.Now()) || next.box != in.box {
		return false, os.RemoveAll(i.folder.path(n))
	}
	err = r.adopt(ctx, next)
	if refused, ok := errors.AsType[*Refused](err); ok && refused.Code != "" {
		return false, os.RemoveAll(i.folder.path(n))
	}
	return err == nil, err
}

// adopt puts an identity in force that the cloud accepts.
func (r *Renewer) adopt(ctx context.Context, next *generation) error {
	i := r.cfg.Identity
	if err := r.self(ctx, next); err != nil {
		return fmt.Errorf("try new certificate: %w", err)
	}
	if err := i.folder.swap(next.number); err != nil {
		return fmt.Errorf("put new certificate in force: %w", err)
	}
	if _, err := i.Reload(); err != nil {
		return err
	}
	r.cfg.Logger.Info("certificate for the cloud renewed", "reason", "good until "+next.leaf().NotAfter.UTC().Format(time.RFC3339))
	if err := i.folder.clean(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.cfg.Logger.Warn("older identities could not be removed", "err", err)
	}
	return nil
}

// self asks the cloud whom it takes the holder of an identity for. Another node
// than the one that has just given the certificate may hear of it a moment later.
func (r *Renewer) self(ctx context.Context, as *generation) error {
	body, err := r.exchange(ctx, as, http.MethodGet, wire.SelfPath, nil)
	for range newsTries {
		if refused, ok := errors.AsType[*Refused](err); !ok || refused.Code != "box_unknown" && refused.Code != "key_unknown" {
			break
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(newsEvery):
		}
		body, err = r.exchange(ctx, as, http.MethodGet, wire.SelfPath, nil)
	}
	if err != nil {
		return err
	}
	var self wire.Self
	if err := json.Unmarshal(body, &self); err != nil || self.Box != as.box.String() {
		return fmt.Errorf("the cloud takes this box for %.200q, want %q", self.Box, as.box)
	}
	return nil
}

// request asks for a new certificate with the one in force.
func (r *Renewer) request(ctx context.Context, in *generation) (*generation, error) {
	s, key, now := in.site, in.key, r.cfg.Identity.Now()
	if now.Sub(s.KeyMade) >= r.cfg.KeyEvery {
		var err error
		if key, err = newKey(); err != nil {
			return nil, err
		}
		s.KeyMade = now
	}
	body, err := r.order(key)
	if err != nil {
		return nil, err
	}
	got, err := r.exchange(ctx, in, http.MethodPost, wire.RenewPath, body)
	if err != nil {
		return nil, err
	}
	answer, err := wire.ParseRenewAnswer(got)
	if err != nil {
		return nil, fmt.Errorf("the cloud's answer: %w", err)
	}
	next, err := newGeneration(s, key, answer.Chain, answer.Roots, r.cfg.Identity.Now())
	if err == nil && !next.leaf().NotAfter.After(in.leaf().NotBefore) {
		err = errors.New("it has ended already")
	}
	if err != nil {
		return nil, fmt.Errorf("the cloud's new certificate: %w", err)
	}
	return next, nil
}

func (r *Renewer) order(key crypto.Signer) ([]byte, error) {
	csr, err := newCSR(key)
	if err != nil {
		return nil, err
	}
	return json.Marshal(wire.RenewRequest{CSR: csr, Name: r.cfg.Name(), Version: r.cfg.Version})
}

// exchange makes a request at the first address that the cloud answers at. What
// the cloud itself refuses is not asked for elsewhere.
func (r *Renewer) exchange(ctx context.Context, as *generation, method, path string, body []byte) ([]byte, error) {
	urls := r.cfg.URLs
	if len(urls) == 0 {
		urls = []string{as.site.URL}
	}
	var errs []error
	for _, text := range urls {
		got, err := r.exchangeAt(ctx, as, text, method, path, body)
		if err == nil {
			return got, nil
		}
		if refused, ok := errors.AsType[*Refused](err); ok && refused.Code != "" {
			return nil, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", text, err))
	}
	return nil, errors.Join(errs...)
}

func (r *Renewer) exchangeAt(ctx context.Context, as *generation, text, method, path string, body []byte) ([]byte, error) {
	base, err := CheckURL(text)
	if err != nil {
		return nil, err
	}
	i := r.cfg.Identity
	target := &url.URL{Scheme: base.Scheme, Host: base.Host, Path: path}
	got, at, err := newClient(r.cfg.Proxy, i.TLS()).exchange(ctx, as, method, target, body)
	if err != nil {
		return nil, i.Explain(err)
	}
	i.clock.hear(at)
	return got, nil
}

// Check has the cloud say that it knows the box, over a connection that must be
// trusted: what a box that has just joined needs next.
func (i *Identity) Check(ctx context.Context, proxy ProxyFunc) error {
	r := NewRenewer(RenewerConfig{Identity: i, Proxy: proxy})
	err := r.self(ctx, i.current())
	if err != nil && i.clock.behind() { // the first attempt has taught it the time
		err = r.self(ctx, i.current())
	}
	return err
}
