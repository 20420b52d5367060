package dashboard_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/people"
	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/cloud/registry/registrytest"
	"signalbox/sync/wire"
)

// TestOnRealParts shows what the projection and the registry have, and changes
// the registry.
func TestOnRealParts(t *testing.T) {
	t.Parallel()
	b, stop := brokertest.Start(t, t.TempDir())
	t.Cleanup(stop)
	js := b.JetStream()
	r := registrytest.Start(t, b)
	p, err := projection.Open(filepath.Join(t.TempDir(), projection.FileName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	bucket := func(name string) *broker { // the same as the tests' own broker, but for its buckets
		t.Helper()
		kv, err := js.KeyValue(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		return &broker{registry: kv}
	}
	real := &broker{
		conn: b.Conn(), registry: bucket("registry").registry, signin: bucket("signin").registry, lease: bucket("lease").registry,
		audit: people.NewAudit(js, "AUDIT", "audit.main"),
	}
	seen := dashboard.Projected{Projection: p, Current: func() bool { return true }}
	registered := dashboard.Registered{Registry: r, Tenant: wire.DefaultTenant}
	n := start(t, real, newTown(), func(c *dashboard.Config) { c.Fleet, c.History, c.Registry = seen, seen, registered })
	viewer, operator, administrator := n.keys()

	plant := projectiontest.NewPlant(1, 0)
	id := plant.ID
	want[dashboard.SiteMade](n.do("POST", "/v1/sites", bearer(administrator), body(`{"site":%q,"title":"Mill"}`, id.Site)), http.StatusCreated)
	n.do("POST", "/v1/sites", bearer(administrator), body(`{"site":%q}`, id.Site)).refused(http.StatusConflict, "taken", id.Site)
	n.do("PATCH", "/v1/sites/"+id.Site, bearer(administrator), body(`{"title":"The mill"}`)).empty()
	err = r.ChangeBox(t.Context(), id, func(b *registry.Box) error {
		b.Joined, b.CertEnd = time.Now().Add(-time.Hour), time.Now().Add(100*time.Hour)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	row := func() dashboard.SiteRow {
		o := want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK)
		if len(o.Sites) != 1 {
			return dashboard.SiteRow{}
		}
		return o.Sites[0]
	}
	n.until("the box is waited for", func() bool { return len(row().Boxes) == 1 && row().Health == dashboard.Waiting })

	now := time.Now()
	_, err = p.Update(func(tx *projection.Tx) error {
		frame := &wire.Frame{
			First: 1, Last: 1, StartMs: now.Add(-time.Minute).UnixMilli(), EndMs: now.UnixMilli(),
			CounterIds: []uint32{wire.SessionsOpened, wire.StoreWrittenBytes}, CounterValues: []uint64{41, 4096},
			Gauges:  []*wire.Gauge{{Id: wire.SessionsOnline, Last: 5}, {Id: wire.BoxDiskFreeBytes, Last: 1 << 30}, {Id: wire.BoxDiskTotalBytes, Last: 2 << 30}},
			Rooms:   []*wire.Room{{Id: "r1", Members: 3, CreatedMs: now.UnixMilli()}},
			Alerts:  []*wire.Alert{{Kind: string(wire.AlertTemperature), Raised: true, AtMs: now.UnixMilli(), Value: 91_500}},
			Box:     &wire.Box{Version: "1.2.3", Arch: "linux/arm", Level: "default", Link: "websocket", BackupMs: now.UnixMilli()},
			Results: nil,
		}
		body := &wire.Body{Incarnation: 9, Oldest: 1, SentMs: now.UnixMilli(), Frames: []*wire.Frame{frame}}
		return tx.Apply(&projection.Message{Seq: 1, Time: now, Box: id, Body: body})
	})
	if err != nil {
		t.Fatal(err)
	}
	n.until("the frame is seen", func() bool { return row().Sessions == 5 })
	got := row()
	if got.Health != dashboard.Amber || got.Why[0].Kind != "alert-temperature" || !strings.Contains(got.Why[0].Text, "91.5 °C") || !strings.ContainsAny(got.Strip.Cells, "aA") || len(got.Strip.Cells) != 288 {
		t.Errorf("row %+v", got)
	}
	n.do("PUT", "/v1/sites/"+id.Site+"/policy", bearer(operator), body(`{"policy":{"level":"minimal"}}`)).empty()
	n.until("drift shows", func() bool { return row().Boxes[0].PolicyWanted > 0 })
	want[dashboard.CommandMade](n.do("POST", "/v1/sites/"+id.Site+"/boxes/"+id.Box+"/commands", bearer(operator), body(`{"name":"backup"}`)), http.StatusCreated)
	page := want[dashboard.SitePage](n.do("GET", "/v1/sites/"+id.Site, bearer(viewer)), http.StatusOK)
	if page.Totals["sessions.opened"] != 41 || len(page.Rooms) != 1 || page.Rooms[0].Members != 3 || page.Policy.Site.Level != "minimal" || page.Commands[0].State != "waiting" ||
		!slices.ContainsFunc(page.Events, func(e dashboard.Event) bool { return e.Kind == "temperature" && e.Raised }) {
		t.Errorf("page %+v", page)
	}
	series := want[dashboard.Series](n.do("GET", "/v1/sites/"+id.Site+"/series?metrics=sessions.online,box.disk_free_bytes&span=24h", bearer(viewer)), http.StatusOK)
	if v := series.Lines[0].Values; !slices.ContainsFunc(v, func(n *int64) bool { return n != nil && *n == 5 }) {
		t.Error("the charts do not show the frame")
	}
	want[dashboard.Series](n.do("GET", "/v1/sites/"+id.Site+"/series?metrics=store.written_bytes&span=7d", bearer(viewer)), http.StatusOK)
	n.do("DELETE", "/v1/sites/"+id.Site, bearer(administrator)).empty()
	if box, _ := r.Box(id); box.Revoked.IsZero() {
		t.Error("the site is gone and its box is not revoked")
	}
	n.until("the site is gone", func() bool { return row().Site == "" })
}
