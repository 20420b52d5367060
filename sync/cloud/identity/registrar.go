package identity

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"signalbox/sync/wire"
)

// registryTimeout bounds what one request waits for the registry.
const registryTimeout = 10 * time.Second

// RegistrarConfig is what NewRegistrar needs.
type RegistrarConfig struct {
	Authority *Authority
	Registry  Registry
	// Source names who a request is from, to limit attempts; nil takes the
	// address of the connection, IPv6 by /64.
	Source   func(*http.Request) string
	Logger   *slog.Logger
	now      func() time.Time // for tests
	bodyWait time.Duration
}

// Registrar lets boxes in: it answers requests to join and to renew, and tells
// who any other request is from. Its methods may be called concurrently.
type Registrar struct {
	cfg      RegistrarConfig
	nonceKey []byte
	count    *counters
	seen     chains
	replays  replays
	sources  limiter
	tokens   limiter
	tried    tries
}

// tries are the last attempts of boxes that were revoked. They are in the
// registry, so their number is bounded.
type tries struct {
	mu   sync.Mutex
	last map[wire.BoxID]time.Time
}

func (t *tries) note(box wire.BoxID, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == nil {
		t.last = map[wire.BoxID]time.Time{}
	}
	t.last[box] = now
}

// Tried is when a box that was revoked last proved here who it is and was
// refused; zero for never.
func (g *Registrar) Tried(box wire.BoxID) time.Time {
	g.tried.mu.Lock()
	defer g.tried.mu.Unlock()
	return g.tried.last[box]
}

// NewRegistrar makes a Registrar. It has nothing to close.
func NewRegistrar(cfg RegistrarConfig) (*Registrar, error) {
	if cfg.Authority == nil || cfg.Registry == nil {
		return nil, errors.New("a registrar needs an authority and a registry")
	}
	if cfg.Source == nil {
		cfg.Source = source
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.now == nil {
		cfg.now = time.Now
	}
	if cfg.bodyWait == 0 {
		cfg.bodyWait = bodyWait
	}
	return &Registrar{cfg: cfg, nonceKey: cfg.Authority.nonceKey(), count: newCounters()}, nil
}

// Handler answers wire.JoinPath, wire.RenewPath and wire.SelfPath.
func (g *Registrar) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+wire.JoinPath, g.serveJoin)
	mux.HandleFunc("POST "+wire.RenewPath, g.serveRenew)
	mux.HandleFunc("GET "+wire.SelfPath, g.serveSelf)
	return mux
}

// Stats are the counters.
func (g *Registrar) Stats() Stats { return g.count.stats() }

// refuse answers with what is wrong, and counts it. A refusal that another proof
// may mend comes with a nonce for it.
func (g *Registrar) refuse(w http.ResponseWriter, why *Refusal, attrs ...any) {
	g.count.refused[why.Reason].Add(1)
	level, err := slog.LevelInfo, error(why)
	switch {
	case why.err != nil:
		level, err = slog.LevelError, why.err
	case why.Reason.Usual():
		level = slog.LevelDebug // part of how it goes
	}
	g.cfg.Logger.Log(context.Background(), level, "box refused", append([]any{"reason", string(why.Reason), "err", err}, attrs...)...)
	if why.Reason.status() == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", wire.Challenge(newNonce(g.nonceKey, g.cfg.now())))
	}
	writeJSON(w, why.Reason.status(), wire.Failure{Code: string(why.Reason), Message: why.Message})
}

// bodyWait is how long the document of a request may take: anybody may begin one.
const bodyWait = 20 * time.Second

// readBody reads the document of a request.
func (g *Registrar) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(g.cfg.bodyWait)) // a recorder in a test has none
	body, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxEnrolBytes+1))
	switch {
	case err != nil:
		return nil, refuse(ReasonMalformed, "the request's body could not be read")
	case len(body) > wire.MaxEnrolBytes:
		return nil, refuse(ReasonOversize, "the request has more than %d KiB", wire.MaxEnrolBytes>>10)
	}
	return body, nil
}

func source(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if addr = addr.Unmap().WithZone(""); addr.Is6() {
		return netip.PrefixFrom(addr, 64).Masked().String()
	}
	return addr.String()
}
