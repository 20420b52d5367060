package dashboard_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/wire"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

func parseMetrics(text string) (int, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	return len(families), err
}

// sse is one event of a stream.
type sse struct{ name, id, data string }

// stream reads events until the test ends or cancel is called.
type stream struct {
	t      *testing.T
	events chan sse
	ended  chan struct{}
	cancel func()
}

func (n *node) stream(t *testing.T, path string, opts ...option) *stream {
	t.Helper()
	ctx, cancel := contextOf(t)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, n.url+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for _, opt := range opts {
		opt(r)
	}
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("stream: %s, %s", response.Status, response.Header.Get("Content-Type"))
	}
	s := &stream{t, make(chan sse, 1000), make(chan struct{}), cancel}
	go func() {
		defer close(s.ended)
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 16<<20)
		var e sse
		for lines.Scan() {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "event":
				e.name = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				if e.name != "" {
					s.events <- e
				}
				e = sse{}
			}
		}
	}()
	t.Cleanup(func() { cancel(); <-s.ended })
	return s
}

// next waits for an event that is as wanted.
func (s *stream) next(what string, is func(sse) bool) sse {
	s.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case e := <-s.events:
			if is(e) {
				return e
			}
		case <-deadline:
			s.t.Fatalf("no event: %s", what)
		}
	}
}

func changeOf(t *testing.T, e sse) (c dashboard.Change) {
	t.Helper()
	if err := document().Validate([]byte(e.data), "Overview"); err != nil && e.name == "overview" {
		t.Errorf("overview: %v", err)
	}
	if err := json.Unmarshal([]byte(e.data), &c); err != nil {
		t.Fatal(err)
	}
	if e.id != itoa(c.Seq) {
		t.Errorf("id %s of an event with seq %d", e.id, c.Seq)
	}
	return c
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b, town := newBroker(t), newTown()
	for i := range 5 {
		town.addBox(fmt.Sprintf("plant-%d", i), "b1")
	}
	n, other := start(t, b, town), start(t, b, town, func(c *dashboard.Config) { c.Node = "n2" })
	viewer, _, administrator := n.keys()
	s := n.stream(t, "/v1/events", bearer(viewer))
	document().Saw("get /v1/events")
	for _, each := range []*node{n, other} {
		each.until("history and comings have been looked at", func() bool { // which changes every row once
			o := want[dashboard.Overview](each.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK)
			return !slices.ContainsFunc(o.Sites, func(r dashboard.SiteRow) bool { return r.Devices == 0 || r.Boxes[0].OnlineSince.IsZero() })
		})
	}
	time.Sleep(300 * time.Millisecond) // longer than the slack of nodes in tests
	first := changeOf(t, s.next("the whole", func(e sse) bool { return e.name == "overview" }))
	if len(first.Sites) != 5 {
		t.Fatalf("the first event has %d sites", len(first.Sites))
	}
	// A change brings the changed row and no other.
	bad := healthy(boxID("plant-3", "b1"), time.Now().UTC())
	bad.Alerts = []dashboard.Alert{{Kind: "disk", Text: "full", Grave: true, Since: time.Now().Add(-time.Minute)}}
	town.tell(bad)
	var last dashboard.Change
	s.next("plant-3 is red", func(e sse) bool {
		last = changeOf(t, e)
		return e.name == "change" && len(last.Sites) == 1 && last.Sites[0].Site == "plant-3" && last.Sites[0].Health == dashboard.Red && last.Problems == 1 && last.Totals.Red == 1
	})
	s.cancel()
	<-s.ended
	// At another node the reader goes on from there.
	town.tell(healthy(boxID("plant-1", "b1"), time.Now().UTC().Add(time.Second)))
	n.do("DELETE", "/v1/sites/plant-0", bearer(administrator)).empty()
	resumed := other.stream(t, "/v1/events", bearer(viewer), header("Last-Event-ID", itoa(last.Seq)))
	seen := map[string]bool{}
	resumed.next("what changed meanwhile", func(e sse) bool {
		if e.name != "change" {
			t.Fatalf("the other node begins with %s, want only what has changed", e.name)
		}
		c := changeOf(t, e)
		for _, row := range c.Sites {
			seen[row.Site] = true
		}
		for _, name := range c.Removed {
			seen["-"+name] = true
		}
		return seen["plant-1"] && seen["-plant-0"]
	})
	if seen["plant-4"] {
		t.Error("a row that nobody changed was sent again")
	}
	// What no node can tell is answered with the whole.
	for _, id := range []string{"999999", "0", "nonsense"} {
		fresh := n.stream(t, "/v1/events", bearer(viewer), header("Last-Event-ID", id))
		if e := fresh.next("anything", func(sse) bool { return true }); e.name != "overview" {
			t.Errorf("with Last-Event-ID %s the stream begins with %s", id, e.name)
		}
	}
}

func TestStreamsAreBoundedAndEnd(t *testing.T) {
	t.Parallel()
	town := newTown()
	n := start(t, newBroker(t), town, func(c *dashboard.Config) { c.Streams = 2 })
	viewer, _, _ := n.keys()
	n.stream(t, "/v1/events", bearer(viewer))
	s := n.stream(t, "/v1/events", bearer(viewer))
	n.do("GET", "/v1/events", bearer(viewer)).refused(http.StatusServiceUnavailable, "busy", "2 streams")
	n.stop() // ends them, or this would wait for ever
	<-s.ended
}

func TestLive(t *testing.T) {
	t.Parallel()
	town := newTown()
	id := town.addBox("plant", "b1")
	n := start(t, newBroker(t), town)
	viewer, _, _ := n.keys()
	before := n.conn(t).NumSubscriptions()
	nudges, err := n.conn(t).SubscribeSync(id.NudgeSubject())
	if err != nil {
		t.Fatal(err)
	}
	document().Saw("get /v1/sites/{site}/live")
	began := time.Now()
	a, b := n.stream(t, "/v1/sites/plant/live", bearer(viewer)), n.stream(t, "/v1/sites/plant/live", bearer(viewer))
	heard := 0
	nudged := func() {
		t.Helper()
		m, err := nudges.NextMsg(5 * time.Second)
		if err != nil || string(m.Data) != `{"live":30}` {
			t.Fatalf("nudge %v, %v", m, err)
		}
		heard++
	}
	nudged()
	publish := func(data string) {
		if err := n.conn(t).Publish(id.LiveSubject(), []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	publish("nonsense")
	publish(fmt.Sprintf(`{"at":"2026-03-01T12:00:00Z","gauges":{"%d":9,"99999":1}}`, wire.SessionsOnline))
	for _, s := range []*stream{a, b} {
		e := s.next("a value", func(e sse) bool { return e.name == "live" })
		var got dashboard.LiveValues
		if err := json.Unmarshal([]byte(e.data), &got); err != nil || got.Box != "b1" || len(got.Gauges) != 1 || got.Gauges["sessions.online"] != 9 {
			t.Errorf("live %s: %v", e.data, err)
		}
	}
	// A box that says nothing more is nudged each second, for one watcher or two.
	nudged()
	nudged()
	more, _, err := nudges.Pending()
	if most := 2 + int(time.Since(began)/time.Second); err != nil || heard+more > most {
		t.Errorf("%d nudges within %v, want %d at most: %v", heard+more, time.Since(began), most, err)
	}
	n.do("GET", "/v1/sites/nowhere/live", bearer(viewer)).refused(http.StatusNotFound, "site_not_found", "nowhere")
	a.cancel()
	b.cancel()
	<-a.ended
	<-b.ended
	n.until("nobody watches", func() bool { return n.conn(t).NumSubscriptions() == before+1 })
}

func (n *node) conn(t *testing.T) *nats.Conn {
	t.Helper()
	return n.broker.conn
}
