// Package offline answers the API on the state of a box that does not run, so
// that tokens, rooms and backups can be had without starting it.
package offline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
	"signalbox/appliance/config"
	"signalbox/appliance/keys"
	"signalbox/appliance/signaling"
	"signalbox/appliance/store"
	"signalbox/appliance/trust"
)

// ErrNoBox is returned by Open for a data folder in which no box has run yet.
var ErrNoBox = errors.New("there is no box")

// Box is the opened state of a stopped box. While it is open no box can run on it.
type Box struct {
	cfg   config.Config
	store *store.Store
	api   *api.API
}

// Open opens the state of the box that cfg describes. It never makes a new one.
func Open(ctx context.Context, cfg config.Config) (*Box, error) {
	if _, err := os.Stat(filepath.Join(cfg.Data, "signalbox.db")); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w in %s; name its folder with --data, or start one with signalbox serve", ErrNoBox, cfg.Data)
	}
	s, err := store.Open(cfg.Store)
	if err != nil {
		return nil, err
	}
	b := &Box{cfg: cfg, store: s}
	if err := b.assemble(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return b, nil
}

func (b *Box) assemble(ctx context.Context) error {
	key, err := keys.Box(ctx, b.store)
	if err != nil {
		return err
	}
	b.cfg.Auth.Invites, b.cfg.Auth.Revocations = b.store, b.store
	authority, err := auth.New(b.cfg.Auth, key, b.store.BoxID())
	if err != nil {
		return err
	}
	rooms, err := b.rooms(ctx, authority)
	if err != nil {
		return err
	}
	b.api, err = api.New(api.Config{
		BoxID: b.store.BoxID(), Rooms: rooms, Tokens: authority, Invites: authority,
		Box: state{b}, Relay: relay{b.cfg, b.store, authority}, Archive: b.store,
	})
	return err
}

// rooms is a signaling server that nobody is connected to. It counts as a start
// of the box, because each start names its own changes of rooms.
func (b *Box) rooms(ctx context.Context, authority *auth.Authority) (*signaling.Server, error) {
	epoch, err := b.store.NextIncarnation(ctx)
	if err != nil {
		return nil, err
	}
	resume, err := keys.Resume(ctx, b.store)
	if err != nil {
		return nil, err
	}
	cfg := b.cfg.Signaling
	cfg.Authority, cfg.Rooms = authority, b.store
	cfg.ICE = func(netip.Addr, auth.Identity) signaling.ICE { return signaling.ICE{} }
	cfg.Box, cfg.Epoch, cfg.ResumeKey = b.store.BoxID(), epoch, resume
	return signaling.New(cfg)
}

// Handler answers the routes of the control socket.
func (b *Box) Handler() http.Handler { return b.api.Control() }

// RootPEM is the certificate of the box's own authority, which is made if there
// is none yet.
func (b *Box) RootPEM() ([]byte, error) {
	cfg := b.cfg.TLS
	cfg.Keys, cfg.Label = b.store, b.cfg.Site.Name+" "+b.store.BoxID()
	cfg.CertFile, cfg.KeyFile = "", "" // of no account here
	authority, err := trust.New(cfg)
	if err != nil {
		return nil, err
	}
	return authority.RootPEM(), nil
}

// Close lets go of the state.
func (b *Box) Close() error { return errors.Join(b.api.Close(), b.store.Close()) }
