package backups

import (
	"context"
	"errors"
	"io"
	"strings"

	"signalbox/internal/order"
	"signalbox/sync/wire"
)

// ErrNotThere is returned for a backup that the cloud does not have, and by every
// method before Run has found the bucket.
var ErrNotThere = errors.New("the cloud has no such backup")

// Owned is a backup as an operator sees it.
type Owned struct {
	Box string `json:"box"` // wire.BoxID
	wire.Backup
}

// List are the backups of a site's boxes, boxes in order and the newest first.
func (b *Backups) List(ctx context.Context, tenant, site string) ([]Owned, error) {
	out := []Owned{}
	s := b.store.Load()
	if s == nil {
		return nil, ErrNotThere
	}
	for _, id := range b.cfg.Registry.BoxesOf(tenant, site) {
		list, _, err := s.list(ctx, id)
		if err != nil {
			return nil, err
		}
		for _, k := range list {
			out = append(out, Owned{id.String(), k.Backup})
		}
	}
	order.StableBy(out, func(x, y Owned) int { return strings.Compare(x.Box, y.Box) })
	return out, nil
}

// Open opens one of a box's backups, which is still sealed: the newest when id is "".
func (b *Backups) Open(ctx context.Context, box wire.BoxID, id string) (io.ReadCloser, wire.Backup, error) {
	s := b.store.Load()
	if s == nil {
		return nil, wire.Backup{}, ErrNotThere
	}
	list, _, err := s.list(ctx, box)
	if err != nil {
		return nil, wire.Backup{}, err
	}
	for _, k := range list {
		if id == "" || k.ID == id {
			in, err := s.get(ctx, k)
			return in, k.Backup, err
		}
	}
	return nil, wire.Backup{}, ErrNotThere
}
