package dashboard_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/wire"
)

func (t *town) setOnline(id wire.BoxID, online bool) {
	t.mu.Lock()
	t.online[id] = online
	t.mu.Unlock()
	t.changed(id.Site)
}

// eventsOf are the events of a site that the cloud has seen, the newest first.
func (n *node) eventsOf(key, site string) (kinds []string, events []dashboard.Event, row dashboard.BoxRow) {
	n.t.Helper()
	page := want[dashboard.SitePage](n.do("GET", "/v1/sites/"+site, bearer(key)), http.StatusOK)
	for _, e := range page.Events {
		if e.Kind != "disk" {
			kinds, events = append(kinds, e.Kind), append(events, e)
		}
	}
	return kinds, events, page.Row.Boxes[0]
}

// TestGoings has a box leave, come back with another version and be revoked;
// the second node, which takes over amid it, tells the same.
func TestGoings(t *testing.T) {
	t.Parallel()
	b, town := newBroker(t), newTown()
	id := town.addBox("plant", "b1")
	one := start(t, b, town)
	viewer, _, admin := one.keys()
	one.until("it is written down", func() bool {
		_, _, row := one.eventsOf(viewer, "plant")
		return row.Online && !row.OnlineSince.IsZero()
	})
	if kinds, _, _ := one.eventsOf(viewer, "plant"); !slices.Equal(kinds, []string{"joined"}) {
		t.Errorf("events of a box that is seen for the first time: %q", kinds)
	}
	left := time.Now().Truncate(time.Second)
	town.setOnline(id, false)
	one.until("it is offline", func() bool {
		kinds, events, row := one.eventsOf(viewer, "plant")
		return kinds[0] == "offline" && !events[0].At.Before(left) && !row.Online && !row.OnlineSince.Before(left)
	})
	two := start(t, b, town, func(c *dashboard.Config) { c.Node = "n2" })
	one.stop()

	now := time.Now().UTC()
	newer := healthy(id, now)
	newer.Version, newer.Started = "1.3.0", now.Add(-20*time.Minute)
	town.setOnline(id, true)
	town.tell(newer)
	two.until("it is back with another version", func() bool {
		kinds, _, row := two.eventsOf(viewer, "plant")
		return len(kinds) == 4 && row.Online && !row.OnlineSince.IsZero()
	})
	kinds, events, _ := two.eventsOf(viewer, "plant")
	if !slices.Equal(kinds, []string{"online", "offline", "version", "joined"}) || events[0].Late || events[1].Late || !events[2].Late {
		t.Errorf("events %+v", events)
	}
	if v := events[2]; !v.At.Equal(newer.Started.Truncate(time.Second)) || !strings.Contains(v.Text, "1.3.0") || !strings.Contains(v.Text, "1.2.0") {
		t.Errorf("version %+v", v)
	}
	if !strings.Contains(events[0].Text, "again, after ") {
		t.Errorf("online %+v", events[0])
	}
	two.do("POST", "/v1/sites/plant/boxes/b1/revoke", bearer(admin), body(`{}`)).empty()
	two.until("it is revoked", func() bool {
		kinds, _, row := two.eventsOf(viewer, "plant")
		return kinds[0] == "revoked" && !row.OnlineSince.IsZero() && !slices.Contains(kinds[:2], "offline")
	})
	two.do("DELETE", "/v1/sites/plant", bearer(admin)).empty()
	two.until("nothing is left of it", func() bool {
		_, err := b.registry.Get(t.Context(), "going."+id.String())
		return err != nil
	})
}
