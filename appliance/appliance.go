// Package appliance builds a box out of its parts, runs them, and stops them.
package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
	"signalbox/appliance/config"
	"signalbox/appliance/control"
	"signalbox/appliance/keys"
	"signalbox/appliance/room"
	"signalbox/appliance/signaling"
	"signalbox/appliance/store"
	"signalbox/appliance/trust"
	"signalbox/appliance/upgrade"
	"signalbox/discovery"
	"signalbox/sync/upstream"
	"signalbox/turn"
)

// Appliance is one box. New, Run, and Close for one that never ran.
type Appliance struct {
	cfg     config.Config
	asked   config.Config // cfg as New was given it
	log     *slog.Logger
	started time.Time
	ready   chan struct{}

	store     *store.Store
	authority *auth.Authority
	trust     *trust.Authority
	relay     *turn.Server
	rotating  sync.Mutex // of the relay's secrets
	revoking  sync.Mutex // of the relay's list of revocations
	signaling *signaling.Server
	discovery *discovery.Responder // nil when turned off
	api       *api.API
	http      []*site
	crowd     crowd // on their connections
	control   net.Listener
	upstream  *upstream.Agent
	handler   http.Handler
	verdict   upgrade.Verdict // of the last upgrade, if it concerns this program
	inMemory  string          // why the state is in memory alone; "" when it is on disk
	drain     drain
	reload    reload
	console   console
	settled   chan struct{}  // closed when the last guests of the ports have been seen to
	level     *slog.LevelVar // of the log
	restart   chan struct{}  // closed when the cloud wants the box to start anew
}

// New opens the data folder and binds every socket, so that port 0 has become
// a port, but serves nothing yet.
func New(cfg config.Config) (*Appliance, error) {
	level := new(slog.LevelVar)
	level.Set(cfg.Log.Level)
	a := &Appliance{
		cfg: cfg, asked: cfg, log: cfg.Log.LoggerAt(os.Stderr, level), level: level, started: time.Now(), ready: make(chan struct{}), settled: make(chan struct{}), drain: newDrain(),
		restart: make(chan struct{}), crowd: crowd{most: crowdMost()},
	}
	if err := a.build(); err != nil {
		a.Close()
		return nil, err
	}
	return a, nil
}

func (a *Appliance) build() error {
	if a.cfg.Site.Name == "" {
		a.cfg.Site.Name, _ = os.Hostname()
	}
	if err := a.openStore(); err != nil {
		return err
	}
	if told := a.store.Recovery().String(); told != "" {
		a.log.Warn("the store was recovered", "component", "store", "reason", told)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, step := range []func(context.Context) error{
		a.buildAuth, a.bind, a.buildTrust, a.buildRelay, a.buildUpstream, a.buildSignaling, a.buildDiscovery, a.buildAPI,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	a.handler = a.routes()
	return nil
}

// part is the logger of a part.
func (a *Appliance) part(name string) *slog.Logger { return a.log.With("component", name) }

func (a *Appliance) buildAuth(ctx context.Context) error {
	key, err := keys.Box(ctx, a.store)
	if err != nil {
		return fmt.Errorf("box key: %w", err)
	}
	cfg := a.cfg.Auth
	cfg.Invites, cfg.Revocations, cfg.Logger = a.store, a.store, a.part("auth")
	a.authority, err = auth.New(cfg, key, a.store.BoxID())
	return err
}

func (a *Appliance) buildTrust(context.Context) error {
	cfg := a.cfg.TLS
	cfg.Label = a.cfg.Site.Name + " " + a.store.BoxID()
	cfg.Names, cfg.Addrs = a.names, ownAddrs
	cfg.Keys, cfg.Logger, cfg.Known = a.store, a.part("trust"), a.lastWrite
	var err error
	a.trust, err = trust.New(cfg)
	return err
}

// lastWrite is when the store was written last: a moment that has passed,
// whatever the clock says after a boot without a battery.
func (a *Appliance) lastWrite() time.Time {
	info, err := os.Stat(a.store.Path())
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (a *Appliance) buildRelay(ctx context.Context) error {
	newest, older, err := a.relaySecrets(ctx)
	if err != nil {
		return err
	}
	cfg := a.cfg.Turn
	cfg.TLS = a.trust.TLSConfig()
	cfg.Logger = a.log // turn names itself
	if a.relay, err = turn.New(cfg, newest.Key, older...); err != nil {
		return err
	}
	return a.tellRevocations()
}

// tellRevocations gives the relay the list in force. Of two at the same time the
// older list must not be the last to arrive.
func (a *Appliance) tellRevocations() error {
	a.revoking.Lock()
	defer a.revoking.Unlock()
	return a.relay.SetRevoked(a.relayRevocations())
}

func (a *Appliance) buildSignaling(ctx context.Context) error {
	epoch, err := a.store.NextIncarnation(ctx)
	if err != nil {
		return fmt.Errorf("count this start: %w", err)
	}
	resume, err := keys.Resume(ctx, a.store)
	if err != nil {
		return fmt.Errorf("resume key: %w", err)
	}
	cfg := a.cfg.Signaling
	cfg.Authority, cfg.Journal, cfg.Rooms, cfg.ICE = a.authority, a.store, a.store, a.ice
	cfg.ResumeKey, cfg.Box, cfg.Epoch, cfg.Limits = resume, a.store.BoxID(), epoch, room.Limits{}
	cfg.Observer, cfg.Logger = observer{a.upstream}, a.part("signaling")
	if a.signaling, err = signaling.New(cfg); err != nil {
		return err
	}
	a.authority.OnRevoke(func(auth.Revocation) {
		a.signaling.EndRevoked()
		if err := a.tellRevocations(); err != nil {
			a.log.Error("revocation does not reach the relay", "err", err)
		}
	})
	return nil
}

func (a *Appliance) buildDiscovery(context.Context) error {
	if !a.cfg.Discovery.Enabled {
		return nil
	}
	cfg := a.cfg.Discovery
	cfg.Logger = a.part("discovery")
	var err error
	a.discovery, err = discovery.New(cfg, a.announcement())
	return err
}

func (a *Appliance) buildAPI(context.Context) error {
	registry, err := a.metrics()
	if err != nil {
		return err
	}
	a.api, err = api.New(api.Config{
		BoxID: a.store.BoxID(), Rooms: a.signaling, Tokens: a.authority, Invites: a.authority, Box: box{a}, Relay: box{a}, Allocations: relayed{a},
		Archive: a.store, StoreFull: store.ErrFull, Registry: registry, Logger: a.part("api"),
	})
	if err != nil {
		return err
	}
	a.control, err = control.Listen(a.cfg.Data)
	return err
}

// announcement is what the box says about itself by mDNS.
func (a *Appliance) announcement() discovery.Announcement {
	best := a.http[0]
	if i := slices.IndexFunc(a.http, func(s *site) bool { return s.secure }); i >= 0 {
		best = a.http[i]
	}
	port := netip.MustParseAddrPort(best.listener.Addr().String()).Port()
	return discovery.Announcement{Port: port, TXT: discovery.Attributes{
		discovery.KeyID: a.store.BoxID(), discovery.KeyVersion: a.cfg.Version, discovery.KeyPath: signalPath,
		discovery.KeySite: a.cfg.Site.Name, discovery.KeyRole: "edge", discovery.KeyUp: "0",
		discovery.KeyFingerprint: a.trust.Fingerprint()[:16],
	}}
}

// Ready is closed once everything serves.
func (a *Appliance) Ready() <-chan struct{} { return a.ready }

// Run serves until ctx is cancelled, a part fails, or the relay is drained and
// the box was asked to stop then; it waits for every part. It returns ErrRestart
// when the cloud has asked for a new start.
// The store closes last: what a part writes while stopping must still land.
func (a *Appliance) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, a.store.Close()) }()
	defer a.clearConsole()
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	defer stopStore()
	stored := make(chan error, 1)
	go func() { stored <- supervise(storeCtx, "store", a.store.Run) }()

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return supervise(ctx, "signaling", a.signaling.Run) })
	g.Go(func() error { return supervise(ctx, "turn relay", a.runRelay) })
	g.Go(func() error { return supervise(ctx, "trust", a.trust.Run) })
	if a.discovery != nil {
		g.Go(func() error { return supervise(ctx, "discovery", a.discovery.Run) })
	}
	g.Go(func() error { return supervise(ctx, "http", a.serve) })
	g.Go(func() error { return supervise(ctx, upstreamPart, a.reportLater) })
	g.Go(func() error { return a.stopWhenDrained(ctx) })
	g.Go(func() error { return a.stopToRestart(ctx) })
	g.Go(func() error { // a store that has failed stops the box
		select {
		case err := <-stored:
			stored <- err
			return err
		case <-ctx.Done():
			return nil
		}
	})
	a.log.Info("box serves", "site", a.cfg.Site.Name, "node", a.store.BoxID(), "version", a.cfg.Version)
	close(a.ready)
	if err = g.Wait(); errors.Is(err, errDrained) {
		err = nil // it was asked for
	}
	stopStore()
	return errors.Join(err, <-stored)
}

// runRelay ends the relay after the ports it shares with others have settled.
func (a *Appliance) runRelay(ctx context.Context) error {
	late, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := context.AfterFunc(ctx, func() {
		<-a.settled
		stop()
	})
	defer ended()
	err := a.relay.Run(late)
	if ctx.Err() != nil && err == nil {
		return ctx.Err()
	}
	return err
}

// supervise runs one part. A part that returns while ctx is live has failed,
// even when it returns nil; a part stopped through ctx has not.
func supervise(ctx context.Context, part string, run func(context.Context) error) error {
	err := run(ctx)
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	if err == nil {
		err = errors.New("stopped by itself")
	}
	return fmt.Errorf("%s: %w", part, err)
}

// Close undoes New for a box that never ran.
func (a *Appliance) Close() {
	for _, s := range a.http {
		_ = s.listener.Close()
	}
	if a.control != nil {
		_ = a.control.Close()
	}
	if a.api != nil {
		_ = a.api.Close()
	}
	if a.relay != nil {
		a.relay.Close()
	}
	if a.store != nil {
		_ = a.store.Close()
	}
}

// Log is the box's own logger, whose level follows the configuration.
func (a *Appliance) Log() *slog.Logger { return a.log }
