package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// watchAgain is how long to wait when the broker does not let us watch.
const watchAgain = time.Second

// kept mirrors the records of a bucket whose keys begin with prefix, so that
// reading them asks nobody. Safe for concurrent use; run must be running.
type kept[T any] struct {
	kv     jetstream.KeyValue
	prefix string // ends in a dot
	tell   func(id string)

	once   sync.Once
	loaded chan struct{} // closed when all there was has been read

	mu  sync.RWMutex
	all map[string]record[T]
}

type record[T any] struct {
	value    T
	revision uint64
}

// keep makes one; tell is called with the id of each record that has changed
// and must not wait.
func keep[T any](kv jetstream.KeyValue, prefix string, tell func(id string)) *kept[T] {
	return &kept[T]{kv: kv, prefix: prefix, tell: tell, loaded: make(chan struct{}), all: map[string]record[T]{}}
}

// run watches until ctx ends, again and again when the broker is away.
func (k *kept[T]) run(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		if err := k.watch(ctx); err != nil && ctx.Err() == nil {
			log.Warn("registry cannot be watched", "reason", k.prefix, "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(watchAgain):
		}
	}
}

func (k *kept[T]) watch(ctx context.Context) error {
	w, err := k.kv.Watch(ctx, k.prefix+">")
	if err != nil {
		return err
	}
	defer func() { _ = w.Stop() }()
	first := map[string]bool{}
	for reading := true; ; {
		var e jetstream.KeyValueEntry
		var ok bool
		select {
		case <-ctx.Done():
			return nil
		case e, ok = <-w.Updates():
		}
		switch {
		case !ok:
			return errors.New("the watch has ended")
		case e == nil: // all there was has been told
			k.forgetBut(first)
			reading = false
			k.once.Do(func() { close(k.loaded) })
		default:
			id := strings.TrimPrefix(e.Key(), k.prefix)
			if reading {
				first[id] = true
			}
			k.see(id, e)
		}
	}
}

func (k *kept[T]) see(id string, e jetstream.KeyValueEntry) {
	var value T
	gone := e.Operation() != jetstream.KeyValuePut
	if !gone && json.Unmarshal(e.Value(), &value) != nil {
		return // a later version's
	}
	k.set(id, value, e.Revision(), gone)
}

// set takes a record in unless a newer one is known.
func (k *kept[T]) set(id string, value T, revision uint64, gone bool) {
	k.mu.Lock()
	if k.all[id].revision >= revision {
		k.mu.Unlock()
		return
	}
	if gone {
		delete(k.all, id)
	} else {
		k.all[id] = record[T]{value, revision}
	}
	k.mu.Unlock()
	k.tell(id)
}

// forgetBut drops what is gone since the last watch.
func (k *kept[T]) forgetBut(there map[string]bool) {
	k.mu.Lock()
	var gone []string
	for id := range k.all {
		if !there[id] {
			delete(k.all, id)
			gone = append(gone, id)
		}
	}
	k.mu.Unlock()
	for _, id := range gone {
		k.tell(id)
	}
}

func (k *kept[T]) get(id string) (T, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	r, ok := k.all[id]
	return r.value, ok
}

// list is a copy of all, by id.
func (k *kept[T]) list() map[string]T {
	k.mu.RLock()
	defer k.mu.RUnlock()
	all := make(map[string]T, len(k.all))
	for id, r := range maps.All(k.all) {
		all[id] = r.value
	}
	return all
}

func (k *kept[T]) count() int {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return len(k.all)
}

// put writes a record, whatever was there.
func (k *kept[T]) put(ctx context.Context, id string, value T) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	revision, err := k.kv.Put(ctx, k.prefix+id, data)
	if err != nil {
		return fmt.Errorf("write %s%s: %w", k.prefix, id, err)
	}
	k.set(id, value, revision, false)
	return nil
}

// remove takes a record out; one that is not there is gone.
func (k *kept[T]) remove(ctx context.Context, id string) error {
	if err := k.kv.Purge(ctx, k.prefix+id); err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
		return fmt.Errorf("remove %s%s: %w", k.prefix, id, err)
	}
	k.mu.Lock()
	delete(k.all, id)
	k.mu.Unlock()
	k.tell(id)
	return nil
}
