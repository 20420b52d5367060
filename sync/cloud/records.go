package cloud

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/identity"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/wire"
)

// records is the registry as the dashboard sees it, of one tenant.
type records struct {
	*registry.Registry
	tenant string
}

// dashboardError says in the dashboard's terms what the registry has against a
// change.
func dashboardError(err error) error {
	for _, pair := range [][2]error{
		{registry.ErrNotFound, dashboard.ErrNotFound}, {registry.ErrExists, dashboard.ErrExists}, {registry.ErrBusy, dashboard.ErrConflict},
	} {
		if errors.Is(err, pair[0]) {
			return errors.Join(pair[1], err)
		}
	}
	return err
}

func (r records) Sites() []dashboard.Site {
	var sites []dashboard.Site
	for _, e := range r.Registry.Sites.All() {
		if e.Value.Tenant == r.tenant {
			sites = append(sites, siteOf(e.Value))
		}
	}
	return sites
}

func (r records) Site(name string) (dashboard.Site, bool) {
	s, ok := r.Registry.Site(r.tenant, name)
	return siteOf(s), ok
}

func siteOf(s registry.Site) dashboard.Site {
	return dashboard.Site{Name: s.Name, Title: s.Title, Created: s.Created}
}

func (r records) Members(site string) []dashboard.Member {
	ids := r.BoxesOf(r.tenant, site)
	members := make([]dashboard.Member, 0, len(ids))
	for _, id := range ids {
		b, ok := r.Box(id)
		if !ok {
			continue
		}
		m := dashboard.Member{
			ID: id, Name: b.Name, Version: b.Version, Joined: b.Joined, CertificateEnd: b.CertEnd, Revoked: b.Revoked, RevokedBy: b.RevokedBy,
			Wanted: r.PolicyFor(id).Revision,
		}
		for _, key := range []string{r.tenant + "." + site, id.String()} {
			if p, ok := r.Policies.Get(key); ok && p.At.After(m.WantedSince) {
				m.WantedSince = p.At
			}
		}
		members = append(members, m)
	}
	return members
}

func (r records) AddSite(ctx context.Context, s dashboard.Site) error {
	return dashboardError(r.Registry.AddSite(ctx, registry.Site{Tenant: r.tenant, Name: s.Name, Title: s.Title}))
}

func (r records) SetTitle(ctx context.Context, site, title string) error {
	return dashboardError(r.Registry.Sites.Change(ctx, r.tenant+"."+site, func(s *registry.Site) error {
		s.Title = title
		return nil
	}))
}

func (r records) RemoveSite(ctx context.Context, site string) error {
	return dashboardError(r.Registry.RemoveSite(ctx, r.tenant, site, "dashboard"))
}

func (r records) Policy(site string) dashboard.PolicyView {
	view := dashboard.PolicyView{Boxes: map[string]wire.PolicyDoc{}}
	if p, ok := r.Policies.Get(r.tenant + "." + site); ok && p.Doc != nil {
		view.Site = new(wire.PolicyDoc)
		if json.Unmarshal(p.Doc, view.Site) != nil {
			view.Site = nil // of a later version
		}
	}
	for _, id := range r.BoxesOf(r.tenant, site) {
		p, ok := r.Policies.Get(id.String())
		var doc wire.PolicyDoc
		if ok && p.Doc != nil && json.Unmarshal(p.Doc, &doc) == nil {
			view.Boxes[id.Box] = doc
		}
	}
	return view
}

func (r records) SetPolicy(ctx context.Context, site, box string, doc json.RawMessage) error {
	if box == "" {
		return dashboardError(r.SetSitePolicy(ctx, r.tenant, site, doc, "dashboard"))
	}
	return dashboardError(r.SetBoxPolicy(ctx, wire.BoxID{Tenant: r.tenant, Site: site, Box: box}, doc, "dashboard"))
}

func (r records) AddCommand(ctx context.Context, box wire.BoxID, c wire.Command, by string) error {
	return dashboardError(r.Registry.Commands.Add(ctx, box.String()+"."+c.ID, registry.Command{Command: c, By: by, Made: time.Now().UTC()}))
}

func (r records) Commands(site string) []dashboard.CommandView {
	var views []dashboard.CommandView
	for _, id := range r.BoxesOf(r.tenant, site) {
		for _, e := range r.Registry.Commands.Under(id.String()) {
			v := dashboard.CommandView{
				ID: e.Value.ID, Box: id.Box, Name: e.Value.Name, By: e.Value.By, At: e.Value.Made, Expires: e.Value.Expires, State: "waiting",
			}
			result, done := r.Results.Get(e.Key)
			switch {
			case done && result.OK:
				v.State, v.Text = "done", result.Text
			case done:
				v.State, v.Text = "failed", result.Text
			case time.Now().After(v.Expires):
				v.State = "expired"
			}
			views = append(views, v)
		}
	}
	slices.SortFunc(views, func(a, b dashboard.CommandView) int { return b.At.Compare(a.At) })
	return views
}

func (r records) Watch(tell func(site string)) (stop func()) {
	changes := r.Changes()
	ended := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		for {
			select {
			case <-changes.Ready():
			case <-ended:
				return
			}
			for _, c := range changes.Take() {
				tell(r.siteOfChange(c))
			}
		}
	})
	return sync.OnceFunc(func() {
		close(ended)
		running.Wait()
		changes.Close()
	})
}

// siteOfChange is the site that a record belongs to, "" when it may be any.
func (r records) siteOfChange(c registry.Change) string {
	switch c.Kind {
	case registry.KindSite, registry.KindBox, registry.KindPolicy, registry.KindCommand, registry.KindResult:
		parts := strings.SplitN(c.Key, ".", 3)
		if len(parts) >= 2 && parts[0] == r.tenant {
			return parts[1]
		}
	}
	return ""
}

// admission lets boxes in and out for the dashboard.
type admission struct {
	registrar *identity.Registrar
	authority *identity.Authority
	tenant    string
}

// joinTTL is how long the command that joins a box is good.
const joinTTL = 24 * time.Hour

func (a admission) NewToken(ctx context.Context, site, url, by string) (command string, expires time.Time, err error) {
	made, token, err := a.registrar.NewToken(ctx, identity.TokenOptions{Tenant: a.tenant, Site: site, Uses: 1, TTL: joinTTL, By: by})
	if err != nil {
		return "", time.Time{}, dashboardError(err)
	}
	return a.authority.JoinCommand(url, made), token.Expires, nil
}

func (a admission) Revoke(ctx context.Context, box wire.BoxID, by string) error {
	return dashboardError(a.registrar.Revoke(ctx, box, by))
}
