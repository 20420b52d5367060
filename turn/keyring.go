package turn

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// minSecret is 128 bits, the least that a key shared with nobody should have.
	minSecret = 16
	// MaxSecrets is how many secrets, outside ones included, are accepted at
	// once: a forged request costs one try with each.
	MaxSecrets = 8
)

// Secret is what credentials are made with, at least 16 bytes, and until when
// they are accepted.
type Secret struct {
	Key   []byte
	Until time.Time // zero: for ever
}

// identity is who has proven to send a request, and with what.
type identity struct {
	username string    // as it was sent
	user     string    // the subject in it
	key      []byte    // of MESSAGE-INTEGRITY
	expires  time.Time // zero: never
	issued   int64     // Unix seconds; 0: it does not say
	grant    string    // see Server.Issue
}

// expired says whether the credential may start nothing new.
func (id *identity) expired(now time.Time) bool { return !id.expires.IsZero() && now.After(id.expires) }

// keyring proves who signs requests: by time-limited credentials made with one
// of several secrets, or as a static user. Its methods may be called
// concurrently; none takes a lock.
type keyring struct {
	realm   string
	users   map[string][]byte // keys of MESSAGE-INTEGRITY, by name
	own     atomic.Pointer[[]ownSecret]
	outside atomic.Pointer[[][]byte] // of secret files
	revoked atomic.Pointer[revoked]
	decoy   []byte // signs for nobody
}

// ownSecret is a secret with what makes passwords of it.
type ownSecret struct {
	Secret
	passwords *passwords
}

func newKeyring(realm string, secrets []Secret, users map[string][]byte, outside [][]byte) (*keyring, error) {
	k := &keyring{realm: realm, users: users, decoy: make([]byte, 16)}
	_, _ = rand.Read(k.decoy) // never fails
	k.outside.Store(&outside)
	k.revoked.Store(new(revoked))
	return k, k.set(secrets)
}

// set replaces the own secrets, the newest first.
func (k *keyring) set(secrets []Secret) error {
	if most := MaxSecrets - len(*k.outside.Load()); len(secrets) < 1 || len(secrets) > most {
		return fmt.Errorf("got %d TURN secrets, want 1 to %d", len(secrets), most)
	}
	list := make([]ownSecret, len(secrets))
	for i, s := range secrets {
		if len(s.Key) < minSecret {
			return fmt.Errorf("the TURN secret has %d bytes, want at least %d", len(s.Key), minSecret)
		}
		s.Key = bytes.Clone(s.Key)
		list[i] = ownSecret{s, newPasswords(s.Key)}
	}
	k.own.Store(&list)
	return nil
}

// newest is the secret that new credentials are made with.
func (k *keyring) newest() []byte { return (*k.own.Load())[0].Key }

// prove finds the identity of username whose key signed a request. held is the
// identity that owns the allocation at hand, or nil: its key goes on working
// when its secret has been rotated out, since a running call outlives that as
// it does an expiry. What is revoked proves nothing. Expiry is for the caller.
func (k *keyring) prove(username string, held *identity, now time.Time, signed func(key []byte) bool) (*identity, bool) {
	id := held
	if held == nil || held.username != username || !signed(held.key) {
		id = k.find(username, now, signed)
	}
	return id, id != nil && !k.revoked.Load().covers(id)
}

// find is prove for an identity that has not been seen before.
func (k *keyring) find(username string, now time.Time, signed func(key []byte) bool) *identity {
	if key, ok := k.users[username]; ok {
		if !signed(key) {
			return nil
		}
		return &identity{username: username, user: username, key: key}
	}
	expires, subject, ok := parseUsername(username)
	if !ok {
		signed(k.decoy) // an unknown name takes as long as a known one
		return nil
	}
	try := func(password string) *identity {
		key := longTermKey(username, k.realm, password)
		if !signed(key) {
			return nil
		}
		return &identity{username: username, user: subject, key: key, expires: expires}
	}
	for _, secret := range *k.own.Load() {
		if !secret.Until.IsZero() && now.After(secret.Until) {
			continue
		}
		if id := try(secret.passwords.of(username)); id != nil {
			// Only the box itself says when it made a credential: a subject
			// of outside that looks like this is one that somebody chose.
			id.issued, id.grant, id.user = parseStamp(subject)
			return id
		}
	}
	for _, secret := range *k.outside.Load() {
		if id := try(password(secret, username)); id != nil {
			return id
		}
	}
	return nil
}

// SetSecrets replaces the relay's own secrets, the newest first: new
// credentials are made with the first, those made with any are accepted. The
// owner of a live allocation may go on with one that is gone. There are at most
// MaxSecrets together with those of secret files.
func (s *Server) SetSecrets(newest Secret, older ...Secret) error {
	return s.keys.set(append([]Secret{newest}, older...))
}
