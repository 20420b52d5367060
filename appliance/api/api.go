package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
	"signalbox/internal/jsonapi"
)

// Rooms is the part of the signaling server that the API works on. Changes
// reach the members of the room and are durable when a call returns.
type Rooms interface {
	Rooms() []room.View
	Room(name string) (room.View, bool)
	CreateRoom(ctx context.Context, info room.Info) (room.View, error)
	UpdateRoom(ctx context.Context, name string, ifVersion uint64, change func(*room.Info)) (room.View, error)
	DeleteRoom(ctx context.Context, name string) error
	SetMetadata(ctx context.Context, name, key string, data json.RawMessage, ifVersion *uint64) (room.Value, error)
	Kick(ctx context.Context, roomName, memberID string) error
}

// Tokens verifies, makes and revokes tokens.
type Tokens interface {
	Verify(token string) (auth.Identity, error)
	Issue(grant auth.Grant) (token string, id auth.Identity, err error)
	Renew(token string) (fresh string, id auth.Identity, err error)
	Revoke(ctx context.Context, r auth.Revocation) error
	Lift(ctx context.Context, r auth.Revocation) error
}

// Invites keeps the codes that people and devices turn into tokens.
type Invites interface {
	NewInvite(ctx context.Context, opts auth.InviteOptions) (code auth.Secret, invite auth.Invite, err error)
	Redeem(ctx context.Context, code string) (token string, id auth.Identity, err error)
	Invites() ([]auth.Invite, error)
	DeleteInvite(ctx context.Context, id string) error
	NeedsSetup() (bool, error)
	// Claim records that there is an administrator, so that no setup is needed.
	Claim(ctx context.Context, subject string) error
}

// Box tells about the appliance as a whole. Its methods are called from many
// requests at once and answer from memory.
type Box interface {
	// Status is everything but what the API itself knows: Ready, SetupNeeded
	// and UptimeSeconds are filled in from Parts, Invites and Started.
	Status() Status
	// Parts is the health of every part, in the order to show them.
	Parts() []Part
	WellKnown() WellKnown
	// BaseURL is where people reach the box, like https://10.0.0.5:8443. Links
	// made on the control socket start with it; elsewhere they start with the
	// address the request was sent to.
	BaseURL() string
}

// Relay makes TURN credentials, and the secret that they are made from. The URLs
// name the relay as it is reached at host, which is the request's host without a
// port; empty on the control socket.
type Relay interface {
	Credential(host, subject string, ttl time.Duration) (TURNCredential, error)
	// Rotate makes a new secret; credentials made from the one before are good
	// for overlap longer. An error that is ErrRelaySecrets says to wait.
	Rotate(ctx context.Context, overlap time.Duration) error
}

// Allocations looks after the allocations of a relay that runs. Its methods are
// called from many requests at once and answer from memory.
type Allocations interface {
	// Allocations are in the order of their ids; ages are filled in from Created.
	Allocations() []Allocation
	// Users are in the order of their names.
	Users() []RelayUser
	// End reports false when there is no such allocation.
	End(id uint64) bool
	// EndUser returns how many it has ended.
	EndUser(user string) int
	// Drain turns draining on or off, and with stop lets the box stop when the
	// last allocation has ended.
	Drain(on, stop bool) DrainState
}

// ErrRelaySecrets is matched by the error of Relay.Rotate when too many older
// secrets are still good.
var ErrRelaySecrets = errors.New("too many older secrets of the relay are still good")

// Archive copies the store while the box runs: it tells begin how many bytes
// there are and writes them to what that returns.
type Archive interface {
	Copy(ctx context.Context, begin func(bytes int64) io.Writer) error
}

// Config is what New needs. Only Relay, Allocations and Archive may be nil: the
// routes that need them then answer 503, or that there is no allocation.
type Config struct {
	BoxID   string
	Rooms   Rooms
	Tokens  Tokens
	Invites Invites
	Box     Box
	Relay   Relay
	Archive Archive

	Allocations Allocations

	// StoreFull is what errors of Rooms, Tokens and Invites match when the box
	// has no space left; may be nil.
	StoreFull error

	// Registry collects what /metrics shows; nil makes one with the Go and
	// process collectors.
	Registry *prometheus.Registry
	// Logger; nil discards.
	Logger *slog.Logger
	// EventStreams is how many status streams may be open at once; 0 is 64.
	EventStreams int
}

// redeemLimits lets a batch of devices behind one address in, and keeps anyone
// from occupying the store with guesses, which 128-bit codes defeat by
// themselves.
var redeemLimits = jsonapi.Limits{PerSource: 0.5, PerSourceBurst: 20, Total: 50, TotalBurst: 200, Sources: 1024}

// API serves the routes of the table in routes.go. Make one with New.
type API struct {
	cfg      Config
	log      *slog.Logger
	metrics  *metrics
	redeems  *jsonapi.SourceLimiter
	status   sampler
	origin   *http.CrossOriginProtection
	claimed  atomic.Bool   // there has been an administrator; stays true
	streams  chan struct{} // one slot per open status stream
	copying  atomic.Bool   // a backup is under way
	stopOnce sync.Once
	stopped  chan struct{}
}

// New checks cfg. The API has no goroutines of its own; Close ends the status
// streams that are open.
func New(cfg Config) (*API, error) {
	switch {
	case cfg.BoxID == "":
		return nil, errors.New("api: BoxID is empty")
	case cfg.Rooms == nil || cfg.Tokens == nil || cfg.Invites == nil || cfg.Box == nil:
		return nil, errors.New("api: Rooms, Tokens, Invites and Box are needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.EventStreams == 0 {
		cfg.EventStreams = 64
	}
	metrics, err := newMetrics(cfg.Registry)
	if err != nil {
		return nil, err
	}
	return &API{
		cfg:     cfg,
		log:     cfg.Logger,
		metrics: metrics,
		redeems: jsonapi.NewSourceLimiter(redeemLimits),
		origin:  http.NewCrossOriginProtection(),
		streams: make(chan struct{}, cfg.EventStreams),
		stopped: make(chan struct{}),
	}, nil
}

// Handler serves /v1/ (but not /v1/signal), /healthz, /readyz, /metrics and
// /.well-known/signalbox to the network.
func (a *API) Handler() http.Handler { return a.mux(false) }

// Control serves the same routes to whoever may open the box's control socket,
// with the rights of an administrator and without limits per source.
func (a *API) Control() http.Handler { return a.mux(true) }

// Close ends the open status streams, which http.Server.Shutdown would
// otherwise wait for. It may be called more than once.
func (a *API) Close() error {
	a.stopOnce.Do(func() { close(a.stopped) })
	return nil
}
