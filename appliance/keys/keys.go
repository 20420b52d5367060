// Package keys makes the box's own secrets at its first start and reads them
// from the store ever after. They live as long as the store's file: a token or
// a credential outlives a restart, and a restored backup.
package keys

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"

	"signalbox/appliance/auth"
)

// Names in the store. They cannot change: an older file has them.
const (
	nameBox        = "auth/box"
	nameRelay      = "turn/relay"
	nameOlderRelay = "turn/relay/older"
	nameResume     = "signaling/resume"
	nameSite       = "upstream/site"
)

// Store keeps a secret under a name; it makes it first if there is none.
type Store interface {
	CreateKey(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error)
}

// Box is the key that signs the box's tokens.
func Box(ctx context.Context, s Store) (ed25519.PrivateKey, error) {
	encoded, err := s.CreateKey(ctx, nameBox, auth.NewBoxKey)
	if err != nil {
		return nil, fmt.Errorf("box key: %w", err)
	}
	return auth.ParseBoxKey(encoded)
}

// Relay is the secret that TURN credentials are made from; see OlderRelay.
func Relay(ctx context.Context, s Store) ([]byte, error) { return secret(ctx, s, nameRelay) }

// Resume is the secret that signs the tokens by which sessions resume.
func Resume(ctx context.Context, s Store) ([]byte, error) { return secret(ctx, s, nameResume) }

// Site is the secret that turns names of rooms and devices into ids for the
// cloud. It never leaves the box.
func Site(ctx context.Context, s Store) ([]byte, error) { return secret(ctx, s, nameSite) }

// secretBytes is the size of a secret, that of the hashes it is used with.
const secretBytes = 32

func secret(ctx context.Context, s Store, name string) ([]byte, error) {
	key, err := s.CreateKey(ctx, name, func() ([]byte, error) {
		key := make([]byte, secretBytes)
		_, err := rand.Read(key)
		return key, err
	})
	if err == nil && len(key) != secretBytes {
		err = fmt.Errorf("has %d bytes, want %d; restore a backup", len(key), secretBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s secret: %w", name, err)
	}
	return key, nil
}
