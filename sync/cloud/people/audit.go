package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Entry is one line of the audit log: who did what to what.
type Entry struct {
	Seq     uint64    `json:"seq"`
	At      time.Time `json:"at"`
	By      string    `json:"by"`
	Action  string    `json:"action"` // sign-in, person-role, site-added, box-revoked, …
	Target  string    `json:"target,omitempty"`
	Detail  string    `json:"detail,omitempty"`
	From    string    `json:"from,omitempty"`    // the address it came from
	Outcome string    `json:"outcome,omitempty"` // empty: done; else why not
}

// Audit is the log, a stream of the broker. Safe for concurrent use.
type Audit struct {
	js      jetstream.JetStream
	stream  string
	subject string
}

// NewAudit writes to and reads from the given stream, which takes subject.
func NewAudit(js jetstream.JetStream, stream, subject string) *Audit {
	return &Audit{js: js, stream: stream, subject: subject}
}

type fromKey struct{}

// From carries the address that a change comes from to where it is logged.
func From(ctx context.Context, source string) context.Context {
	return context.WithValue(ctx, fromKey{}, source)
}

// Write appends e; At is set when it is zero, and From to that of ctx. What is not in the log has not
// been done: callers report the error.
func (a *Audit) Write(ctx context.Context, e Entry) error {
	if e.At.IsZero() {
		e.At = time.Now().UTC()
	}
	if source, ok := ctx.Value(fromKey{}).(string); ok && e.From == "" {
		e.From = source
	}
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if _, err := a.js.Publish(ctx, a.subject, data); err != nil {
		return fmt.Errorf("write audit log: %w", err)
	}
	return nil
}

// MaxEntries bounds what List gives at once.
const MaxEntries = 500

// List gives up to limit entries, the newest first, that are older than the
// sequence number before; 0 begins with the newest.
func (a *Audit) List(ctx context.Context, before uint64, limit int) ([]Entry, error) {
	stream, err := a.js.Stream(ctx, a.stream)
	if err != nil {
		return nil, fmt.Errorf("read audit log: %w", err)
	}
	state := stream.CachedInfo().State
	if before == 0 || before > state.LastSeq {
		before = state.LastSeq + 1
	}
	entries := []Entry{}
	for seq := before - 1; seq >= max(state.FirstSeq, 1) && len(entries) < min(limit, MaxEntries); seq-- {
		msg, err := stream.GetMsg(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read audit log at %d: %w", seq, err)
		}
		var e Entry
		if json.Unmarshal(msg.Data, &e) != nil {
			continue // a later version's, or not ours
		}
		e.Seq = seq
		entries = append(entries, e)
	}
	return entries, nil
}
