package dashboard_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/wire"
)

// town is the parts behind the dashboard, in memory and shared by the nodes of
// a test: what projection, registry, identity and gateway are in a cloud.
type town struct {
	mu       sync.Mutex
	seq      uint64
	stale    bool
	facts    map[wire.BoxID]*dashboard.Facts
	sites    map[string]dashboard.Site
	members  map[wire.BoxID]dashboard.Member
	policies map[string]dashboard.PolicyView
	commands []dashboard.CommandView
	online   map[wire.BoxID]bool
	tried    map[wire.BoxID]time.Time
	points   map[wire.MetricID][]dashboard.Value
	hours    map[wire.MetricID][]dashboard.Value
	feeds    map[*feed]bool
	watches  map[int]func(string)
	nextID   int
	revision uint64
	visitors int // devices beside those that each box has
}

func newTown() *town {
	return &town{
		facts: map[wire.BoxID]*dashboard.Facts{}, sites: map[string]dashboard.Site{}, members: map[wire.BoxID]dashboard.Member{},
		policies: map[string]dashboard.PolicyView{}, online: map[wire.BoxID]bool{}, tried: map[wire.BoxID]time.Time{},
		points: map[wire.MetricID][]dashboard.Value{}, hours: map[wire.MetricID][]dashboard.Value{},
		feeds: map[*feed]bool{}, watches: map[int]func(string){},
	}
}

func boxID(site, box string) wire.BoxID { return wire.BoxID{Tenant: "main", Site: site, Box: box} }

// addBox makes a site, if there is none, and a box of it that is well.
func (t *town) addBox(site, box string) wire.BoxID {
	id, now := boxID(site, box), time.Now().UTC()
	t.mu.Lock()
	if _, ok := t.sites[site]; !ok {
		t.sites[site] = dashboard.Site{Name: site, Title: "Plant " + site, Created: now.Add(-time.Hour)}
	}
	t.members[id] = dashboard.Member{ID: id, Joined: now.Add(-time.Hour), CertificateEnd: now.Add(6 * 24 * time.Hour)}
	t.online[id] = true
	t.mu.Unlock()
	t.tell(healthy(id, now))
	t.changed(site)
	return id
}

func healthy(id wire.BoxID, now time.Time) *dashboard.Facts {
	return &dashboard.Facts{
		ID: id, Heard: now, Dated: now, Version: "1.2.0", Arch: "linux/arm64", Level: "default", Link: "websocket",
		Started: now.Add(-time.Hour), Backup: now.Add(-time.Hour),
		Gauges: []dashboard.Metered{
			{ID: wire.SessionsOnline, Value: 12},
			{ID: wire.RoomsOpen, Value: 3},
			{ID: wire.RoomsMembers, Value: 7},
			{ID: wire.RelayBits, Value: 800_000},
			{ID: wire.BoxDiskFreeBytes, Value: 50e9},
			{ID: wire.BoxDiskTotalBytes, Value: 100e9},
		},
		Totals: []dashboard.Counted{{ID: wire.SessionsOpened, Value: 100}, {ID: wire.RelayBytesToPeers, Value: 1 << 40}},
		Strip:  func(time.Time) string { return strings.Repeat("g", 288) },
	}
}

// tell is a new frame of a box.
func (t *town) tell(f *dashboard.Facts) {
	t.mu.Lock()
	t.seq++
	t.facts[f.ID] = f
	feeds := make([]*feed, 0, len(t.feeds))
	for f := range t.feeds {
		feeds = append(feeds, f)
	}
	t.mu.Unlock()
	for _, feed := range feeds {
		feed.push(f.ID)
	}
}

func (t *town) changed(site string) {
	t.mu.Lock()
	watches := make([]func(string), 0, len(t.watches))
	for _, w := range t.watches {
		watches = append(watches, w)
	}
	t.mu.Unlock()
	for _, w := range watches {
		w(site)
	}
}

func (t *town) Position() (uint64, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.seq, !t.stale
}

func (t *town) Box(id wire.BoxID) *dashboard.Facts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.facts[id]
}

type feed struct {
	town  *town
	ready chan struct{}
	mu    sync.Mutex
	ids   []wire.BoxID
}

func (f *feed) push(id wire.BoxID) {
	f.mu.Lock()
	f.ids = append(f.ids, id)
	f.mu.Unlock()
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

func (f *feed) Next(ctx context.Context) ([]wire.BoxID, bool, error) {
	select {
	case <-f.ready:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ids := f.ids
	f.ids = nil
	return ids, false, nil
}

func (f *feed) Close() {
	f.town.mu.Lock()
	defer f.town.mu.Unlock()
	delete(f.town.feeds, f)
}

func (t *town) watchFleet() dashboard.Feed {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := &feed{town: t, ready: make(chan struct{}, 1)}
	t.feeds[f] = true
	return f
}

// fleet and registry both have a Watch.
type fleet struct{ *town }

func (f fleet) Watch() dashboard.Feed { return f.watchFleet() }

func (t *town) Watch(tell func(string)) func() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.nextID++
	id := t.nextID
	t.watches[id] = tell
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.watches, id)
	}
}

func (t *town) Points(_ wire.BoxID, metric wire.MetricID, from, to time.Time) ([]dashboard.Value, error) {
	return within(t, t.points, metric, from, to), nil
}

func (t *town) Hours(_ wire.BoxID, metric wire.MetricID, from, to time.Time) ([]dashboard.Value, error) {
	return within(t, t.hours, metric, from, to), nil
}

func within(t *town, all map[wire.MetricID][]dashboard.Value, metric wire.MetricID, from, to time.Time) (values []dashboard.Value) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range all[metric] {
		if !v.Start.Before(from) && v.Start.Before(to) {
			values = append(values, v)
		}
	}
	return values
}

func (t *town) Distribution([]wire.BoxID, wire.MetricID, time.Time, time.Time) (dashboard.Quality, error) {
	return dashboard.Quality{Count: 10, P50: 12.5, P90: 40, P99: 90}, nil
}

func (t *town) Devices(ids []wire.BoxID, _, _ time.Time) (uint64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return uint64(20*len(ids) + t.visitors), nil
}

func (t *town) Events(ids []wire.BoxID, n int) ([]dashboard.Event, error) {
	events := []dashboard.Event{}
	for _, id := range ids {
		events = append(events, dashboard.Event{At: time.Now().UTC().Add(-time.Minute), Box: id.Box, Kind: "disk", Raised: true, Text: "The box's disk is nearly full."})
	}
	return events[:min(n, len(events))], nil
}

func (t *town) Rooms(id wire.BoxID) ([]dashboard.RoomRow, error) {
	return []dashboard.RoomRow{{Box: id.Box, ID: "r-1", Members: 2, Created: time.Now().UTC()}}, nil
}

func (t *town) Sites() (all []dashboard.Site) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.sites {
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b dashboard.Site) int { return strings.Compare(a.Name, b.Name) })
	return all
}

func (t *town) Site(name string) (dashboard.Site, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.sites[name]
	return s, ok
}

func (t *town) Members(site string) (all []dashboard.Member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, m := range t.members {
		if id.Site == site {
			all = append(all, m)
		}
	}
	return all
}

func (t *town) change(site string, f func() error) error {
	t.mu.Lock()
	err := f()
	t.mu.Unlock()
	t.changed(site)
	return err
}

func (t *town) AddSite(_ context.Context, site, title, _ string) error {
	return t.change(site, func() error {
		if _, ok := t.sites[site]; ok {
			return fmt.Errorf("%w: %s", dashboard.ErrExists, site)
		}
		t.sites[site] = dashboard.Site{Name: site, Title: title, Created: time.Now().UTC()}
		return nil
	})
}

func (t *town) SetTitle(_ context.Context, site, title string) error {
	return t.change(site, func() error {
		s := t.sites[site]
		s.Title = title
		t.sites[site] = s
		return nil
	})
}

func (t *town) RemoveSite(_ context.Context, site, by string) error {
	return t.change(site, func() error {
		delete(t.sites, site)
		for id, m := range t.members {
			if id.Site == site {
				m.Revoked, m.RevokedBy = time.Now().UTC(), by
				t.members[id] = m
			}
		}
		return nil
	})
}

func (t *town) Policy(site string) dashboard.PolicyView {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.policies[site]
}

func (t *town) SetPolicy(_ context.Context, site, box string, raw json.RawMessage, _ string) error {
	return t.change(site, func() error {
		var doc wire.PolicyDoc
		if err := json.Unmarshal(raw, &doc); err != nil {
			return err
		}
		view := t.policies[site]
		if box == "" {
			view.Site = &doc
		} else {
			view.Boxes = map[string]wire.PolicyDoc{box: doc}
		}
		t.policies[site] = view
		t.revision++
		for id, m := range t.members {
			if id.Site == site && (box == "" || id.Box == box) {
				m.Wanted, m.WantedSince = t.revision, time.Now()
				t.members[id] = m
			}
		}
		return nil
	})
}

func (t *town) Order(_ context.Context, box wire.BoxID, name string, args json.RawMessage, within time.Duration, by string) (c wire.Command, err error) {
	err = t.change(box.Site, func() error {
		c = wire.Command{ID: fmt.Sprintf("c%d", len(t.commands)+1), Name: name, Args: args, Expires: time.Now().Add(within)}
		t.commands = append(t.commands, dashboard.CommandView{ID: c.ID, Box: box.Box, Name: c.Name, By: by, At: time.Now().UTC(), Expires: c.Expires, State: "waiting"})
		return nil
	})
	return c, err
}

func (t *town) Commands(string) []dashboard.CommandView {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.commands)
}

func (t *town) NewToken(_ context.Context, site, url, by string) (string, time.Time, error) {
	return "signalbox join " + url + " --token sbj-" + site + " --ca 00", time.Now().Add(24 * time.Hour), nil
}

func (t *town) Revoke(_ context.Context, box wire.BoxID, by string) error {
	return t.change(box.Site, func() error {
		m := t.members[box]
		m.Revoked, m.RevokedBy = time.Now().UTC(), by
		t.members[box] = m
		t.online[box] = false
		return nil
	})
}

func (t *town) Online(id wire.BoxID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.online[id]
}

func (t *town) Tried(id wire.BoxID) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tried[id]
}
