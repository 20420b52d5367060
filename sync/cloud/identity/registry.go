package identity

import (
	"context"

	"signalbox/sync/cloud/registry"
	"signalbox/sync/wire"
)

// Registry keeps sites, tokens and boxes, the same for every node: in service a
// *registry.Registry. A change function may be called more than once: when
// somebody else has changed the record meanwhile it sees the new one. Its error
// ends the change and is returned as it is.
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

// ErrNotFound is returned by a Registry for what it does not have.
var ErrNotFound = registry.ErrNotFound

// Records are the registry's own.
type (
	Box    = registry.Box
	Key    = registry.Key
	KeyEnd = registry.KeyEnd
	Token  = registry.Token
	Use    = registry.Use
)

// Why keys end.
const (
	KeyReplaced = registry.KeyReplaced
	KeyRejoined = registry.KeyRejoined
	KeyRevoked  = registry.KeyRevoked
)
