package dashboard

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"signalbox/internal/order"
	"signalbox/sync/cloud/identity"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/wire"
)

// Registered is the Registry that package registry is, for one tenant.
type Registered struct {
	Registry *registry.Registry
	Tenant   string
}

func siteOf(s registry.Site) Site { return Site{Name: s.Name, Title: s.Title, Created: s.Created} }

// Sites are all, by name.
func (r Registered) Sites() []Site {
	records := r.Registry.Sites.Under(r.Tenant)
	sites := make([]Site, len(records))
	for i, s := range records {
		sites[i] = siteOf(s.Value)
	}
	order.By(sites, func(a, b Site) int { return strings.Compare(a.Name, b.Name) })
	return sites
}

// Site is one of them.
func (r Registered) Site(name string) (Site, bool) {
	s, ok := r.Registry.Site(r.Tenant, name)
	return siteOf(s), ok
}

// Members are the boxes of a site.
func (r Registered) Members(site string) []Member {
	ids := r.Registry.BoxesOf(r.Tenant, site)
	members := make([]Member, 0, len(ids))
	for _, id := range ids {
		b, ok := r.Registry.Box(id)
		if !ok {
			continue
		}
		m := Member{
			ID: id, Name: b.Name, Version: b.Version, Joined: b.Joined, CertificateEnd: b.CertEnd, Revoked: b.Revoked, RevokedBy: b.RevokedBy,
			Wanted: r.Registry.PolicyFor(id).Revision,
		}
		for _, key := range []string{r.Tenant + "." + site, id.String()} {
			if p, ok := r.Registry.Policies.Get(key); ok && p.At.After(m.WantedSince) {
				m.WantedSince = p.At
			}
		}
		members = append(members, m)
	}
	return members
}

// AddSite makes a site.
func (r Registered) AddSite(ctx context.Context, site, title, by string) error {
	return known(r.Registry.AddSite(ctx, registry.Site{Tenant: r.Tenant, Name: site, Title: title, By: by}))
}

// SetTitle changes what people call it.
func (r Registered) SetTitle(ctx context.Context, site, title string) error {
	return known(r.Registry.Sites.Change(ctx, r.Tenant+"."+site, func(s *registry.Site) error {
		s.Title = title
		return nil
	}))
}

// RemoveSite takes a site and its tokens out and revokes its boxes.
func (r Registered) RemoveSite(ctx context.Context, site, by string) error {
	return known(r.Registry.RemoveSite(ctx, r.Tenant, site, by))
}

// Policy gives the documents of a site and of its boxes.
func (r Registered) Policy(site string) PolicyView {
	var view PolicyView
	key := r.Tenant + "." + site
	if p, ok := r.Registry.Policies.Get(key); ok && len(p.Doc) > 0 {
		if doc, _, err := wire.ParsePolicyDoc(p.Doc); err == nil {
			view.Site = doc
		}
	}
	for _, p := range r.Registry.Policies.Under(key) {
		doc, _, err := wire.ParsePolicyDoc(p.Value.Doc)
		if err != nil || len(p.Value.Doc) == 0 {
			continue // a later version's, or nothing
		}
		if view.Boxes == nil {
			view.Boxes = map[string]wire.PolicyDoc{}
		}
		view.Boxes[strings.TrimPrefix(p.Key, key+".")] = *doc
	}
	return view
}

// SetPolicy sets the document of a site, or of one box.
func (r Registered) SetPolicy(ctx context.Context, site, box string, doc json.RawMessage, by string) error {
	if box == "" {
		return known(r.Registry.SetSitePolicy(ctx, r.Tenant, site, doc, by))
	}
	return known(r.Registry.SetBoxPolicy(ctx, wire.BoxID{Tenant: r.Tenant, Site: site, Box: box}, doc, by))
}

// Order asks a box to do something.
func (r Registered) Order(ctx context.Context, box wire.BoxID, name string, args json.RawMessage, within time.Duration, by string) (wire.Command, error) {
	const most = 32 // that wait for a box, as the registry has it
	if n := len(r.Registry.Pending(box)); n >= most {
		return wire.Command{}, fmt.Errorf("%w: %d commands wait for box %s; let some be done or expire", ErrExists, n, box.Box)
	}
	if len(args) == 0 {
		args = nil
	}
	c, err := r.Registry.Order(ctx, box, name, args, within, by)
	return c.Command, known(err)
}

// Commands of a site's boxes with their outcomes, the newest first.
func (r Registered) Commands(site string) []CommandView {
	now := time.Now()
	views := []CommandView{}
	for _, id := range r.Registry.BoxesOf(r.Tenant, site) {
		for _, e := range r.Registry.Commands.Under(id.String()) {
			c := e.Value
			v := CommandView{ID: c.ID, Box: id.Box, Name: c.Name, By: c.By, At: c.Made, Expires: c.Expires, State: "waiting"}
			if result, ok := r.Registry.Results.Get(e.Key); ok {
				v.Text, v.State = result.Text, "failed"
				if result.OK {
					v.State = "done"
				}
			} else if now.After(c.Expires) {
				v.State = "expired"
			}
			views = append(views, v)
		}
	}
	order.By(views, func(a, b CommandView) int { return cmp.Or(b.At.Compare(a.At), strings.Compare(a.ID, b.ID)) })
	return views
}

// Watch tells the site of each change until stop, which waits for the end.
func (r Registered) Watch(tell func(site string)) (stop func()) {
	changes := r.Registry.Changes()
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-over:
				return
			case <-changes.Ready():
			}
			for _, c := range changes.Take() {
				if site, ok := r.siteOf(c); ok {
					tell(site)
				}
			}
		}
	}()
	return func() {
		close(over)
		<-ended
		changes.Close()
	}
}

// siteOf finds the site that a change is of; false when no row shows it.
func (r Registered) siteOf(c registry.Change) (string, bool) {
	switch c.Kind {
	case registry.KindSite, registry.KindBox, registry.KindPolicy:
	default:
		return "", false
	}
	tenant, rest, _ := strings.Cut(c.Key, ".")
	site, _, _ := strings.Cut(rest, ".")
	return site, tenant == r.Tenant
}

// known gives an error of the registry the meaning it has here.
func known(err error) error {
	switch {
	case errors.Is(err, registry.ErrNotFound):
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	case errors.Is(err, registry.ErrExists):
		return fmt.Errorf("%w: %w", ErrExists, err)
	case errors.Is(err, registry.ErrBusy):
		return fmt.Errorf("%w: %w", ErrConflict, err)
	default:
		return err
	}
}

// Identified is the Identity that package identity is.
type Identified struct {
	Registrar *identity.Registrar
	Authority *identity.Authority
	Tenant    string
}

// NewToken gives the command that joins a box.
func (i Identified) NewToken(ctx context.Context, site, url, by string) (command string, expires time.Time, err error) {
	secret, token, err := i.Registrar.NewToken(ctx, identity.TokenOptions{Tenant: i.Tenant, Site: site, By: by})
	if err != nil {
		return "", time.Time{}, known(err)
	}
	return i.Authority.JoinCommand(url, secret), token.Expires, nil
}

// Revoke takes a box out.
func (i Identified) Revoke(ctx context.Context, box wire.BoxID, by string) error {
	err := i.Registrar.Revoke(ctx, box, by)
	if errors.Is(err, identity.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return known(err)
}
