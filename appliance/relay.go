package appliance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
	"signalbox/appliance/keys"
	"signalbox/turn"
)

// relaySecrets are those of the store: what credentials are made from, and what
// they were made from before.
func (a *Appliance) relaySecrets(ctx context.Context) (newest turn.Secret, older []turn.Secret, err error) {
	if newest.Key, err = keys.Relay(ctx, a.store); err != nil {
		return newest, nil, fmt.Errorf("relay secret: %w", err)
	}
	stored, err := keys.OlderRelay(a.store, time.Now())
	for _, o := range stored {
		older = append(older, turn.Secret{Key: o.Key, Until: o.Until})
	}
	return newest, older, err
}

// Rotate makes a new secret for the relay's credentials; see keys.RotateRelay.
func (b box) Rotate(ctx context.Context, overlap time.Duration) error {
	b.rotating.Lock()
	defer b.rotating.Unlock()
	err := keys.RotateRelay(ctx, b.store, overlap, time.Now())
	if errors.Is(err, keys.ErrRotatedTooOften) {
		return fmt.Errorf("%w: %w", api.ErrRelaySecrets, err)
	}
	if err != nil {
		return err
	}
	newest, older, err := b.relaySecrets(ctx)
	if err != nil {
		return err
	}
	return b.relay.SetSecrets(newest, older...)
}

// relayRevocations are those of the authority in the relay's terms.
func (a *Appliance) relayRevocations() []turn.Revocation {
	all := a.authority.Revocations()
	list := make([]turn.Revocation, len(all))
	for i, r := range all {
		if r.Subject != "" {
			list[i] = turn.Revocation{Subject: r.Subject, Before: r.Before}
		} else {
			list[i] = turn.Revocation{Grant: relayGrant(r.Issuer, r.TokenID)}
		}
	}
	return list
}

// relayGrant is what a token is called in relay credentials, which anybody on
// the network may read: a hash of its name.
func relayGrant(issuer, tokenID string) string {
	if tokenID == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(issuer + "#" + tokenID))
	return hex.EncodeToString(sum[:8])
}

// sessionCredential makes relay credentials for a session. ok is false for one
// that is being revoked: it must not get a credential that says it was made
// after. A revocation is in force before the relay is told of it.
func (a *Appliance) sessionCredential(id auth.Identity) (c turn.Credential, ok bool) {
	c = a.relay.Issue(id.Subject, relayGrant(id.Issuer, id.TokenID), relayTTL)
	return c, !a.authority.IsRevoked(id)
}
