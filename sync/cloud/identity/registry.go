package identity

import (
	"context"
	"errors"
	"time"

	"signalbox/sync/wire"
)

// ErrNotFound is returned by a Registry for what it does not have.
var ErrNotFound = errors.New("not in the registry")

// Registry keeps sites, tokens and boxes, the same for every node. A change
// function may be called more than once: when somebody else has changed the
// record meanwhile it sees the new one. Its error ends the change and is
// returned as it is.
type Registry interface {
	// HasSite tells whether boxes may belong to the site.
	HasSite(tenant, site string) bool
	// Box gives what is known now. It does not go to the network.
	Box(id wire.BoxID) (Box, bool)
	// Places are the ids of every box called so, of whatever site.
	Places(box string) []wire.BoxID
	// ChangeBox changes or makes a box: one that is not there is the zero Box.
	ChangeBox(ctx context.Context, id wire.BoxID, change func(*Box) error) error
	// AddToken keeps a new token.
	AddToken(ctx context.Context, token Token) error
	// ChangeToken changes a token, or fails with ErrNotFound.
	ChangeToken(ctx context.Context, id string, change func(*Token) error) error
}

// Box is what identity keeps of a box.
type Box struct {
	Name      string    `json:"name,omitempty"` // what people at the site call it
	Version   string    `json:"version,omitempty"`
	Joined    time.Time `json:"joined,omitzero"`
	Token     string    `json:"token,omitempty"`   // id of the one it joined with last
	Serial    string    `json:"serial,omitempty"`  // of its newest certificate
	CertEnd   time.Time `json:"cert_end,omitzero"` // of that
	Keys      []Key     `json:"keys,omitempty"`    // every one it had, oldest first
	Revoked   time.Time `json:"revoked,omitzero"`
	RevokedBy string    `json:"revoked_by,omitempty"`
}

// Key is a key that a box has or had. Batches that reached the stream while it
// was good stay good.
type Key struct {
	ID     uint64    `json:"id,string"` // wire.KeyID
	Public []byte    `json:"public"`    // SubjectPublicKeyInfo
	From   time.Time `json:"from"`
	Until  time.Time `json:"until,omitzero"` // zero: it is good
	Why    KeyEnd    `json:"why,omitempty"`
}

// KeyEnd is why a key ended.
type KeyEnd string

// Why keys end.
const (
	KeyReplaced KeyEnd = "replaced" // a newer one was proven to work
	KeyRejoined KeyEnd = "rejoined" // the box joined anew
	KeyRevoked  KeyEnd = "revoked"  // an administrator revoked the box
)

// Key returns the box's key of that id.
func (b *Box) Key(id uint64) (Key, bool) {
	for _, k := range b.Keys {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}

// EndKeys ends every good key but one; 0 is none.
func (b *Box) EndKeys(but uint64, now time.Time, why KeyEnd) {
	for i := range b.Keys {
		if k := &b.Keys[i]; k.ID != but && k.Until.IsZero() {
			k.Until, k.Why = now, why
		}
	}
}

// Token is what is kept of a join token: not its secret.
type Token struct {
	ID      string    `json:"id"`
	Key     []byte    `json:"key"` // wire.JoinToken.Key
	Tenant  string    `json:"tenant"`
	Site    string    `json:"site"`
	Uses    int       `json:"uses"` // how many boxes may join with it
	Made    time.Time `json:"made"`
	By      string    `json:"by,omitempty"`
	Expires time.Time `json:"expires"`
	Used    []Use     `json:"used,omitempty"`
}

// Use is a box that joined with a token. The same box with the same key may do
// so again: the answer may have been lost.
type Use struct {
	Box string    `json:"box"`
	Key uint64    `json:"key,string"`
	At  time.Time `json:"at"`
}
