// Package trust is the box's local certificate authority: a root that devices
// may install, and a leaf for every name and address the box has.
//
// The root is made once and lives ten years. It can vouch for little: names
// under .local, localhost and the site's own domain, and addresses nobody on the
// internet has (see permanent and unusual for what is decided when it is made).
// A leaf lives 90 days and is replaced after 60, or within a second or two when
// the names or addresses of the box change. It leaves out what the root does not
// permit, since one such name would have devices refuse all of it.
package trust

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// refreshEvery is how soon a change of names, addresses or files is noticed.
const refreshEvery = 10 * time.Second

// storeTimeout bounds the wait for the store when a box starts.
const storeTimeout = 30 * time.Second

// Authority is the local CA and the certificate in force. Its methods may be called concurrently.
type Authority struct {
	cfg  Config
	log  *slog.Logger
	root *root

	local atomic.Pointer[leaf]            // never nil
	own   atomic.Pointer[tls.Certificate] // nil: no files, or none good yet

	refreshing sync.Mutex // one look at a time; handshakes do not wait for it
	files      *pair      // nil: the local CA's leaf only

	mu      sync.Mutex
	refused []string
	err     error
}

// New makes the root if there is none yet, and the first leaf. Files of one's
// own that cannot be used are no error: the box serves the local CA's leaf until
// they can, and Status says why. Config.Check reports them to somebody who can
// mend them.
func New(cfg Config) (*Authority, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Keys == nil {
		return nil, errors.New("trust needs a store for its root")
	}
	a := &Authority{cfg: cfg, log: cfg.Logger}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	stored, err := cfg.Keys.CreateKey(ctx, rootKeyName, func() ([]byte, error) {
		now := time.Now()
		if cfg.Known != nil && cfg.Known().After(now) {
			now = cfg.Known()
		}
		if now.Before(epoch) {
			now = epoch
		}
		return makeRoot(cfg, now)
	})
	if err != nil {
		return nil, fmt.Errorf("create local root: %w", err)
	}
	if a.root, err = parseRoot(stored); err != nil {
		return nil, fmt.Errorf("stored local root: %w; restore a backup, or every device has to install a new root", err)
	}
	if cfg.CertFile != "" {
		a.files = &pair{certFile: cfg.CertFile, keyFile: cfg.KeyFile}
	}
	a.Refresh()
	if a.local.Load() == nil {
		return nil, fmt.Errorf("issue certificate: %w", a.Status().Err)
	}
	return a, nil
}

// Run renews the leaf and reloads files until ctx is cancelled.
func (a *Authority) Run(ctx context.Context) error {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.Refresh()
		}
	}
}

// Refresh looks at names, addresses, files and the clock now instead of within
// seconds.
func (a *Authority) Refresh() {
	a.refreshing.Lock()
	defer a.refreshing.Unlock()
	now := time.Now()
	err := errors.Join(a.refreshLocal(now), a.refreshFiles(now))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.err = err
}

// refreshLocal issues a leaf when the one in force is not as it should be.
func (a *Authority) refreshLocal(now time.Time) error {
	s := a.root.subjectsOf(call(a.cfg.Names), call(a.cfg.Addrs))
	w := a.root.windowAt(now, a.known())
	if a.refuses(s.refused) {
		a.log.Info("names or addresses are not in the certificate, the root does not permit them", "reason", s.refused)
	}
	var expired error
	if w.sure && now.After(a.root.cert.NotAfter) {
		expired = fmt.Errorf("the local root expired on %s, or the box's clock is ahead", a.root.cert.NotAfter.Format(time.DateOnly))
	}
	reason := "the box started"
	if in := a.local.Load(); in != nil {
		reason = in.stale(w)
		if !in.subjects.equal(s) {
			reason = "names or addresses changed"
		}
	}
	if reason == "" {
		return expired
	}
	fresh, err := a.root.issue(s, w)
	if err != nil {
		return fmt.Errorf("issue certificate: %w", err)
	}
	a.local.Store(fresh)
	a.log.Info("certificate issued", "reason", reason)
	return expired
}

// refuses notes what the root does not permit, and reports whether that is news.
func (a *Authority) refuses(names []string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	news := len(names) > 0 && !slices.Equal(a.refused, names)
	a.refused = names
	return news
}

// refreshFiles takes over files that have changed.
func (a *Authority) refreshFiles(now time.Time) error {
	if a.files == nil {
		return nil
	}
	before, old := a.files.err, a.files.cert
	if !a.files.look(now) {
		return a.expired(now)
	}
	a.own.Store(a.files.cert)
	switch err := a.files.err; {
	case err == nil && a.files.cert != old && (old == nil || !slices.EqualFunc(old.Certificate, a.files.cert.Certificate, slices.Equal[[]byte])):
		a.log.Info("certificate loaded", "reason", a.files.certFile)
	case err == nil || before != nil && before.Error() == err.Error():
	case old != nil:
		a.log.Warn("the certificate files are not used, the last good ones stay in force", "err", err)
	default:
		a.log.Error("the certificate files cannot be used, the box serves the certificate of its own root", "err", err)
	}
	return errors.Join(a.files.err, a.expired(now))
}

// expired reports on files that are good but for their date.
func (a *Authority) expired(now time.Time) error {
	if cert := a.files.cert; cert != nil && now.After(cert.Leaf.NotAfter) {
		return fmt.Errorf("%s expired on %s: renew it", a.files.certFile, cert.Leaf.NotAfter.Format(time.DateOnly))
	}
	return nil
}
