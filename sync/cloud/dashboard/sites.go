package dashboard

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"signalbox/internal/jsonapi"
	"signalbox/internal/order"
	"signalbox/sync/wire"
)

// Bounds of a site's page.
const (
	maxEvents     = 200
	maxRooms      = 500
	maxCommands   = 50
	maxTitleBytes = 200
)

// getOverview gives bytes that are made once for all who ask.
func (d *Dashboard) getOverview(c *call) error {
	s := d.board.current.Load()
	if s == nil {
		return starting()
	}
	body := s.overview()
	header := c.w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method != http.MethodHead {
		_, _ = c.w.Write(body) // the caller is gone when this fails
	}
	return nil
}

// site finds the site of the path on the board.
func (d *Dashboard) site(c *call) (*snapshot, *entry, error) {
	name := c.r.PathValue("site")
	s := d.board.current.Load()
	if s == nil {
		return nil, nil, starting()
	}
	if e, ok := s.sites[name]; ok {
		return s, e, nil
	}
	if site, ok := d.cfg.Registry.Site(name); ok { // made a moment ago
		return s, &entry{row: SiteRow{Site: site.Name, Title: site.Title, Health: Waiting, Why: []Reason{}, Boxes: []BoxRow{}}, created: site.Created}, nil
	}
	return nil, nil, siteNotFound(name)
}

// member finds the box of the path in the registry.
func (d *Dashboard) member(c *call) (Member, error) {
	site, box := c.r.PathValue("site"), c.r.PathValue("box")
	if _, ok := d.cfg.Registry.Site(site); !ok {
		return Member{}, siteNotFound(site)
	}
	members := d.cfg.Registry.Members(site)
	if i := slices.IndexFunc(members, func(m Member) bool { return m.ID.Box == box }); i >= 0 {
		return members[i], nil
	}
	return Member{}, boxNotFound(site, box)
}

func (d *Dashboard) getSite(c *call) (SitePage, error) {
	s, e, err := d.site(c)
	if err != nil {
		return SitePage{}, err
	}
	page := SitePage{
		Now: time.Now().UTC().Truncate(time.Millisecond), Seq: s.seq, Row: e.row, Created: e.created,
		Policy: d.cfg.Registry.Policy(e.row.Site), Rooms: []RoomRow{}, Commands: d.cfg.Registry.Commands(e.row.Site),
	}
	sums := make(map[wire.MetricID]uint64, len(e.counters))
	for _, c := range e.counters {
		sums[c.ID] = c.Value
	}
	page.Totals = named(sums)
	ids := e.ids()
	if page.Events, err = d.cfg.History.Events(ids, maxEvents); err != nil {
		return SitePage{}, err
	}
	page.Events = d.withMembers(page.Events, e.members)
	for _, id := range ids {
		rooms, err := d.cfg.History.Rooms(id)
		if err != nil {
			return SitePage{}, err
		}
		page.Rooms = append(page.Rooms, rooms[:min(len(rooms), maxRooms-len(page.Rooms))]...)
	}
	if page.Commands == nil {
		page.Commands = []CommandView{}
	}
	page.Commands = page.Commands[:min(len(page.Commands), maxCommands)]
	return page, nil
}

// withMembers adds what the cloud has seen to what the boxes have told.
func (d *Dashboard) withMembers(events []Event, members []Member) []Event {
	all := append([]Event{}, events...)
	for _, m := range members {
		if !m.Joined.IsZero() {
			all = append(all, Event{At: m.Joined, Box: m.ID.Box, Kind: EventJoined, Raised: true, Text: "Box " + m.ID.Box + " joined."})
		}
		if !m.Revoked.IsZero() {
			all = append(all, Event{At: m.Revoked, Box: m.ID.Box, Kind: EventRevoked, Raised: true, Text: "Box " + m.ID.Box + " was revoked by " + m.RevokedBy + "."})
		}
		g, _ := d.board.goings.get(m.ID.String())
		for i := range slices.Backward(g.Past) {
			all = append(all, g.Past[i].event(m.ID.Box))
		}
	}
	order.StableBy(all, func(a, b Event) int { return b.At.Compare(a.At) })
	return all[:min(len(all), maxEvents)]
}

func (d *Dashboard) addSite(c *call, in *NewSite) (SiteMade, error) {
	if err := wire.CheckName(in.Site); err != nil {
		return SiteMade{}, jsonapi.Wrong("site", "site: %v", err)
	}
	if err := checkTitle(in.Title); err != nil {
		return SiteMade{}, err
	}
	ctx, cancel := c.change()
	defer cancel()
	err := d.cfg.Registry.AddSite(ctx, in.Site, in.Title, c.who.Name)
	if errors.Is(err, ErrExists) {
		return SiteMade{}, jsonapi.Refuse(http.StatusConflict, "taken", "there is a site %q already; open it to add a box, or choose another name", in.Site)
	}
	if err != nil {
		return SiteMade{}, err
	}
	if err := d.note(ctx, c, "site-added", in.Site, in.Title); err != nil {
		return SiteMade{}, err
	}
	return d.newToken(ctx, c, in.Site, in.Title)
}

func (d *Dashboard) addToken(c *call, _ *NewToken) (SiteMade, error) {
	site, ok := d.cfg.Registry.Site(c.r.PathValue("site"))
	if !ok {
		return SiteMade{}, siteNotFound(c.r.PathValue("site"))
	}
	ctx, cancel := c.change()
	defer cancel()
	return d.newToken(ctx, c, site.Name, site.Title)
}

func (d *Dashboard) newToken(ctx context.Context, c *call, site, title string) (SiteMade, error) {
	url := d.url(c)
	if url == "" {
		return SiteMade{}, jsonapi.Refuse(http.StatusConflict, "no_url", "the cloud does not know where boxes reach it; set url in its configuration")
	}
	command, expires, err := d.cfg.Identity.NewToken(ctx, site, url, c.who.Name)
	if err != nil {
		return SiteMade{}, err
	}
	made := SiteMade{Site: site, Title: title, Command: command, Expires: expires.UTC().Truncate(time.Second)}
	return made, d.note(ctx, c, "token-made", site, "")
}

func (d *Dashboard) patchSite(c *call, in *SitePatch) error {
	site := c.r.PathValue("site")
	if _, ok := d.cfg.Registry.Site(site); !ok {
		return siteNotFound(site)
	}
	if err := checkTitle(in.Title); err != nil {
		return err
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.cfg.Registry.SetTitle(ctx, site, in.Title); err != nil {
		return err
	}
	return d.note(ctx, c, "site-title", site, in.Title)
}

func (d *Dashboard) removeSite(c *call) error {
	site := c.r.PathValue("site")
	if _, ok := d.cfg.Registry.Site(site); !ok {
		return siteNotFound(site)
	}
	var cut []string
	for _, m := range d.cfg.Registry.Members(site) {
		if m.Revoked.IsZero() {
			cut = append(cut, m.ID.Box)
		}
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.cfg.Registry.RemoveSite(ctx, site, c.who.Name); err != nil {
		return err
	}
	for _, box := range cut {
		if err := d.note(ctx, c, "box-revoked", site+"/"+box, "with its site"); err != nil {
			return err
		}
	}
	return d.note(ctx, c, "site-removed", site, "")
}

func (d *Dashboard) revokeBox(c *call, _ *NewToken) error {
	m, err := d.member(c)
	if err != nil {
		return err
	}
	if !m.Revoked.IsZero() {
		return nil
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.cfg.Identity.Revoke(ctx, m.ID, c.who.Name); err != nil {
		return err
	}
	return d.note(ctx, c, "box-revoked", m.ID.Site+"/"+m.ID.Box, "")
}

// checkTitle refuses what could not be shown.
func checkTitle(title string) error {
	for _, r := range title {
		if !unicode.IsGraphic(r) || r == utf8.RuneError {
			return jsonapi.Wrong("title", "title: got %.80q, want printable text", title)
		}
	}
	if len(title) > maxTitleBytes {
		return jsonapi.Wrong("title", "title: got %d bytes, want at most %d", len(title), maxTitleBytes)
	}
	return nil
}
