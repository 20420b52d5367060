package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// attempts of a change that others get ahead of.
const attempts = 20

// headerOp marks the removal of a key in a bucket (NATS ADR-8).
const headerOp = "KV-Operation"

var errConflict = errors.New("somebody else has written the record")

// Add writes a record that is not there yet, or fails with ErrExists.
func (t *Table[T]) Add(ctx context.Context, key string, value T) error {
	return t.write(ctx, key, func(*T, bool) (*T, error) { return &value, nil }, onlyNew)
}

// Change changes a record, or fails with ErrNotFound. If somebody else changes
// it meanwhile, change is called again with the new one. An error of change ends
// the matter and is returned as it is.
func (t *Table[T]) Change(ctx context.Context, key string, change func(*T) error) error {
	return t.write(ctx, key, func(v *T, _ bool) (*T, error) { return v, change(v) }, onlyOld)
}

// Put is Change, but one that is not there is made from the zero T.
func (t *Table[T]) Put(ctx context.Context, key string, change func(*T) error) error {
	return t.write(ctx, key, func(v *T, _ bool) (*T, error) { return v, change(v) }, either)
}

// Remove removes a record. That it is not there is no error.
func (t *Table[T]) Remove(ctx context.Context, key string) error {
	err := t.write(ctx, key, func(*T, bool) (*T, error) { return nil, nil }, onlyOld)
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

type mode int

const (
	either mode = iota
	onlyNew
	onlyOld
)

// write reads the record from the broker, has edit make the next one and writes
// it if it is still the one that was read. nil from edit removes it.
func (t *Table[T]) write(ctx context.Context, key string, edit func(*T, bool) (*T, error), m mode) error {
	if err := checkKey(key); err != nil {
		return err
	}
	full := t.kind + "." + key
	for i := range attempts {
		revision, err := t.writeOnce(ctx, full, edit, m)
		if err == nil {
			t.registry.await(ctx, revision)
			return nil
		}
		if !errors.Is(err, errConflict) {
			return err
		}
		// A copy that is behind may answer a read, so more of them need more time.
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(rand.N(time.Duration(i+1) * 5 * time.Millisecond)):
		}
	}
	return fmt.Errorf("%s: %w", full, ErrBusy)
}

func (t *Table[T]) writeOnce(ctx context.Context, full string, edit func(*T, bool) (*T, error), m mode) (uint64, error) {
	raw, revision, err := t.registry.read(ctx, full)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", full, err)
	}
	exists := raw != nil
	switch {
	case exists && m == onlyNew:
		return 0, fmt.Errorf("%s: %w", full, ErrExists)
	case !exists && m == onlyOld:
		return 0, fmt.Errorf("%s: %w", full, ErrNotFound)
	}
	value := new(T)
	if exists {
		if err := json.Unmarshal(raw, value); err != nil {
			return 0, fmt.Errorf("read %s: %w", full, err)
		}
	}
	next, err := edit(value, exists)
	if err != nil {
		return 0, err
	}
	if next == nil {
		return t.registry.remove(ctx, full, revision)
	}
	text, err := json.Marshal(next)
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", full, err)
	}
	if len(text) > MaxRecordBytes {
		return 0, fmt.Errorf("write %s: got %d bytes, want at most %d", full, len(text), MaxRecordBytes)
	}
	return t.registry.put(ctx, full, text, revision, lifetime(next))
}

// lifetime is how long the broker keeps a record, 0 for ever. It takes whole
// seconds and makes less than two of them two.
func lifetime(value any) time.Duration {
	e, ok := value.(ending)
	if !ok || e.Ends().IsZero() {
		return 0
	}
	return max(time.Second, time.Until(e.Ends()).Round(time.Second))
}

func subjectOf(full string) string { return "$KV." + bucket + "." + full }

// read asks the broker for a record; nil if it is not there. revision is that of
// what stands in its place, 0 for nothing.
func (r *Registry) read(ctx context.Context, full string) (value []byte, revision uint64, err error) {
	stream, err := bound(ctx, callWait, func(ctx context.Context) (jetstream.Stream, error) { return r.js.Stream(ctx, "KV_"+bucket) })
	if err != nil {
		return nil, 0, err
	}
	m, err := bound(ctx, callWait, func(ctx context.Context) (*jetstream.RawStreamMsg, error) {
		return stream.GetLastMsgForSubject(ctx, subjectOf(full))
	})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	if m.Header.Get(headerOp) != "" || m.Header.Get(jetstream.MarkerReasonHeader) != "" {
		return nil, m.Sequence, nil
	}
	if m.Data == nil {
		m.Data = []byte{}
	}
	return m.Data, m.Sequence, nil
}

func (r *Registry) put(ctx context.Context, full string, value []byte, last uint64, ttl time.Duration) (uint64, error) {
	m := nats.NewMsg(subjectOf(full))
	m.Data = value
	var opts []jetstream.PublishOpt
	if ttl > 0 {
		opts = append(opts, jetstream.WithMsgTTL(ttl))
	}
	return r.publish(ctx, m, last, opts...)
}

func (r *Registry) remove(ctx context.Context, full string, last uint64) (uint64, error) {
	m := nats.NewMsg(subjectOf(full))
	m.Header.Set(headerOp, "DEL")
	return r.publish(ctx, m, last)
}

// publish writes if the last revision is still the last.
func (r *Registry) publish(ctx context.Context, m *nats.Msg, last uint64, opts ...jetstream.PublishOpt) (uint64, error) {
	opts = append(opts, jetstream.WithExpectLastSequencePerSubject(last))
	ack, err := bound(ctx, callWait, func(ctx context.Context) (*jetstream.PubAck, error) { return r.js.PublishMsg(ctx, m, opts...) })
	if isConflict(err) {
		return 0, errConflict
	}
	if err != nil {
		return 0, fmt.Errorf("write %s: %w", m.Subject, err)
	}
	return ack.Sequence, nil
}

// isConflict tells whether somebody else has written the record. A replicated
// stream says it with another code while the other write is on its way.
func isConflict(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// await returns when the memory has come to revision, or after a while: the
// write is good either way, this node only does not see it yet.
func (r *Registry) await(ctx context.Context, revision uint64) {
	limit := time.NewTimer(seenWait)
	defer limit.Stop()
	for {
		r.mu.RLock()
		seen, newer := r.seen >= revision, r.newer
		r.mu.RUnlock()
		if seen {
			return
		}
		select {
		case <-newer:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
