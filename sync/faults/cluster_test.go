//go:build linux && interop

package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signalbox/internal/netlab"
	"signalbox/sync/bench/fleet"
	"signalbox/sync/cloud"
	"signalbox/sync/cloud/broker"
	"signalbox/sync/wire"
)

const (
	brokers       = 3
	nodes         = 2
	clusterSpeed  = 60              // a frame a second
	atMost        = 5 * time.Second // and where other programs keep the machine busy, but for one kill a round
	natsPassword  = "for-tests"
	clusterWithin = 40 * time.Second
)

// natsServer is a server of the external cluster.
type natsServer struct {
	t    *testing.T
	on   *netlab.Host
	conf string
	bin  string
	cmd  *exec.Cmd
}

func (s *natsServer) start() {
	s.t.Helper()
	log, err := os.OpenFile(s.conf+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = s.on.Command(s.t.Context(), s.bin, "-c", s.conf)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	s.cmd.Env = append(os.Environ(), "SIGNALBOX_NATS_PASSWORD="+natsPassword)
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *natsServer) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// town is three servers, two cloud nodes and two boxes, each a host of its own.
type town struct {
	t       *testing.T
	lab     *netlab.Lab
	servers []*natsServer
	clouds  []*center
	edges   []*edge
	// watched is a box with the waits of a real one, which somebody watches live at
	// each node. It counts nothing.
	watched *edge
	lives   []*liveWatch // at clouds
	late    atomic.Int32 // overviews that took longer than atMost
}

// TestAnyOfFiveKilled kills each server and each cloud node of a site with two
// of these and three of those in turn. The dashboard of a node that lives
// goes on, and in the end nothing is missing and nothing counted twice.
func TestAnyOfFiveKilled(t *testing.T) {
	w := &town{t: t, lab: netlab.New(t, "n0", "n1", "n2", "c0", "c1", "e0", "e1", "e2")}
	dir := t.TempDir()
	seed := w.startServers(dir)
	w.startClouds(dir, seed)
	w.startEdges(dir)
	w.startWatching()
	t.Cleanup(func() {
		for _, e := range append(w.edges, w.watched) {
			_ = e.cmd.Process.Kill()
			<-e.done
		}
		for _, c := range w.clouds {
			c.kill()
		}
		for _, s := range w.servers {
			s.kill()
		}
		if t.Failed() || os.Getenv("CLUSTER_LOGS") != "" {
			w.logs(dir)
		}
	})
	w.fresh("the start", w.clouds, time.Now())
	for range rounds(t) {
		for i, s := range w.servers {
			w.applied(w.clouds)
			at := time.Now()
			s.kill()
			w.fresh(fmt.Sprintf("server %d killed", i), w.clouds, at)
			w.applied(w.clouds)
			s.start()
			w.fresh(fmt.Sprintf("server %d back", i), w.clouds, time.Now())
		}
		for i, c := range w.clouds {
			w.applied(w.clouds)
			at := time.Now()
			c.kill()
			w.fresh(fmt.Sprintf("node %d killed", i), []*center{w.clouds[1-i]}, at)
			c.start()
			c.ready(clusterWithin)
		}
	}
	w.settle()
	// Both overviews of one kill may be late: a server that is killed seconds after
	// another came back may take messages with it that only it has.
	if late, most := w.late.Load(), int32(2*rounds(t)); late > most {
		t.Errorf("%d overviews showed what is new after more than %v, want %d at most", late, atMost, most)
	}
	for _, l := range w.lives {
		for began := time.Now(); !l.shows(began); time.Sleep(50 * time.Millisecond) {
			if time.Since(began) > 3*clusterWithin {
				t.Fatalf("%s shows nothing live", l.on.on.Name)
			}
		}
	}
}

func (w *town) startServers(dir string) (seed string) {
	w.t.Helper()
	mod, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		w.t.Fatal(err)
	}
	bin := filepath.Join(filepath.Dir(strings.TrimSpace(string(mod))), "bin", "tools", "nats-server")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		w.t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	if seed, err = broker.NewCalloutSeed(); err != nil {
		w.t.Fatal(err)
	}
	common, err := broker.CalloutConfig(seed, broker.DefaultAccount, "cloud")
	if err != nil {
		w.t.Fatal(err)
	}
	var routes []string
	for i := range brokers {
		routes = append(routes, fmt.Sprintf("nats://%s:6222", w.lab.Host(fmt.Sprintf("n%d", i)).IPv4()))
	}
	for i := range brokers {
		name := fmt.Sprintf("n%d", i)
		on := w.lab.Host(name)
		conf := strings.ReplaceAll(common, "/var/lib/nats", filepath.Join(dir, "store-"+name)) + fmt.Sprintf(
			"listen: %s:4222\nserver_name: %s\ncluster { name: c, listen: %s:6222, routes: [ %s ] }\n", on.IPv4(), name, on.IPv4(), strings.Join(routes, ", "))
		s := &natsServer{t: w.t, on: on, conf: filepath.Join(dir, name+".conf"), bin: bin}
		if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
			w.t.Fatal(err)
		}
		s.start()
		w.servers = append(w.servers, s)
	}
	return seed
}

// startClouds starts two nodes, the second with the first one's authority.
func (w *town) startClouds(dir, seed string) {
	w.t.Helper()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
		return file
	}
	external := cloud.Default().NATS
	external.User, external.PasswordFile, external.CalloutFile = "cloud", write("password", natsPassword), write("seed", seed)
	for _, s := range w.servers {
		external.URLs = append(external.URLs, fmt.Sprintf("nats://%s:4222", s.on.IPv4()))
	}
	external.FramesMaxBytes, external.RollupsMaxBytes = 64<<20, 16<<20
	external.BackupsMaxBytes = 16 << 20
	for i := range nodes {
		on := w.lab.Host(fmt.Sprintf("c%d", i))
		c := &center{t: w.t, on: on, order: cloudOrder{
			Data: filepath.Join(dir, fmt.Sprintf("cloud%d", i)), HTTPS: fmt.Sprintf("%s:8453", on.IPv4()), Control: fmt.Sprintf("%s:8090", on.IPv4()), Speed: clusterSpeed, NATS: external,
		}}
		c.admin = fleet.Admin{URL: "http://" + c.order.Control, Client: &http.Client{
			Timeout: 2 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: on.DialContext},
		}}
		if i > 0 {
			if err := os.CopyFS(filepath.Join(c.order.Data, "ca"), os.DirFS(filepath.Join(w.clouds[0].order.Data, "ca"))); err != nil {
				w.t.Fatal(err)
			}
			if err := os.Chmod(c.order.Data, 0o700); err != nil {
				w.t.Fatal(err)
			}
		}
		c.start()
		c.ready(clusterWithin)
		w.clouds = append(w.clouds, c)
	}
}

// startEdges starts two boxes that know both nodes, each another one first.
func (w *town) startEdges(dir string) {
	w.t.Helper()
	urls := []string{"https://" + w.clouds[0].order.HTTPS, "https://" + w.clouds[1].order.HTTPS}
	for i := range 3 {
		on := w.lab.Host(fmt.Sprintf("e%d", i))
		e := &edge{t: w.t, on: on, order: edgeOrder{Dir: filepath.Join(dir, fmt.Sprintf("edge%d", i)), URLs: []string{urls[i%2], urls[1-i%2]}, Speed: clusterSpeed}}
		if err := os.MkdirAll(e.order.Dir, 0o700); err != nil {
			w.t.Fatal(err)
		}
		invited, err := w.clouds[i%2].admin.Invite(w.t.Context(), fmt.Sprintf("site%d", i))
		if err != nil {
			w.t.Fatal(err)
		}
		e.order.Box, e.order.Token, e.order.CA = fmt.Sprintf("box%d", i), invited.Token, invited.CA
		e.box = wire.BoxID{Tenant: wire.DefaultTenant, Site: fmt.Sprintf("site%d", i), Box: e.order.Box}
		if i == 2 {
			e.order.Speed, w.watched = 1, e
			e.start()
			e.pause(true)
			break
		}
		e.start()
		w.edges = append(w.edges, e)
	}
}

// rounds is how often each of the five is killed: once, or CLUSTER_ROUNDS.
func rounds(t *testing.T) int {
	text := os.Getenv("CLUSTER_ROUNDS")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("CLUSTER_ROUNDS: got %q, want a number above 0", text)
	}
	return n
}

// liveWatch is somebody who watches a site at one node, over all its lives.
type liveWatch struct {
	on   *center
	site string

	mu   sync.Mutex
	last time.Time // when the box took its newest values
}

// startWatching begins to watch at both nodes, until the test ends.
func (w *town) startWatching() {
	ctx, stop := context.WithCancel(w.t.Context())
	var g sync.WaitGroup
	w.t.Cleanup(func() { stop(); g.Wait() })
	for _, c := range w.clouds {
		l := &liveWatch{on: c, site: w.watched.box.Site}
		w.lives = append(w.lives, l)
		g.Go(func() {
			for ctx.Err() == nil {
				l.watch(ctx)
				select { // as a page does
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
}

// watch reads one stream of events to its end.
func (l *liveWatch) watch(ctx context.Context) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.on.admin.URL+"/v1/sites/"+l.site+"/live", nil)
	if err != nil {
		return
	}
	answer, err := (&http.Client{Transport: l.on.admin.Client.Transport}).Do(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	for in := bufio.NewScanner(answer.Body); in.Scan(); {
		var values struct {
			At time.Time `json:"at"`
		}
		if data, ok := strings.CutPrefix(in.Text(), "data: "); ok && json.Unmarshal([]byte(data), &values) == nil {
			l.mu.Lock()
			l.last = values.At
			l.mu.Unlock()
		}
	}
}

// shows tells whether it has values of after at.
func (l *liveWatch) shows(at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last.After(at)
}

// fresh waits until the overview of each of these nodes shows of every edge a
// gauge that is of after the call, and for the live view, which hangs on one link
// and that link's waits. It notes what takes longer than a busy machine may need.
func (w *town) fresh(after string, alive []*center, at time.Time) {
	w.t.Helper()
	want := make([]uint64, len(w.edges))
	for i, e := range w.edges {
		want[i] = e.report().Counted + 1
	}
	var g sync.WaitGroup
	await := func(what string, shows func() bool, late func(took time.Duration)) {
		g.Go(func() {
			took := time.Duration(0)
			for took == 0 && time.Since(at) < clusterWithin {
				if shows() {
					took = time.Since(at)
				} else {
					time.Sleep(20 * time.Millisecond)
				}
			}
			w.t.Logf("%s: %s after %v", after, what, took.Round(10*time.Millisecond))
			late(took)
		})
	}
	for _, c := range alive {
		await("fresh at "+c.on.Name, func() bool { return c.shows(w.t.Context(), w.edges, want) }, func(took time.Duration) {
			if took == 0 {
				w.t.Errorf("%s: %s shows nothing new within %v", after, c.on.Name, clusterWithin)
			} else if took > atMost {
				w.late.Add(1)
			}
		})
		for _, l := range w.lives {
			if l.on == c {
				await("live at "+c.on.Name, func() bool { return l.shows(at) }, func(time.Duration) {})
			}
		}
	}
	g.Wait()
}

// shows tells whether the overview has of each edge at least that many sessions,
// which is what it has counted.
func (c *center) shows(ctx context.Context, edges []*edge, want []uint64) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var o struct {
		Sites []struct {
			Site     string `json:"site"`
			Sessions uint64 `json:"sessions"`
		} `json:"sites"`
	}
	if c.admin.Call(ctx, http.MethodGet, "/v1/overview", nil, &o) != nil {
		return false
	}
	sessions := map[string]uint64{}
	for _, s := range o.Sites {
		sessions[s.Site] = s.Sessions
	}
	for i, e := range edges {
		if sessions[e.box.Site] < want[i] {
			return false
		}
	}
	return true
}

// applied waits until the totals of each of these nodes have what every edge has
// committed before the call.
func (w *town) applied(alive []*center) {
	w.t.Helper()
	want := make([]uint64, len(w.edges))
	for i, e := range w.edges {
		want[i] = e.report().Committed
	}
	began := time.Now()
	for _, c := range alive {
		for !c.knows(w.edges, want) {
			if time.Since(began) > clusterWithin {
				w.t.Fatalf("%s does not know %v later what was committed", c.on.Name, clusterWithin)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	w.t.Logf("totals have it after %v more", time.Since(began).Round(10*time.Millisecond))
}

func (c *center) knows(edges []*edge, want []uint64) bool {
	totals, err := c.totals()
	if err != nil {
		return false
	}
	for i, e := range edges {
		for id, times := range ledger {
			if totals[e.box.Site][id] < want[i]*times {
				return false
			}
		}
	}
	return true
}

// settle stops the counting: both nodes must know the last one, and no more.
func (w *town) settle() {
	for _, e := range w.edges {
		e.pause(true)
	}
	missing := "nothing was compared"
	for end := time.Now().Add(clusterWithin); missing != "" && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		missing = ""
		for _, c := range w.clouds {
			totals, err := c.totals()
			if err != nil {
				missing = err.Error()
			}
			for _, e := range w.edges {
				r := e.report()
				for id, times := range ledger {
					if got := totals[e.box.Site][id]; r.Committed != r.Counted || got != r.Counted*times {
						missing = fmt.Sprintf("%s: counter %d of %s is %d, want %d, of which %d are committed", c.on.Name, id, e.box, got, r.Counted*times, r.Committed*times)
					}
				}
			}
		}
	}
	if missing != "" {
		w.t.Error("at the end: " + missing)
	}
}

func (w *town) logs(dir string) {
	files, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		w.t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-3000):])
	}
}
