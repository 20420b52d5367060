// Package auth says who is there: it turns tokens into identities, makes the
// box's own tokens, and keeps invites and revocations. It does no networking.
package auth

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// MaxTokenBytes bounds a token; longer ones are refused unread.
	MaxTokenBytes = 8 << 10
	// Leeway is how far the clocks of issuer and box may differ: a token is good
	// this much before its nbf and after its exp.
	Leeway = 60 * time.Second
	// MaxTTL bounds the life of the box's own tokens.
	MaxTTL = 10 * 365 * 24 * time.Hour
)

const defaultTokenTTL = 90 * 24 * time.Hour

// Authority issues and verifies tokens. Its methods may be called concurrently.
type Authority struct {
	log     *slog.Logger
	key     ed25519.PrivateKey
	keyID   string
	self    string
	ttl     time.Duration
	open    *openGrant // nil: admission wants a token
	issuers map[string]*issuer
	order   []*issuer // as configured
	invites InviteStore
	revoked *revocations

	// newest is the latest iat (Unix seconds) seen in a token of the box's own.
	// It shows how late it was at least once, when the clock has lost its time.
	newest atomic.Int64

	setupMu sync.Mutex // one setup invite is made, or withdrawn, at a time
	setup   setupClock
}

// New checks cfg and makes an authority that signs with the box's key. Issuers'
// key files that cannot be read now are no error: those issuers' tokens get
// ErrNoKeys until the files are good, and Issuers says why. Config.Check reports
// them to somebody who can mend them.
func New(cfg Config, key ed25519.PrivateKey, boxID string) (*Authority, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("box key has %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	}
	if boxID == "" {
		return nil, errors.New("box id is empty")
	}
	a := &Authority{
		log:     cfg.Logger,
		key:     key,
		keyID:   thumbprint(key.Public().(ed25519.PublicKey)),
		self:    "signalbox:" + boxID,
		ttl:     cfg.TokenTTL,
		issuers: make(map[string]*issuer),
		invites: cfg.Invites,
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.ttl == 0 {
		a.ttl = defaultTokenTTL
	}
	if cfg.Admission == AdmissionOpen {
		a.open = newOpenGrant(cfg)
	}
	a.issuers[a.self] = a.own()
	for _, c := range cfg.Issuers {
		if c.Issuer == a.self {
			return nil, &FieldError{"auth.issuers", c.Issuer, "an issuer other than this box itself"}
		}
		iss := newIssuer(c, a.self, a.log)
		a.issuers[c.Issuer] = iss
		a.order = append(a.order, iss)
	}
	var err error
	a.revoked, err = loadRevocations(cfg.Revocations)
	return a, err
}

// Issuer is the iss and the aud of the box's own tokens: "signalbox:BOXID".
func (a *Authority) Issuer() string { return a.self }

// Issuers lists the outside issuers, as configured, and the state of their keys.
func (a *Authority) Issuers() []IssuerStatus {
	all := make([]IssuerStatus, 0, len(a.order))
	for _, iss := range a.order {
		all = append(all, iss.status())
	}
	return all
}
