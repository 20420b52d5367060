//go:build linux && interop

package interop_test

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/wire"
)

// Bounds that the cloud promises.
const (
	joinTimeout   = 10 * time.Second
	revokeTimeout = 2 * time.Second
)

// cloudNode is the real program, as a node of the cloud on loopback.
type cloudNode struct {
	process
	api    web
	data   string
	config string
	listen []string // flags that say where; the bound ports from the second start on
	key    string   // an administrator's, for the API

	ready struct {
		URL         string
		HTTP, HTTPS []string
		Setup       string
	}
}

// startCloud makes a node that serves.
func startCloud(t *testing.T) *cloudNode {
	t.Helper()
	dir := t.TempDir()
	c := &cloudNode{
		process: process{t: t, what: "the cloud"}, data: filepath.Join(dir, "cloud"), config: filepath.Join(dir, "none.toml"),
		listen: []string{"--http=127.0.0.1:0", "--https=127.0.0.1:0"},
	}
	c.api = web{t: t, http: http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}}
	t.Cleanup(c.cleanup)
	c.start()
	c.key = c.cli("key", "add", "interop", "--role", "administrator")
	return c
}

// command is "signalbox cloud" for the node.
func (c *cloudNode) command(args ...string) *exec.Cmd {
	return command(nil, c.config, append(append([]string{"cloud"}, args...), "--data", c.data)...)
}

// start launches the node and waits until it serves.
func (c *cloudNode) start() {
	c.t.Helper()
	c.begin(c.command(append([]string{"serve", "--ready-json"}, c.listen...)...))
	c.ready.Setup = ""
	c.firstLine(&c.ready)
	c.listen = []string{"--http=" + c.ready.HTTP[0], "--https=" + c.ready.HTTPS[0]}
	c.api.base = "http://" + c.ready.HTTP[0]
}

// cli runs a command for the node that must succeed.
func (c *cloudNode) cli(args ...string) string {
	c.t.Helper()
	stdout, stderr, code := ran(c.t, c.command(args...))
	if code != 0 {
		c.t.Fatalf("signalbox cloud %s: exit code %d\n%s", strings.Join(args, " "), code, stderr)
	}
	return strings.TrimSpace(stdout)
}

// call makes a request that must be answered with status.
func call[T any](c *cloudNode, method, path string, in any, status int) T {
	c.t.Helper()
	return decode[T](c.api.ask(method, path, c.key, in), status)
}

func (c *cloudNode) overview() dashboard.Overview {
	c.t.Helper()
	return call[dashboard.Overview](c, http.MethodGet, "/v1/overview", nil, http.StatusOK)
}

func (c *cloudNode) page(site string) dashboard.SitePage {
	c.t.Helper()
	return call[dashboard.SitePage](c, http.MethodGet, "/v1/sites/"+site, nil, http.StatusOK)
}

// member is the only box of a site, as the dashboard shows it.
func (c *cloudNode) member(site string) (b dashboard.BoxRow) {
	c.t.Helper()
	if boxes := c.page(site).Row.Boxes; len(boxes) == 1 {
		b = boxes[0]
	}
	return b
}

// want says what the boxes of a site should do.
func (c *cloudNode) want(site string, doc wire.PolicyDoc) {
	c.t.Helper()
	text, err := json.Marshal(doc)
	if err != nil {
		c.t.Fatal(err)
	}
	a := c.api.ask(http.MethodPut, "/v1/sites/"+site+"/policy", c.key, dashboard.PolicyWish{Policy: text})
	if a.status != http.StatusNoContent {
		c.t.Fatalf("%s: status %d\n%s", a.what, a.status, a.body)
	}
}

// report has the box of a site tell what there is now: it does so whenever a
// policy has come into force, so that no test waits for the minute.
func (c *cloudNode) report(site string, doc wire.PolicyDoc) {
	c.t.Helper()
	before := c.member(site).PolicyWanted // the page is up to half a second behind
	c.want(site, doc)
	waitFor(c.t, "the report of "+site, patience, func() bool {
		b := c.member(site)
		return b.PolicyWanted > before && b.Policy == b.PolicyWanted
	})
}

// addSite makes a site and returns the command for its box.
func (c *cloudNode) addSite(name string) dashboard.SiteMade {
	c.t.Helper()
	var made dashboard.SiteMade
	if err := json.Unmarshal([]byte(c.cli("site", "add", name, "--json")), &made); err != nil {
		c.t.Fatal(err)
	}
	return made
}

// join pastes the command at a box and waits until the dashboard shows it.
func (c *cloudNode) join(b *box, made dashboard.SiteMade) (took time.Duration) {
	c.t.Helper()
	began := time.Now()
	b.cli(strings.Fields(made.Command)[1:]...)
	c.awaitOnline(made.Site, joinTimeout)
	return time.Since(began)
}

func (c *cloudNode) awaitOnline(site string, within time.Duration) {
	c.t.Helper()
	var b dashboard.BoxRow
	defer func() {
		if c.t.Failed() {
			c.t.Logf("the dashboard shows of %s: %+v", site, b)
		}
	}()
	waitFor(c.t, site+" to be connected", within, func() bool { b = c.member(site); return b.Online && !b.Seen.IsZero() })
}
