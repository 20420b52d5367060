package identity

import (
	"context"
	"fmt"
	"time"

	"signalbox/sync/wire"
)

// Bounds of a token.
const (
	DefaultTokenTTL = 24 * time.Hour
	MaxTokenTTL     = 30 * 24 * time.Hour
	MaxTokenUses    = 1000
)

// TokenOptions say what NewToken makes.
type TokenOptions struct {
	Tenant string // empty: wire.DefaultTenant
	Site   string
	Uses   int           // how many boxes may join; 0 is 1
	TTL    time.Duration // 0 is DefaultTokenTTL
	By     string        // who asks for it
}

func (o *TokenOptions) settle() error {
	if o.Tenant == "" {
		o.Tenant = wire.DefaultTenant
	}
	if o.Uses == 0 {
		o.Uses = 1
	}
	if o.TTL == 0 {
		o.TTL = DefaultTokenTTL
	}
	switch {
	case o.Uses < 1 || o.Uses > MaxTokenUses:
		return fmt.Errorf("uses: got %d, want 1 to %d boxes", o.Uses, MaxTokenUses)
	case o.TTL < time.Minute || o.TTL > MaxTokenTTL:
		return fmt.Errorf("ttl: got %v, want 1m to %v", o.TTL, MaxTokenTTL)
	}
	return nil
}

// NewToken makes a token to join a site. Its text is shown once: the registry
// keeps what checks it, not the secret.
func (g *Registrar) NewToken(ctx context.Context, o TokenOptions) (wire.JoinToken, Token, error) {
	if err := o.settle(); err != nil {
		return wire.JoinToken{}, Token{}, err
	}
	if !g.cfg.Registry.HasSite(o.Tenant, o.Site) {
		return wire.JoinToken{}, Token{}, fmt.Errorf("site: got %q, and there is none of that name; add it first", o.Site)
	}
	made, now := wire.NewJoinToken(), g.cfg.now()
	token := Token{
		ID: made.ID(), Key: made.Key(), Tenant: o.Tenant, Site: o.Site, Uses: o.Uses,
		Made: now, By: o.By, Expires: now.Add(o.TTL),
	}
	if err := g.cfg.Registry.AddToken(ctx, token); err != nil {
		return wire.JoinToken{}, Token{}, fmt.Errorf("keep token: %w", err)
	}
	return made, token, nil
}

// EndToken makes a token worthless. Boxes that joined with it stay.
func (g *Registrar) EndToken(ctx context.Context, id string) error {
	return g.cfg.Registry.ChangeToken(ctx, id, func(t *Token) error {
		t.Expires = earlier(t.Expires, g.cfg.now())
		return nil
	})
}

// JoinCommand is what an administrator pastes at a box. url is the cloud's, as
// the box reaches it.
func (a *Authority) JoinCommand(url string, token wire.JoinToken) string {
	return fmt.Sprintf("signalbox join %s --token %s --ca %s", url, token.Text(), a.RootHash())
}

// use checks that req may use the token and notes that it does. The same box
// with the same key may again.
func use(t *Token, req *wire.JoinRequest, key uint64, now time.Time) error {
	if now.After(t.Expires) {
		return refuse(ReasonTokenExpired, "the token expired on %s; make a new one", stamp(t.Expires))
	}
	for _, use := range t.Used {
		if use.Box == req.Box && use.Key == key {
			return nil
		}
	}
	if len(t.Used) >= t.Uses {
		last := t.Used[len(t.Used)-1]
		return refuse(ReasonTokenUsedUp, "the token is used up: box %s joined with it on %s; make a new one", last.Box, stamp(last.At))
	}
	t.Used = append(t.Used, Use{Box: req.Box, Key: key, At: now})
	return nil
}
