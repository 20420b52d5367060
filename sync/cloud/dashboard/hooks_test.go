package dashboard_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/dashboard"
)

func contextOf(t *testing.T) (context.Context, func()) {
	return context.WithCancel(t.Context())
}

// receiver is a server that webhooks call.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	secret string
	fail   int // so many calls are answered with 500
	calls  []dashboard.HookCall
	bad    []string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		text, _ := io.ReadAll(q.Body)
		var call dashboard.HookCall
		r.mu.Lock()
		defer r.mu.Unlock()
		if err := json.Unmarshal(text, &call); err != nil {
			r.bad = append(r.bad, err.Error())
		}
		signature := q.Header.Get(dashboard.HeaderSignature)
		stamp, err := strconv.ParseInt(strings.TrimPrefix(strings.SplitN(signature, ",", 2)[0], "t="), 10, 64)
		if err != nil || signature != dashboard.Signature(r.secret, time.Unix(stamp, 0), text) || q.Header.Get(dashboard.HeaderDelivery) != call.ID {
			r.bad = append(r.bad, "signature "+signature)
		}
		if r.fail > 0 {
			r.fail--
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		r.calls = append(r.calls, call)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// events are all that have arrived, as "problem state".
func (r *receiver) events() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.calls {
		for _, e := range c.Events {
			all = append(all, e.Problem+" "+e.State)
		}
	}
	return all
}

func (n *node) addHook(key string, r *receiver, health string) dashboard.WebhookMade {
	n.t.Helper()
	made := want[dashboard.WebhookMade](n.do("POST", "/v1/webhooks", bearer(key), body(`{"url":%q,"health":%q}`, r.URL+"/hook", health)), http.StatusCreated)
	r.set(func() { r.secret = made.Secret })
	return made
}

func local(c *dashboard.Config) { c.AllowLocalWebhooks = true }

func TestWebhookTellsBeginAndEnd(t *testing.T) {
	t.Parallel()
	b, town, r := newBroker(t), newTown(), newReceiver(t)
	id := town.addBox("plant", "b1")
	n := start(t, b, town, local, shortly)
	_, _, admin := n.keys()
	made := n.addHook(admin, r, "amber")
	r.set(func() { r.fail = 2 })
	bad := healthy(id, time.Now().UTC())
	bad.Link = "post"
	town.tell(bad)
	n.until("it failed", func() bool {
		list := want[dashboard.WebhookList](n.do("GET", "/v1/webhooks", bearer(admin)), http.StatusOK).Webhooks
		return len(list) == 1 && strings.Contains(list[0].Error, "500") && !list[0].Failing.IsZero()
	})
	n.until("it is told all the same", func() bool { return len(r.events()) == 1 })
	town.tell(healthy(id, time.Now().UTC()))
	n.until("its end is told", func() bool { return len(r.events()) == 2 })
	if got := r.events(); got[0] != "plant.b1.post amber" || got[1] != "plant.b1.post over" || len(r.bad) > 0 {
		t.Errorf("told %q, faults %q", got, r.bad)
	}
	n.until("nothing is left of it", func() bool {
		keys, err := b.registry.ListKeysFiltered(t.Context(), "problem.>")
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for range keys.Keys() {
			count++
		}
		return count == 0
	})
	if got := want[dashboard.WebhookTest](n.do("POST", "/v1/webhooks/"+made.ID+"/test", bearer(admin), body(`{}`)), http.StatusOK); !got.OK || got.Status != 200 {
		t.Errorf("test %+v", got)
	}
	n.do("DELETE", "/v1/webhooks/"+made.ID, bearer(admin)).empty()
	n.do("DELETE", "/v1/webhooks/"+made.ID, bearer(admin)).refused(http.StatusNotFound, "webhook_not_found", made.ID)
}

func TestWebhookOfRedOnly(t *testing.T) {
	t.Parallel()
	town, r := newTown(), newReceiver(t)
	id := town.addBox("plant", "b1")
	n := start(t, newBroker(t), town, local, shortly)
	_, _, admin := n.keys()
	n.addHook(admin, r, "red")
	bad := healthy(id, time.Now().UTC())
	bad.Link = "post"
	bad.Alerts = []dashboard.Alert{{Kind: "disk", Text: "full", Grave: true, Since: time.Now()}}
	town.tell(bad)
	n.until("the red one is told", func() bool { return len(r.events()) > 0 })
	if got := r.events(); len(got) != 1 || got[0] != "plant.b1.alert-disk red" {
		t.Errorf("told %q", got)
	}
}

// TestWebhookFailover has two nodes: one tells, and when it is gone the other
// goes on without repeating what was told.
func TestWebhookFailover(t *testing.T) {
	t.Parallel()
	b, town, r := newBroker(t), newTown(), newReceiver(t)
	id, second := town.addBox("plant", "b1"), town.addBox("mill", "b2")
	one := start(t, b, town, local, shortly)
	_, _, admin := one.keys()
	one.addHook(admin, r, "amber")
	two := start(t, b, town, local, shortly, func(c *dashboard.Config) { c.Node = "n2" })
	bad := healthy(id, time.Now().UTC())
	bad.Link = "post"
	town.tell(bad)
	one.until("it is told", func() bool { return len(r.events()) == 1 })
	one.stop()
	bad = healthy(second, time.Now().UTC())
	bad.Link = "post"
	town.tell(bad)
	two.until("the other node goes on", func() bool { return len(r.events()) >= 2 })
	town.tell(healthy(id, time.Now().UTC()))
	two.until("and tells the end", func() bool { return len(r.events()) >= 3 })
	got := strings.Join(r.events(), ", ")
	if got != "plant.b1.post amber, mill.b2.post amber, plant.b1.post over" {
		t.Errorf("told %s", got)
	}
}

// stopping is a bucket whose user is stopped while it notes a delivery.
type stopping struct {
	jetstream.KeyValue
	stop func()
}

func (s stopping) Put(ctx context.Context, key string, value []byte) (uint64, error) {
	if strings.HasPrefix(key, "hookstate.") {
		s.stop()
		select {
		case <-ctx.Done():
		case <-time.After(time.Second): // a node that stops notes all the same
		}
	}
	return s.KeyValue.Put(ctx, key, value)
}

// TestWebhookStoppedWhileNoting stops a node between the answer of a receiver and
// the note of it: the next node does not tell the same again.
func TestWebhookStoppedWhileNoting(t *testing.T) {
	t.Parallel()
	b, town, r := newBroker(t), newTown(), newReceiver(t)
	id := town.addBox("plant", "b1")
	asked, stopped := make(chan struct{}), make(chan struct{})
	ask := sync.OnceFunc(func() { close(asked) })
	one := start(t, b, town, local, shortly, func(c *dashboard.Config) { c.Bucket = stopping{c.Bucket, ask} })
	go func() {
		defer close(stopped)
		<-asked
		one.stop()
	}()
	t.Cleanup(func() { ask(); <-stopped })
	_, _, admin := one.keys()
	one.addHook(admin, r, "amber")
	bad := healthy(id, time.Now().UTC())
	bad.Link = "post"
	town.tell(bad)
	<-stopped
	two := start(t, b, town, local, shortly, func(c *dashboard.Config) { c.Node = "n2" })
	town.tell(healthy(id, time.Now().UTC()))
	two.until("its end is told", func() bool { return slices.Contains(r.events(), "plant.b1.post over") })
	if got := r.events(); len(got) != 2 {
		t.Errorf("told %q", got)
	}
}

func TestWebhookTargets(t *testing.T) {
	t.Parallel()
	town, r := newTown(), newReceiver(t)
	n := start(t, newBroker(t), town)
	_, _, admin := n.keys()
	for target, text := range map[string]string{
		"http://127.0.0.1:1/": "loopback", "http://[::1]/": "loopback", "http://169.254.169.254/latest": "link-local", "http://[::ffff:127.0.0.1]/": "loopback",
		"http://[64:ff9b::7f00:1]/": "loopback", "ftp://example.com/": "https://", "https://user:pass@example.com/": "user name", "nonsense": "https://", "http://0.0.0.0/": "loopback",
	} {
		n.do("POST", "/v1/webhooks", bearer(admin), body(`{"url":%q}`, target)).refused(http.StatusBadRequest, "bad_request", text)
	}
	n.do("POST", "/v1/webhooks", bearer(admin), body(`{"url":"https://example.com/","health":"green"}`)).refused(http.StatusBadRequest, "bad_request", "red or amber")
	// A name may lead there all the same: the address is looked at when dialling.
	named := strings.Replace(r.URL, "127.0.0.1", "localhost", 1)
	made := want[dashboard.WebhookMade](n.do("POST", "/v1/webhooks", bearer(admin), body(`{"url":%q}`, named)), http.StatusCreated)
	got := want[dashboard.WebhookTest](n.do("POST", "/v1/webhooks/"+made.ID+"/test", bearer(admin), body(`{}`)), http.StatusOK)
	if got.OK || !strings.Contains(got.Error, "loopback") || strings.Contains(got.Error, named) || len(r.events()) > 0 {
		t.Errorf("a name of loopback: %+v", got)
	}
}

func TestWebhookFollowsNobody(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{}, 1)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached <- struct{}{} }))
	defer elsewhere.Close()
	leads := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer leads.Close()
	n := start(t, newBroker(t), newTown(), local)
	_, _, admin := n.keys()
	made := want[dashboard.WebhookMade](n.do("POST", "/v1/webhooks", bearer(admin), body(`{"url":%q}`, leads.URL)), http.StatusCreated)
	got := want[dashboard.WebhookTest](n.do("POST", "/v1/webhooks/"+made.ID+"/test", bearer(admin), body(`{}`)), http.StatusOK)
	if got.OK || got.Status != http.StatusTemporaryRedirect || len(reached) > 0 {
		t.Errorf("redirect: %+v", got)
	}
}
