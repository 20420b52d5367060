package cloud

import (
	"context"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projector"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/wire"
)

// keys are the keys of boxes as the projector asks for them.
type keys struct{ *registry.Registry }

func (k keys) Keys(id wire.BoxID) []projector.Key {
	b, ok := k.Box(id)
	if !ok {
		return nil
	}
	all := make([]projector.Key, len(b.Keys))
	for i, key := range b.Keys {
		all[i] = projector.Key{ID: key.ID, Public: key.Public, Until: revokedAt(key)}
	}
	return all
}

// revokedAt is when what a key signs stopped to count. A key that was replaced
// stays good: batches that were signed with it may be on their way.
func revokedAt(key registry.Key) time.Time {
	if key.Why == registry.KeyRevoked {
		return key.Until
	}
	return time.Time{}
}

// desired is what boxes should do, as the projector tells them.
type desired struct{ *registry.Registry }

// Wants asks for nothing by itself: the dashboard nudges boxes that somebody
// watches again and again, and boxes renew in time.
func (d desired) Wants(wire.BoxID) (wire.Seconds, bool) { return 0, false }

// results takes what came of commands.
type results struct{ *registry.Registry }

func (r results) Result(ctx context.Context, x projection.Result) error {
	err := r.Finish(ctx, x.Box, x.ID, x.OK, x.Text, x.At)
	if err != nil && isNotFound(err) {
		return nil // the command has expired and is forgotten, or never was
	}
	return err
}
