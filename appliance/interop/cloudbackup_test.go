//go:build linux && interop

package interop_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/sync/cloud/backups"
	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/upstream/identity"
	"signalbox/sync/upstream/sealed"
	"signalbox/sync/wire"
)

// TestCloudBackup has a box bring its backup to a cloud, loses its state in every
// way there is, and wants its rooms back.
func TestCloudBackup(t *testing.T) {
	t.Parallel()
	c := startCloud(t)
	b := startBox(t, nil, "")
	code := joinForCode(t, c, b, "hall-2")
	if got := b.cli("backup", "recovery-code"); got != code {
		t.Errorf("the code shown again is not the one of join")
	}
	b.cli("room", "create", "line-3", "--pinned", "--description", "Press line 3")
	id := b.status().ID
	if c.bringBackup(b, "hall-2"); b.status().Upstream.Backup.Bytes < 64<<10 {
		t.Errorf("status %+v, want a backup of whole chunks", b.status().Upstream.Backup)
	}
	if strings.Contains(b.log.String()+c.log.String(), code) {
		t.Error("a log has the recovery code")
	}
	same := func(when string, b *box) {
		t.Helper()
		if rooms := cliJSON[[]api.Room](b, "room", "list"); len(rooms) != 1 || rooms[0].Description != "Press line 3" || b.status().ID != id {
			t.Errorf("%s: box %s with rooms %+v, want %s with line-3", when, b.status().ID, rooms, id)
		}
	}

	waitFor(t, "the dashboard to know of the copy", patience, func() bool {
		c.report("hall-2", wire.PolicyDoc{}) // a frame at once
		return !c.member("hall-2").CloudBackup.IsZero()
	})

	losesState(t, b)
	b.start()
	same("by itself", b)
	if told := b.status().Store.Recovery; !strings.Contains(told, "from the cloud is in use") {
		t.Errorf("status says %q, want that the cloud's backup is in use", told)
	}
	c.awaitOnline("hall-2", joinTimeout)
	othersRefused(t, c, b)

	withoutTheCloud(t, c, b, code)
	same("by hand", b)
	b.stop()
	sealedFile(t, c, b, code)

	fresh := newBox(t, nil, "")
	command := strings.Fields(c.cli("site", "join", "hall-2"))[2:] // without "signalbox join"
	if _, stderr, exit := fresh.try(append([]string{"restore", "--from-cloud"}, command...)...); exit != 2 || !strings.Contains(stderr, "has no recovery code") {
		t.Errorf("a new disk without the code: exit code %d, %s", exit, stderr)
	}
	fresh.cli(append([]string{"restore", "--from-cloud", "--code", strings.ToLower(code)}, command...)...)
	fresh.start()
	same("on a new disk", fresh)
	c.awaitOnline("hall-2", joinTimeout)
	if got := fresh.cli("backup", "recovery-code"); got != code {
		t.Error("the new disk has another recovery code")
	}

	if _, stderr, exit := fresh.try("restore", "--from-cloud"); exit == 0 || !strings.Contains(stderr, "stop it first") {
		t.Errorf("while the box runs: exit code %d, %s", exit, stderr)
	}
	c.cli("site", "remove", "hall-2")
	waitFor(t, "the backups to go with their site", patience, func() bool {
		return len(c.backups("hall-2")) == 0
	})
}

// joinForCode makes a site, joins the box, and returns the code that join prints.
func joinForCode(t *testing.T, c *cloudNode, b *box, site string) string {
	t.Helper()
	made := c.addSite(site)
	joined := cliJSON[struct {
		Code string `json:"recovery_code"`
	}](b, strings.Fields(made.Command)[1:]...)
	if _, err := sealed.ParseCode(joined.Code); err != nil {
		t.Fatalf("join prints a code that is none: %v", err)
	}
	c.awaitOnline(site, joinTimeout)
	return joined.Code
}

// bringBackup has the box make a backup, and waits until the cloud has it.
func (c *cloudNode) bringBackup(b *box, site string) {
	c.t.Helper()
	before := b.status().Upstream.Backup
	c.orderBackup(b, site)
	waitFor(c.t, "the backup to be at the cloud", 30*time.Second+patience, func() bool {
		now := b.status().Upstream.Backup
		return now.At != nil && (before.At == nil || now.At.After(*before.At))
	})
	if len(c.backups(site)) == 0 {
		c.t.Error("the cloud lists no backup")
	}
}

func (c *cloudNode) orderBackup(b *box, site string) {
	c.t.Helper()
	call[dashboard.CommandMade](c, http.MethodPost, "/v1/sites/"+site+"/boxes/"+b.status().ID+"/commands", dashboard.NewCommand{Name: "backup"}, http.StatusCreated)
}

func (c *cloudNode) backups(site string) (list []backups.Owned) {
	c.t.Helper()
	if err := json.Unmarshal([]byte(c.cli("backup", "list", site, "--json")), &list); err != nil {
		c.t.Fatal(err)
	}
	return list
}

// losesState stops a box and takes away its database and every copy on the box.
func losesState(t *testing.T, b *box) {
	t.Helper()
	b.stop()
	path := filepath.Join(b.data, "signalbox.db")
	if err := os.WriteFile(path, []byte("not a database"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"backups", "kept"} {
		if err := os.RemoveAll(filepath.Join(b.data, dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// withoutTheCloud starts a box that has lost its state while the cloud is away. It
// starts empty and says so, and its backups do not push out those of before; with
// the cloud back they are restored by hand.
func withoutTheCloud(t *testing.T, c *cloudNode, b *box, code string) {
	t.Helper()
	before := c.backups("hall-2")
	joined := b.status().ID
	c.stop()
	losesState(t, b)
	began := time.Now()
	b.start()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("without the cloud the box takes %v to start", took)
	}
	told := b.status().Store.Recovery
	for _, want := range []string{"has started empty", "The cloud was asked for a backup", "--from-cloud"} {
		if !strings.Contains(told, want) {
			t.Errorf("status says %q, want %q in it", told, want)
		}
	}
	c.start()
	c.awaitOnline("hall-2", patience)
	if b.status().ID == joined {
		t.Error("the empty box has the id of the one that was lost")
	}
	call[dashboard.CommandMade](c, http.MethodPost, "/v1/sites/hall-2/boxes/"+joined+"/commands", dashboard.NewCommand{Name: "backup"}, http.StatusCreated)
	waitFor(t, "the box to say why its backup does not go to the cloud", 30*time.Second+patience, func() bool {
		return strings.Contains(b.status().Upstream.Backup.Fault, "another than the one that joined")
	})
	if now := c.backups("hall-2"); len(now) != len(before) || now[0].ID != before[0].ID {
		t.Errorf("the cloud has %v, want what it had before, %v", now, before)
	}
	b.stop()
	own, err := sealed.ParseCode(code)
	if err != nil {
		t.Fatal(err)
	}
	wrong, err := sealed.NewCode(own.Box())
	if err != nil {
		t.Fatal(err)
	}
	if _, stderr, exit := b.try("restore", "--from-cloud", "--code", wrong.Text()); exit != 1 || !strings.Contains(stderr, "not the one this backup was sealed for") {
		t.Errorf("another code: exit code %d, %s", exit, stderr)
	}
	slip := []byte(code)
	if slip[0]++; slip[0] > 'Z' {
		slip[0] = '0'
	}
	if _, stderr, exit := b.try("restore", "--from-cloud", "--code", string(slip)); exit != 2 || !strings.Contains(stderr, "recovery code") {
		t.Errorf("a slip of the pen: exit code %d, %s", exit, stderr)
	}
	b.cli("restore", "--from-cloud")
	b.start()
	c.awaitOnline("hall-2", patience)
}

// sealedFile takes a backup out of the cloud as its operator may, and has the
// stopped box open it, also when somebody has been at it.
func sealedFile(t *testing.T, c *cloudNode, b *box, code string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hall-2.sealed")
	own := c.backups("hall-2")[0]
	box, err := wire.ParseBoxID(own.Box)
	if err != nil {
		t.Fatal(err)
	}
	c.cli("backup", "get", "hall-2", box.Box, file)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), "Press line 3") || strings.Contains(string(content), "line-3") {
		t.Error("the cloud can read what is in the backup")
	}
	b.cli("restore", file, "--code", code)
	content[len(content)/2] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, stderr, exit := b.try("restore", file); exit != 1 || !strings.Contains(stderr, "was changed or cut off") {
		t.Errorf("a backup that was tampered with: exit code %d, %s", exit, stderr)
	}
	left, err := filepath.Glob(filepath.Join(b.data, ".new-*"))
	if err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// othersRefused has another box of the cloud ask for this box's backup with a
// proof of its own.
func othersRefused(t *testing.T, c *cloudNode, b *box) {
	t.Helper()
	other := startBox(t, nil, "")
	joinForCode(t, c, other, "hall-3")
	id, err := identity.Open(other.data, identity.Options{})
	if err != nil {
		t.Fatal(err)
	}
	wanted := c.backups("hall-2")[0]
	target, err := url.Parse(c.ready.URL + wire.BackupPath + "/" + wanted.ID)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: id.TLS(), DisableKeepAlives: true}, Timeout: patience}
	ask := func(authorization string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	nonce, ok := wire.ParseChallenge(ask("").Header.Get("WWW-Authenticate")) //nolint:bodyclose // ask has closed it
	if !ok {
		t.Fatal("without a proof there is no challenge")
	}
	proof, err := id.Prove(nonce, http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer := ask(proof.Header()); answer.StatusCode != http.StatusNotFound { //nolint:bodyclose // ask has closed it
		t.Errorf("another box's proof: %s, want 404", answer.Status)
	}
	forged := *proof
	forged.Signature = append([]byte{}, proof.Signature...)
	forged.Signature[len(forged.Signature)-1] ^= 1
	if answer := ask(forged.Header()); answer.StatusCode != http.StatusForbidden { //nolint:bodyclose // ask has closed it
		t.Errorf("a forged proof: %s, want 403", answer.Status)
	}
	code := b.cli("backup", "recovery-code")
	other.stop()
	if _, stderr, exit := other.try("restore", "--from-cloud", "--code", code); exit != 1 || !strings.Contains(stderr, "has joined as") {
		t.Errorf("another box with the code: exit code %d, %s", exit, stderr)
	}
}
