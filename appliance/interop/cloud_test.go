//go:build linux && interop

package interop_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud"
	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/wire"
)

// TestSiteOnTheDashboard makes a site, has a box join it, and does everything
// that the central team may do to it.
func TestSiteOnTheDashboard(t *testing.T) {
	t.Parallel()
	c := startCloud(t)
	made := c.addSite("hall-2")
	if row := c.page("hall-2").Row; row.Health != dashboard.Waiting {
		t.Errorf("before its box has joined the site is %s, want %s", row.Health, dashboard.Waiting)
	}
	b := startBox(t, nil, "")
	t.Logf("on the dashboard %v after the command was pasted", c.join(b, made).Round(time.Millisecond))
	if _, stderr, code := b.try(append(strings.Fields(made.Command)[1:], "--again")...); code == 0 {
		t.Errorf("the token of the command worked twice: %s", stderr)
	}

	camera, panel := b.device("camera"), b.device("panel")
	camera.join("line-3")
	panel.join("line-3")
	panel.join("line-4")
	c.report("hall-2", wire.PolicyDoc{LogLevel: "debug"})
	o, page := c.overview(), c.page("hall-2")
	if o.Totals.Sessions != 2 || o.Totals.Rooms != 2 || o.Totals.Members != 3 || o.Totals.Online != 1 {
		t.Errorf("overview %+v, want 2 devices that are 3 members of 2 rooms, on 1 box", o.Totals)
	}
	if len(page.Rooms) != 2 || page.Totals["rooms.created"] != 2 || page.Totals["sessions.opened"] != 2 {
		t.Errorf("rooms %+v, totals %v; want 2 rooms and 2 sessions", page.Rooms, page.Totals)
	}
	if row := page.Row.Boxes[0]; row.Version != builtVersion || row.Level != string(wire.Default) || row.CertificateDays < 5 {
		t.Errorf("box %+v, want version %s, level default and a certificate of a week", row, builtVersion)
	}

	obeys(t, c, b)
	backsUp(t, c, b)
	revokes(t, c, b)
	camera.tell("line-3", "the site goes on")
	panel.hear("the site goes on")
}

// obeys sets a policy while the box is off: that it is not in force shows, until
// it is.
func obeys(t *testing.T, c *cloudNode, b *box) {
	t.Helper()
	b.stop()
	drain := true
	c.want("hall-2", wire.PolicyDoc{RelayDrain: &drain, Level: "minimal"})
	waitFor(t, "the drift to show", patience, func() bool { m := c.member("hall-2"); return m.Policy != m.PolicyWanted && !m.Online })
	b.start()
	waitFor(t, "the drift to vanish", patience, func() bool {
		m := c.member("hall-2")
		return m.Online && m.Policy == m.PolicyWanted && m.Level == "minimal"
	})
	if s := b.status(); !s.Relay.Draining || s.Upstream.Level != "minimal" || s.Upstream.Policy != c.member("hall-2").PolicyWanted {
		t.Errorf("the box drains: %v, its upstream %+v; want the policy in force", s.Relay.Draining, s.Upstream)
	}
	c.report("hall-2", wire.PolicyDoc{})
	if s := b.status(); s.Relay.Draining || s.Upstream.Level != "default" {
		t.Errorf("the box drains: %v, level %s; want its own configuration in force again", s.Relay.Draining, s.Upstream.Level)
	}
}

// backsUp has the box make a backup, once.
func backsUp(t *testing.T, c *cloudNode, b *box) {
	t.Helper()
	id := c.member("hall-2").Box
	backups := func() int { return len(glob(t, filepath.Join(b.data, "backups", "*.db"))) }
	before := backups()
	call[dashboard.CommandMade](c, http.MethodPost, "/v1/sites/hall-2/boxes/"+id+"/commands", dashboard.NewCommand{Name: "backup"}, http.StatusCreated)
	done := func() bool {
		list := c.page("hall-2").Commands
		return len(list) == 1 && list[0].State == "done"
	}
	waitFor(t, "the result of the command", patience, done)
	b.stop()
	b.start()
	c.awaitOnline("hall-2", joinTimeout)
	c.report("hall-2", wire.PolicyDoc{})
	if after := backups(); after != before+1 || !done() {
		t.Errorf("%d backups, %d before the command; want it carried out once. Commands: %+v", after, before, c.page("hall-2").Commands)
	}
	waitFor(t, "the dashboard to know of the backup", patience, func() bool {
		c.report("hall-2", wire.PolicyDoc{}) // a frame at once
		return !c.member("hall-2").LastBackup.IsZero()
	})
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// revokes cuts the box off.
func revokes(t *testing.T, c *cloudNode, b *box) {
	t.Helper()
	id := c.member("hall-2").Box
	c.cli("box", "revoke", "hall-2", id)
	began := time.Now()
	waitFor(t, "the revoked box to be cut off", revokeTimeout, func() bool { return !c.member("hall-2").Online })
	t.Logf("cut off %v after it was revoked", time.Since(began).Round(time.Millisecond))
	waitFor(t, "the box to notice", patience, func() bool { u := b.status().Upstream; return !u.Connected && u.Fault != "" })
	if c.member("hall-2").Revoked.IsZero() {
		t.Error("the dashboard does not show that the box is revoked")
	}
}

// TestCloudAway takes the cloud away, by a stop and by a power cut. The site
// works on, and afterwards nothing is missing.
func TestCloudAway(t *testing.T) {
	t.Parallel()
	const rooms, starts = 3, 3
	c, b := startCloud(t), startBox(t, nil, "")
	c.join(b, c.addSite("hall-3"))
	camera, panel := b.device("camera"), b.device("panel")
	camera.join("line-3")
	panel.join("line-3")
	c.report("hall-3", wire.PolicyDoc{})

	c.stop()
	waitFor(t, "the box to notice", patience, func() bool { return !b.status().Upstream.Connected })
	began := time.Now()
	camera.tell("line-3", "alone")
	panel.hear("alone")
	t.Logf("a message took %v while the cloud was away", time.Since(began).Round(time.Millisecond))
	for _, room := range []string{"a", "b", "c"}[:rooms] {
		b.cli("room", "create", room, "--pinned")
	}
	for range starts { // each leaves a report at its end and at its start
		b.stop()
		b.start()
		waitFor(t, "a report of the new start", patience, func() bool { return b.status().Upstream.Newest > 0 })
	}
	camera.tell("line-3", "still alone")
	panel.hear("still alone")
	queued := b.status().Upstream.QueueFrames
	if queued < 2*starts {
		t.Errorf("%d reports wait, want %d or more", queued, 2*starts)
	}

	c.start()
	c.awaitOnline("hall-3", readyTimeout)
	drained(t, b)
	c.report("hall-3", wire.PolicyDoc{})
	want := map[string]uint64{"box.starts": 1 + starts, "rooms.created": 1 + rooms, "sessions.opened": 2}
	check := func() {
		t.Helper()
		page := c.page("hall-3")
		for metric, n := range want {
			if page.Totals[metric] != n {
				t.Errorf("%s is %d, want %d", metric, page.Totals[metric], n)
			}
		}
		if page.Row.Rooms != 1+rooms || len(page.Rooms) != 1+rooms {
			t.Errorf("%d rooms in the row, %+v on the page; want %d", page.Row.Rooms, page.Rooms, 1+rooms)
		}
	}
	check()

	before := c.verify()
	c.kill()
	c.start()
	if after := c.verify(); after.Seq < before.Seq {
		t.Errorf("the stream ends at %d, after %d before the power cut", after.Seq, before.Seq)
	}
	c.awaitOnline("hall-3", readyTimeout)
	c.report("hall-3", wire.PolicyDoc{})
	check()
}

// drained waits until the cloud has every report.
func drained(t *testing.T, b *box) {
	t.Helper()
	began := time.Now()
	waitFor(t, "the reports to arrive", patience, func() bool { return b.status().Upstream.QueueFrames == 0 })
	t.Logf("everything arrived %v after the box was back", time.Since(began).Round(time.Millisecond))
}

// verify wants the node to know what its streams say.
func (c *cloudNode) verify() (v cloud.Verified) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.cli("verify", "--json")), &v); err != nil {
		c.t.Fatal(err)
	}
	if !v.Equal {
		c.t.Errorf("verify: %+v, want the node's state to be what the streams say", v)
	}
	return v
}
