package people

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// OIDCConfig is sign-in by an outside provider (OpenID Connect Core 1.0, the
// authorization code flow with PKCE). Who is let in, and as what, is decided by a claim.
type OIDCConfig struct {
	Issuer     string `toml:"issuer"`
	ClientID   string `toml:"client_id"`
	SecretFile string `toml:"secret_file"` // empty for a public client
	// RoleClaim holds a string or a list; a value of Viewers, Operators or
	// Administrators gives that role, the highest counts.
	RoleClaim      string   `toml:"role_claim"` // "groups" unless set
	Viewers        []string `toml:"viewers"`
	Operators      []string `toml:"operators"`
	Administrators []string `toml:"administrators"`
}

// Validate reports every fault of the section.
func (c OIDCConfig) Validate() error {
	if c.Issuer == "" {
		return nil
	}
	var errs []error
	if u, err := url.Parse(c.Issuer); err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		errs = append(errs, fmt.Errorf("oidc.issuer: got %q, want the provider's URL by https, such as https://login.example.com", c.Issuer))
	}
	if c.ClientID == "" {
		errs = append(errs, errors.New(`oidc.client_id: got "", want the name under which the provider knows this cloud`))
	}
	if len(c.Viewers)+len(c.Operators)+len(c.Administrators) == 0 {
		errs = append(errs, errors.New("oidc.viewers: got [], want a group here, in oidc.operators or in oidc.administrators: nobody could sign in"))
	}
	return errors.Join(errs...)
}

// isLoopback: a provider on the same machine may be reached in the clear.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// role is the highest role that the claim's values give, "" for none.
func (c OIDCConfig) role(values []string) Role {
	for _, grant := range []struct {
		groups []string
		role   Role
	}{{c.Administrators, Administrator}, {c.Operators, Operator}, {c.Viewers, Viewer}} {
		if slices.ContainsFunc(values, func(v string) bool { return slices.Contains(grant.groups, v) }) {
			return grant.role
		}
	}
	return ""
}

// provider is found when the first person signs in, so that a node starts
// while it is out of reach.
type provider struct {
	cfg OIDCConfig

	mu    sync.Mutex
	found *oidc.Provider
}

// providerTimeout bounds each question to the provider, whose keys are asked for
// without the context of whoever signs in.
const providerTimeout = 10 * time.Second

func newProvider(cfg OIDCConfig) *provider { return &provider{cfg: cfg} }

func (o *provider) discover(ctx context.Context) (*oidc.Provider, error) {
	o.mu.Lock()
	found := o.found
	o.mu.Unlock()
	if found != nil {
		return found, nil
	}
	// The client is used for the provider's keys too, beyond this request.
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, &http.Client{Timeout: providerTimeout}), o.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("reach the sign-in provider %s: %w", o.cfg.Issuer, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.found = found
	return found, nil
}

func (o *provider) client(found *oidc.Provider, redirect string) (*oauth2.Config, error) {
	secret := ""
	if o.cfg.SecretFile != "" {
		b, err := os.ReadFile(o.cfg.SecretFile)
		if err != nil {
			return nil, fmt.Errorf("oidc.secret_file: %w", err)
		}
		secret = strings.TrimSpace(string(b))
	}
	return &oauth2.Config{
		ClientID: o.cfg.ClientID, ClientSecret: secret, Endpoint: found.Endpoint(), RedirectURL: redirect,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", "groups"},
	}, nil
}

// Attempt is what the browser keeps, in a cookie of its own, while its person
// is at the provider.
type Attempt struct {
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"` // of PKCE (RFC 7636)
	Redirect string    `json:"r"`
	Began    time.Time `json:"t"`
}

// attemptTTL is how long a person may take at the provider.
const attemptTTL = 10 * time.Minute

// HasOIDC reports whether there is a provider to sign in with.
func (p *People) HasOIDC() bool { return p.oidc != nil }

// StartOIDC gives the address to send the browser to. redirect is where the
// provider sends it back: the cloud's own URL.
func (p *People) StartOIDC(ctx context.Context, redirect string) (Attempt, string, error) {
	if p.oidc == nil {
		return Attempt{}, "", fmt.Errorf("%w: oidc.issuer is not set", ErrUnknown)
	}
	found, err := p.oidc.discover(ctx)
	if err != nil {
		return Attempt{}, "", err
	}
	client, err := p.oidc.client(found, redirect)
	if err != nil {
		return Attempt{}, "", err
	}
	random := func() string {
		b := make([]byte, 24)
		_, _ = rand.Read(b)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	a := Attempt{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Redirect: redirect, Began: time.Now()}
	return a, client.AuthCodeURL(a.State, oidc.Nonce(a.Nonce), oauth2.S256ChallengeOption(a.Verifier)), nil
}

// FinishOIDC signs the person in whom the provider has sent back with code and
// state. ErrRefused says why somebody is not let in.
func (p *People) FinishOIDC(ctx context.Context, source string, a Attempt, state, code string) (secret string, who Person, err error) {
	switch {
	case p.oidc == nil:
		return "", Person{}, fmt.Errorf("%w: oidc.issuer is not set", ErrUnknown)
	case a.State == "" || state != a.State || code == "" || time.Since(a.Began) > attemptTTL:
		return "", Person{}, fmt.Errorf("%w: this sign-in was begun elsewhere or took longer than %v; begin again", ErrRefused, attemptTTL)
	}
	token, err := p.oidc.exchange(ctx, a, code)
	if err != nil {
		return "", Person{}, err
	}
	who, err = p.oidc.person(token)
	if err != nil {
		p.refusals.write(ctx, source, who.Name, ViaOIDC)
		return "", Person{}, err
	}
	if who, err = p.admit(ctx, who); err != nil {
		return "", Person{}, err
	}
	return p.begin(ctx, source, who, ViaOIDC)
}

func (o *provider) exchange(ctx context.Context, a Attempt, code string) (*oidc.IDToken, error) {
	found, err := o.discover(ctx)
	if err != nil {
		return nil, err
	}
	client, err := o.client(found, a.Redirect)
	if err != nil {
		return nil, err
	}
	tokens, err := client.Exchange(ctx, code, oauth2.VerifierOption(a.Verifier))
	if err != nil {
		return nil, fmt.Errorf("%w: the provider does not confirm the sign-in: %w", ErrRefused, err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := found.Verifier(&oidc.Config{ClientID: o.cfg.ClientID}).Verify(ctx, raw)
	if err != nil {
		return nil, fmt.Errorf("%w: the provider's token: %w", ErrRefused, err)
	}
	if token.Nonce != a.Nonce {
		return nil, fmt.Errorf("%w: the provider's token is for another sign-in", ErrRefused)
	}
	return token, nil
}

// person reads who somebody is out of the provider's token.
func (o *provider) person(token *oidc.IDToken) (Person, error) {
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("%w: the provider's token: %w", ErrRefused, err)
	}
	// A mail address can be given to another person; it names somebody only
	// when the provider vouches for it.
	name := token.Subject
	if mail, _ := claims["email"].(string); mail != "" && claims["email_verified"] == true {
		name = mail
	}
	if err := checkName(name); err != nil {
		return Person{Name: token.Subject}, err
	}
	claim := o.cfg.RoleClaim
	if claim == "" {
		claim = "groups"
	}
	var values []string
	switch v := claims[claim].(type) {
	case string:
		values = []string{v}
	case []any:
		for _, one := range v {
			if text, ok := one.(string); ok {
				values = append(values, text)
			}
		}
	}
	role := o.cfg.role(values)
	if role == "" {
		return Person{Name: name}, fmt.Errorf("%w: %s is signed in, but the claim %q has none of the groups that are let in; ask the administrator of the cloud",
			ErrRefused, name, claim)
	}
	return Person{Name: name, Role: role, By: o.cfg.Issuer, Via: ViaOIDC}, nil
}

// admit keeps the person as the provider describes them now. A name that signs
// in with a password is not given to the provider's person of the same name.
func (p *People) admit(ctx context.Context, who Person) (Person, error) {
	r, revision, exists, err := read[record](ctx, p.cfg.Registry, personKey(who.Name))
	if err != nil {
		return Person{}, err
	}
	if exists && r.Hash != "" {
		return Person{}, fmt.Errorf("%w: %q signs in with a password here; remove that person first to let the provider's in", ErrRefused, who.Name)
	}
	if err := p.room(ctx, exists); err != nil {
		return Person{}, err
	}
	now := time.Now().UTC()
	who.Created, who.Seen = now, now
	if exists {
		who.Created = r.Created
	}
	if err := write(ctx, p.cfg.Registry, personKey(who.Name), record{Person: who}, revision); err != nil {
		return Person{}, err
	}
	p.forget()
	return who, nil
}
