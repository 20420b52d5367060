package registry

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"signalbox/internal/order"
	"signalbox/sync/wire"
)

// Bounds of what goes down to boxes.
const (
	maxPolicyBytes = 16 << 10
	maxArgsBytes   = 4 << 10
	maxResultText  = 1 << 10
	maxPending     = 32
	maxCommandLife = 7 * 24 * time.Hour
	maxCommandID   = 64
)

// SetSitePolicy says what is desired of every box of a site. nil: nothing.
func (r *Registry) SetSitePolicy(ctx context.Context, tenant, site string, doc json.RawMessage, by string) error {
	if !r.HasSite(tenant, site) {
		return fmt.Errorf("site %s: %w", siteKey(tenant, site), ErrNotFound)
	}
	return r.setPolicy(ctx, siteKey(tenant, site), doc, by)
}

// SetBoxPolicy says what is desired of one box beyond that. nil: nothing.
func (r *Registry) SetBoxPolicy(ctx context.Context, box wire.BoxID, doc json.RawMessage, by string) error {
	if _, ok := r.Box(box); !ok {
		return fmt.Errorf("box %s: %w", box, ErrNotFound)
	}
	return r.setPolicy(ctx, box.String(), doc, by)
}

func (r *Registry) setPolicy(ctx context.Context, key string, doc json.RawMessage, by string) error {
	if err := checkPolicy(doc); err != nil {
		return err
	}
	return r.Policies.Put(ctx, key, func(p *Policy) error {
		now := time.Now().UTC()
		*p = Policy{Revision: max(p.Revision+1, uint64(now.UnixMilli())), Doc: doc, By: by, At: now}
		return nil
	})
}

// checkPolicy refuses what no box of this version would take.
func checkPolicy(doc json.RawMessage) error {
	if doc == nil {
		return nil
	}
	if len(doc) > maxPolicyBytes {
		return fmt.Errorf("policy: got %d bytes, want at most %d", len(doc), maxPolicyBytes)
	}
	d := json.NewDecoder(bytes.NewReader(doc))
	d.DisallowUnknownFields()
	var known wire.PolicyDoc
	if err := d.Decode(&known); err != nil {
		return fmt.Errorf("policy: %w", err)
	}
	if known.FrameEvery != 0 && (known.FrameEvery < 60 || known.FrameEvery > 300) {
		return fmt.Errorf("policy: frame_every: got %d, want 60 to 300 seconds", known.FrameEvery)
	}
	if known.Level != "" && !slices.Contains([]string{"minimal", "default", "named"}, known.Level) {
		return fmt.Errorf("policy: level: got %.40q, want minimal, default or named", known.Level)
	}
	if known.LogLevel != "" && !slices.Contains([]string{"debug", "info", "warn", "error"}, known.LogLevel) {
		return fmt.Errorf("policy: log_level: got %.40q, want debug, info, warn or error", known.LogLevel)
	}
	return nil
}

// PolicyFor is what is desired of a box, whole. Its revision is the sum of those
// of its parts, so that it grows when either changes; 0 if neither was ever set.
func (r *Registry) PolicyFor(box wire.BoxID) wire.Policy {
	site, _ := r.Policies.Get(siteKey(box.Tenant, box.Site))
	own, _ := r.Policies.Get(box.String())
	return wire.Policy{Revision: site.Revision + own.Revision, Site: site.Doc, Box: own.Doc}
}

// Order asks a box to do something within a time.
func (r *Registry) Order(ctx context.Context, box wire.BoxID, name string, args json.RawMessage, within time.Duration, by string) (Command, error) {
	switch {
	case !r.MayConnect(box):
		return Command{}, fmt.Errorf("box %s: %w", box, ErrNotFound)
	case !slices.Contains(wire.CommandNames, name):
		return Command{}, fmt.Errorf("command: got %.80q, want one of %v", name, wire.CommandNames)
	case len(args) > maxArgsBytes || args != nil && !json.Valid(args):
		return Command{}, fmt.Errorf("arguments: got %d bytes, want JSON of at most %d", len(args), maxArgsBytes)
	case within < time.Second || within > maxCommandLife:
		return Command{}, fmt.Errorf("time for it: got %v, want 1s to %v", within, maxCommandLife)
	case len(r.Pending(box)) >= maxPending:
		return Command{}, fmt.Errorf("box %s: %d commands wait already; let some expire", box, maxPending)
	}
	now := time.Now().UTC()
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	c := Command{wire.Command{ID: hex.EncodeToString(id[:]), Name: name, Args: args, Expires: now.Add(within)}, by, now}
	return c, r.Commands.Add(ctx, box.String()+"."+c.ID, c)
}

// Pending are the commands that a box is still to carry out, oldest first: not
// expired and without a result.
func (r *Registry) Pending(box wire.BoxID) []wire.Command {
	now := time.Now()
	entries := r.Commands.Under(box.String())
	order.By(entries, func(a, b Entry[Command]) int { return a.Value.Made.Compare(b.Value.Made) })
	var out []wire.Command
	for _, e := range entries {
		if _, done := r.Results.Get(e.Key); !done && now.Before(e.Value.Expires) {
			out = append(out, e.Value.Command)
		}
	}
	return out
}

// Finish keeps the outcome of a command. The first one stays. ErrNotFound is
// returned for a command that nobody gave: what boxes say is not believed to be
// a name.
func (r *Registry) Finish(ctx context.Context, box wire.BoxID, id string, ok bool, text string, at time.Time) error {
	key := box.String() + "." + id
	if _, given := r.Commands.Get(key); !given || len(id) > maxCommandID {
		return fmt.Errorf("command %.80q of %s: %w", id, box, ErrNotFound)
	}
	if _, done := r.Results.Get(key); done {
		return nil
	}
	text = text[:min(len(text), maxResultText)]
	err := r.Results.Add(ctx, key, Result{OK: ok, Text: text, At: at.UTC(), Kept: time.Now().UTC()})
	if errors.Is(err, ErrExists) {
		return nil
	}
	return err
}
