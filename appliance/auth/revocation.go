package auth

import (
	"context"
	"time"
)

// MaxRevocations bounds the revocation list.
const MaxRevocations = 16384

// Revocation takes back one token (TokenID and Issuer set) or everything a
// subject was given up to a moment (Subject and Before set).
type Revocation struct {
	TokenID string    `json:"token_id,omitempty"`
	Issuer  string    `json:"issuer,omitempty"` // of TokenID; "": this box
	Subject string    `json:"subject,omitempty"`
	Before  time.Time `json:"before,omitzero"`  // tokens issued up to then; zero when asked for: now
	Expires time.Time `json:"expires,omitzero"` // forgotten after; zero: kept until lifted
	At      time.Time `json:"at"`
	Reason  string    `json:"reason,omitempty"`
}

// Key names the revocation in a store; a later one with the same key replaces it.
func (r Revocation) Key() string {
	if r.Subject != "" {
		return "subject:" + r.Subject
	}
	return "token:" + r.Issuer + "#" + r.TokenID
}

// RevocationStore keeps revocations durably. Its methods may be called concurrently.
type RevocationStore interface {
	// PutRevocation stores r under r.Key().
	PutRevocation(ctx context.Context, r Revocation) error
	// DeleteRevocation removes one; a key that is not there is no error.
	DeleteRevocation(ctx context.Context, key string) error
	Revocations() ([]Revocation, error)
}
