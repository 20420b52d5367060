// Package auth says who is there: it turns tokens into identities, makes the
// box's own tokens, and keeps invites and revocations. It does no networking.
package auth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"time"
)

// Authority issues and verifies tokens. Its methods may be called concurrently.
type Authority struct{}

// IssuerStatus is how an outside issuer's keys are doing.
type IssuerStatus struct {
	Name   string
	Issuer string
	Keys   int       // usable keys in force
	Loaded time.Time // when they were read
	Err    error     // why the file as it is now is not in force; nil when it is
}

var errUnbuilt = errors.New("not built")

// New checks cfg and makes an authority that signs with the box's key.
func New(cfg Config, key ed25519.PrivateKey, boxID string) (*Authority, error) { return nil, errUnbuilt }

// NewBoxKey makes the box's Ed25519 key in the form to be stored (PKCS #8 PEM).
func NewBoxKey() ([]byte, error) { return nil, errUnbuilt }

// ParseBoxKey reads what NewBoxKey made.
func ParseBoxKey(encoded []byte) (ed25519.PrivateKey, error) { return nil, errUnbuilt }

// Verify turns a token into an identity.
func (a *Authority) Verify(token string) (Identity, error) { return Identity{}, errUnbuilt }

// Open is the identity of somebody without a token; ErrClosed unless admission is open.
func (a *Authority) Open(name string) (Identity, error) { return Identity{}, errUnbuilt }

// Issue makes a token of the box's own.
func (a *Authority) Issue(grant Grant) (token string, id Identity, err error) {
	return "", Identity{}, errUnbuilt
}

// Renew exchanges a valid token of the box's own for a fresh one with the same grant.
func (a *Authority) Renew(token string) (fresh string, id Identity, err error) {
	return "", Identity{}, errUnbuilt
}

// NewInvite makes an invite and the code that redeems it, which is not kept.
func (a *Authority) NewInvite(ctx context.Context, opts InviteOptions) (code Secret, invite Invite, err error) {
	return Secret{}, Invite{}, errUnbuilt
}

// Redeem exchanges an invite code for a token.
func (a *Authority) Redeem(ctx context.Context, code string) (token string, id Identity, err error) {
	return "", Identity{}, errUnbuilt
}

// NewSetup makes the setup invite, replacing an older one.
func (a *Authority) NewSetup(ctx context.Context) (code Secret, invite Invite, err error) {
	return Secret{}, Invite{}, errUnbuilt
}

// NeedsSetup reports whether the box has never had an administrator.
func (a *Authority) NeedsSetup() (bool, error) { return false, errUnbuilt }

// Invites lists open invites, newest first.
func (a *Authority) Invites() ([]Invite, error) { return nil, errUnbuilt }

// DeleteInvite takes an invite back.
func (a *Authority) DeleteInvite(ctx context.Context, id string) error { return errUnbuilt }

// Revoke takes back a token, or a subject's tokens issued so far.
func (a *Authority) Revoke(ctx context.Context, r Revocation) error { return errUnbuilt }

// Unrevoke lifts the revocation with that key.
func (a *Authority) Unrevoke(ctx context.Context, key string) error { return errUnbuilt }

// IsRevoked reports whether id, verified earlier, has been revoked since.
func (a *Authority) IsRevoked(id Identity) bool { return false }

// OnRevoke has fn called after each revocation, so that live sessions can be ended.
func (a *Authority) OnRevoke(fn func(Revocation)) {}

// Revocations lists what is revoked.
func (a *Authority) Revocations() []Revocation { return nil }

// Issuers lists the outside issuers and the state of their keys.
func (a *Authority) Issuers() []IssuerStatus { return nil }

// JWKS is the box's public key as a JSON Web Key Set.
func (a *Authority) JWKS() []byte { return nil }

// Issuer is the iss (and aud) of the box's own tokens: "signalbox:BOXID".
func (a *Authority) Issuer() string { return "" }

// Validate reports every fault of the section, without touching the disk.
func (c Config) Validate() error { return errUnbuilt }

// Check is Validate, and reads the issuers' key files too.
func (c Config) Check() error { return errUnbuilt }

// ParseCode reads an invite code as people type it; the error says what is wrong with it.
func ParseCode(text string) (Secret, error) { return Secret{}, errUnbuilt }
