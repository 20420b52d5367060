package registry

import (
	"context"
	"fmt"
	"strings"
	"time"

	"signalbox/sync/wire"
)

// maxTitle bounds what people call a site.
const maxTitle = 200

func siteKey(tenant, site string) string { return tenant + "." + site }

// AddSite makes a site. Errors: ErrExists, or what is wrong with a name.
func (r *Registry) AddSite(ctx context.Context, s Site) error {
	for what, name := range map[string]string{"tenant": s.Tenant, "site": s.Name} {
		if err := wire.CheckName(name); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if len(s.Title) > maxTitle {
		return fmt.Errorf("title: got %d bytes, want at most %d", len(s.Title), maxTitle)
	}
	s.Created = time.Now().UTC()
	return r.Sites.Add(ctx, siteKey(s.Tenant, s.Name), s)
}

// Site returns a site.
func (r *Registry) Site(tenant, site string) (Site, bool) { return r.Sites.Get(siteKey(tenant, site)) }

// HasSite tells whether boxes may belong to the site.
func (r *Registry) HasSite(tenant, site string) bool {
	_, ok := r.Site(tenant, site)
	return ok
}

// RemoveSite revokes the boxes of a site, ends its tokens and removes it. The
// boxes' records stay: what they sent is verified with their keys.
func (r *Registry) RemoveSite(ctx context.Context, tenant, site, by string) error {
	if !r.HasSite(tenant, site) {
		return fmt.Errorf("site %s: %w", siteKey(tenant, site), ErrNotFound)
	}
	// First of all nobody can join any more.
	if err := r.Sites.Remove(ctx, siteKey(tenant, site)); err != nil {
		return err
	}
	for _, t := range r.Tokens.All() {
		if t.Value.Tenant == tenant && t.Value.Site == site {
			if err := r.Tokens.Remove(ctx, t.Key); err != nil {
				return err
			}
		}
	}
	for _, b := range r.Boxes.Under(siteKey(tenant, site)) {
		id, err := wire.ParseBoxID(b.Key)
		if err != nil {
			return err
		}
		if err := r.RevokeBox(ctx, id, by); err != nil {
			return err
		}
	}
	return nil
}

// Box returns what is known of a box.
func (r *Registry) Box(id wire.BoxID) (Box, bool) { return r.Boxes.Get(id.String()) }

// ChangeBox changes or makes a box; see Put.
func (r *Registry) ChangeBox(ctx context.Context, id wire.BoxID, change func(*Box) error) error {
	if err := id.Validate(); err != nil {
		return err
	}
	return r.Boxes.Put(ctx, id.String(), change)
}

// BoxesOf are the boxes of a site, revoked ones too.
func (r *Registry) BoxesOf(tenant, site string) []wire.BoxID {
	return ids(r.Boxes.Under(siteKey(tenant, site)))
}

// Places are the ids of every box called so, of whatever site.
func (r *Registry) Places(box string) []wire.BoxID {
	var out []wire.BoxID
	for _, id := range ids(r.Boxes.All()) {
		if id.Box == box {
			out = append(out, id)
		}
	}
	return out
}

func ids(boxes []Entry[Box]) []wire.BoxID {
	out := make([]wire.BoxID, 0, len(boxes))
	for _, b := range boxes {
		if id, err := wire.ParseBoxID(b.Key); err == nil {
			out = append(out, id)
		}
	}
	return out
}

// MayConnect tells whether a box may have a session: it has joined, its site is
// there and nobody has revoked it.
func (r *Registry) MayConnect(id wire.BoxID) bool {
	b, ok := r.Box(id)
	return ok && b.Revoked.IsZero() && r.HasSite(id.Tenant, id.Site)
}

// RevokeBox ends a box for good: its keys, and its sessions on every node as
// soon as the news is there. One that is revoked stays as it is.
func (r *Registry) RevokeBox(ctx context.Context, id wire.BoxID, by string) error {
	return r.Boxes.Change(ctx, id.String(), func(b *Box) error {
		if b.Revoked.IsZero() {
			now := time.Now().UTC()
			b.Revoked, b.RevokedBy = now, by
			b.EndKeys(0, now, KeyRevoked)
		}
		return nil
	})
}

// AddToken keeps a new token.
func (r *Registry) AddToken(ctx context.Context, t Token) error {
	if strings.Contains(t.ID, ".") {
		return fmt.Errorf("token id: got %.80q, want no points", t.ID)
	}
	return r.Tokens.Add(ctx, t.ID, t)
}

// ChangeToken changes a token, or fails with ErrNotFound.
func (r *Registry) ChangeToken(ctx context.Context, id string, change func(*Token) error) error {
	return r.Tokens.Change(ctx, id, change)
}

// Refresh waits until the memory has a box's record as it is in the bucket now:
// what a box sends may be ahead of the news that it has joined.
func (r *Registry) Refresh(ctx context.Context, id wire.BoxID) error {
	_, revision, err := r.read(ctx, KindBox+"."+id.String())
	if err != nil {
		return err
	}
	r.await(ctx, revision)
	return nil
}
