package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/cloud/registry/registrytest"
	"signalbox/sync/wire"
)

var boxA = wire.BoxID{Tenant: "main", Site: "hall-1", Box: "a"}

// withSite makes the site of boxA and the box.
func withSite(t *testing.T, r *registry.Registry) {
	t.Helper()
	if err := r.AddSite(t.Context(), registry.Site{Tenant: "main", Name: "hall-1", Title: "Hall 1"}); err != nil {
		t.Fatal(err)
	}
	err := r.ChangeBox(t.Context(), boxA, func(b *registry.Box) error {
		b.Name, b.Keys = "cabinet 1", []registry.Key{{ID: 1, Public: []byte("one"), From: time.Now().UTC()}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// eventually waits for what another node does.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	r := registrytest.Start(t, b)
	if r.HasSite("main", "hall-1") || r.MayConnect(boxA) {
		t.Error("an empty registry has a site")
	}
	withSite(t, r)
	if s, ok := r.Site("main", "hall-1"); !ok || s.Title != "Hall 1" || s.Created.IsZero() {
		t.Errorf("Site right after AddSite: got %+v, %v", s, ok)
	}
	if err := r.AddSite(t.Context(), registry.Site{Tenant: "main", Name: "hall-1"}); !errors.Is(err, registry.ErrExists) {
		t.Errorf("the same site again: got %v, want ErrExists", err)
	}
	for _, name := range []string{"", "Hall", "a.b", "a>", "*", "-a"} {
		if err := r.AddSite(t.Context(), registry.Site{Tenant: "main", Name: name}); err == nil {
			t.Errorf("site %q: got no error", name)
		}
	}
	if got := r.BoxesOf("main", "hall-1"); !reflect.DeepEqual(got, []wire.BoxID{boxA}) {
		t.Errorf("BoxesOf: got %v", got)
	}
	if got := r.Places("a"); !reflect.DeepEqual(got, []wire.BoxID{boxA}) {
		t.Errorf("Places: got %v", got)
	}
	if !r.MayConnect(boxA) {
		t.Error("MayConnect: got false")
	}
	bad := errors.New("no")
	if err := r.Boxes.Change(t.Context(), boxA.String(), func(b *registry.Box) error { b.Name = "x"; return bad }); !errors.Is(err, bad) {
		t.Errorf("a change that fails: got %v", err)
	}
	if err := r.Boxes.Change(t.Context(), "main.hall-1.zz", func(*registry.Box) error { return nil }); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("changing what is not there: got %v, want ErrNotFound", err)
	}
	if err := r.Boxes.Add(t.Context(), "a.>", registry.Box{}); err == nil {
		t.Error("a key with a wildcard: got no error")
	}
	if err := r.Boxes.Add(t.Context(), "a.b.c", registry.Box{Name: string(make([]byte, registry.MaxRecordBytes))}); err == nil {
		t.Error("a huge record: got no error")
	}
	if err := r.RemoveSite(t.Context(), "main", "hall-1", "eve"); err != nil {
		t.Fatal(err)
	}
	box, ok := r.Box(boxA)
	if !ok || box.Revoked.IsZero() || box.RevokedBy != "eve" || box.Keys[0].Why != registry.KeyRevoked || box.Name != "cabinet 1" {
		t.Errorf("a box of a site that is gone: got %+v", box)
	}
	if r.MayConnect(boxA) || r.HasSite("main", "hall-1") {
		t.Error("a site that is gone lets its box in")
	}
	// A name may be used again after a removal.
	if err := r.AddSite(t.Context(), registry.Site{Tenant: "main", Name: "hall-1"}); err != nil {
		t.Errorf("a site made again: %v", err)
	}
	if r.MayConnect(boxA) {
		t.Error("the revoked box may connect to the new site")
	}
}

func TestRevokedKeys(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	r := registrytest.Start(t, b)
	withSite(t, r)
	before := time.Now()
	if err := r.RevokeBox(t.Context(), boxA, "eve"); err != nil {
		t.Fatal(err)
	}
	box, _ := r.Box(boxA)
	first := box.Revoked
	if key, ok := box.Key(1); !ok || !key.GoodAt(before) || key.GoodAt(time.Now()) {
		t.Errorf("key of a revoked box: got %+v, %v", key, ok)
	}
	if err := r.RevokeBox(t.Context(), boxA, "mallory"); err != nil {
		t.Fatal(err)
	}
	if box, _ = r.Box(boxA); !box.Revoked.Equal(first) || box.RevokedBy != "eve" {
		t.Errorf("revoked twice: got %+v", box)
	}
}

// Two nodes see the same, are told of it, and lose no change of the other's.
func TestTwoNodesConverge(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	one, two := registrytest.Start(t, b), registrytest.Start(t, b)
	changes := two.Changes()
	defer changes.Close()
	withSite(t, one)
	eventually(t, 2*time.Second, "the other node lets the box in", func() bool { return two.MayConnect(boxA) })

	const each = 25
	var wg sync.WaitGroup
	for i := range 4 {
		r := []*registry.Registry{one, two}[i%2]
		wg.Go(func() {
			for n := range each {
				err := r.ChangeBox(t.Context(), boxA, func(b *registry.Box) error {
					b.Keys = append(b.Keys, registry.Key{ID: uint64(i*each+n) + 100})
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, r := range []*registry.Registry{one, two} {
		eventually(t, 2*time.Second, "all changes are there", func() bool {
			box, _ := r.Box(boxA)
			return len(box.Keys) == 4*each+1
		})
	}
	if a, b := one.Boxes.All(), two.Boxes.All(); !reflect.DeepEqual(a, b) {
		t.Errorf("the nodes differ: %+v, %+v", a, b)
	}

	drain(t, changes)
	began := time.Now()
	if err := one.RevokeBox(t.Context(), boxA, "eve"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changes.Ready():
	case <-time.After(2 * time.Second):
		t.Fatal("the other node is not told of a revocation")
	}
	t.Logf("the other node knows of a revocation after %v", time.Since(began).Round(100*time.Microsecond))
	got := changes.Take()
	if len(got) != 1 || got[0].Kind != registry.KindBox || got[0].Key != boxA.String() || got[0].Gone || two.MayConnect(boxA) {
		t.Errorf("changes: got %+v, and MayConnect %v", got, two.MayConnect(boxA))
	}
}

func drain(t *testing.T, c *registry.Changes) {
	t.Helper()
	select {
	case <-c.Ready():
	default:
	}
	c.Take()
}

// A reader that is slow gets each record once, and the last state of it.
func TestChangesOfASlowReader(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	r := registrytest.Start(t, b)
	c := r.Changes()
	defer c.Close()
	withSite(t, r)
	for range 10 {
		if err := r.ChangeBox(t.Context(), boxA, func(*registry.Box) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Sites.Remove(t.Context(), "main.hall-1"); err != nil {
		t.Fatal(err)
	}
	got := c.Take()
	if len(got) != 2 || got[0].Kind != registry.KindSite || !got[0].Gone || got[1].Kind != registry.KindBox || got[1].Gone {
		t.Errorf("got %+v, want the site, gone, and the box", got)
	}
	if again := c.Take(); len(again) != 0 {
		t.Errorf("taken twice: got %+v", again)
	}
}

// A node that starts knows everything; one whose broker was away catches up,
// and one whose bucket was lost forgets.
func TestRestartAndLoss(t *testing.T) {
	t.Parallel()
	c := brokertest.StartCluster(t, 1, "")
	b, _ := brokertest.Run(t, c.Config())
	other, _ := brokertest.Run(t, c.Config())
	r := registrytest.Start(t, b)
	withSite(t, r)
	late := registrytest.Start(t, other)
	if !late.MayConnect(boxA) {
		t.Error("a node that starts later does not know the box")
	}
	c.Kill(0)
	if !r.MayConnect(boxA) {
		t.Error("the box is forgotten with the broker away")
	}
	c.Start(t, 0)
	eventually(t, 20*time.Second, "one node revokes after the broker was away", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		return late.RevokeBox(ctx, boxA, "eve") == nil
	})
	began := time.Now()
	eventually(t, 5*time.Second, "the other follows", func() bool { return !r.MayConnect(boxA) })
	t.Logf("after a restart of the broker the other node follows within %v", time.Since(began).Round(time.Millisecond))

	if err := b.JetStream().DeleteKeyValue(t.Context(), broker.BucketRegistry); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream().CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: broker.BucketRegistry, LimitMarkerTTL: 2 * time.Second}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 5*time.Second, "a bucket made anew is empty", func() bool { return r.Sites.Len() == 0 && late.Boxes.Len() == 0 })
	eventually(t, 5*time.Second, "it is written again", func() bool {
		return r.AddSite(t.Context(), registry.Site{Tenant: "main", Name: "new"}) == nil && r.HasSite("main", "new")
	})
	eventually(t, 5*time.Second, "and read", func() bool { return late.HasSite("main", "new") && r.Healthy() == nil && late.Healthy() == nil })
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	r := registrytest.Start(t, b)
	withSite(t, r)
	if p := r.PolicyFor(boxA); p.Revision != 0 || p.Site != nil || p.Box != nil {
		t.Errorf("before any: got %+v", p)
	}
	var last uint64
	set := func(what string, err error, site, box string) {
		t.Helper()
		p := r.PolicyFor(boxA)
		if err != nil || p.Revision <= last || string(p.Site) != site || string(p.Box) != box {
			t.Errorf("%s: got %+v, %v; want %s and %s, later than %d", what, p, err, site, box, last)
		}
		last = p.Revision
	}
	doc := func(text string) json.RawMessage { return json.RawMessage(text) }
	set("site", r.SetSitePolicy(t.Context(), "main", "hall-1", doc(`{"level":"minimal"}`), "eve"), `{"level":"minimal"}`, "")
	set("box", r.SetBoxPolicy(t.Context(), boxA, doc(`{"frame_every":120}`), "eve"), `{"level":"minimal"}`, `{"frame_every":120}`)
	set("at once again", r.SetBoxPolicy(t.Context(), boxA, doc(`{"frame_every":60}`), "eve"), `{"level":"minimal"}`, `{"frame_every":60}`)
	set("none for the site", r.SetSitePolicy(t.Context(), "main", "hall-1", nil, "eve"), "", `{"frame_every":60}`)
	set("none for the box", r.SetBoxPolicy(t.Context(), boxA, nil, "eve"), "", "")
	for _, bad := range []string{`{"colour":"x"}`, `{"level":"all"}`, `{"frame_every":5}`, `[]`, `{`, ``, `{"log_level":"loud"}`} {
		if err := r.SetBoxPolicy(t.Context(), boxA, doc(bad), "eve"); err == nil {
			t.Errorf("policy %s: got no error", bad)
		}
	}
	if err := r.SetSitePolicy(t.Context(), "main", "nowhere", nil, "eve"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a site that is not there: got %v", err)
	}
}

func TestCommands(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	r := registrytest.Start(t, b)
	withSite(t, r)
	first, err := r.Order(t.Context(), boxA, "backup", nil, time.Hour, "eve")
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.Order(t.Context(), boxA, "end-allocation", json.RawMessage(`{"id":"x"}`), time.Hour, "eve")
	if err != nil {
		t.Fatal(err)
	}
	brief, err := r.Order(t.Context(), boxA, "restart", nil, time.Second, "eve")
	if err != nil {
		t.Fatal(err)
	}
	if got := pending(r); !reflect.DeepEqual(got, []string{first.ID, second.ID, brief.ID}) {
		t.Errorf("pending: got %v", got)
	}
	eventually(t, 3*time.Second, "a command expires", func() bool { return len(pending(r)) == 2 })
	for range 2 { // a result may come twice
		if err := r.Finish(t.Context(), boxA, first.ID, true, "12 MB", time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if got := pending(r); !reflect.DeepEqual(got, []string{second.ID}) {
		t.Errorf("pending after a result: got %v", got)
	}
	if res, ok := r.Results.Get(boxA.String() + "." + first.ID); !ok || !res.OK || res.Text != "12 MB" {
		t.Errorf("result: got %+v, %v", res, ok)
	}
	for _, id := range []string{"unknown", "", ">", "a.b", first.ID + ".x"} {
		if err := r.Finish(t.Context(), boxA, id, true, "", time.Now()); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("result of %q: got %v, want ErrNotFound", id, err)
		}
	}
	if _, err := r.Order(t.Context(), boxA, "format-disk", nil, time.Hour, "eve"); err == nil {
		t.Error("an unknown command: got no error")
	}
	if _, err := r.Order(t.Context(), boxA, "backup", json.RawMessage(`{`), time.Hour, "eve"); err == nil {
		t.Error("arguments that are no JSON: got no error")
	}
	for i := 0; err == nil; i++ {
		if i > 40 {
			t.Fatal("any number of commands may wait")
		}
		_, err = r.Order(t.Context(), boxA, "backup", nil, time.Hour, "eve")
	}
}

func pending(r *registry.Registry) []string {
	var out []string
	for _, c := range r.Pending(boxA) {
		out = append(out, c.ID)
	}
	return out
}

// person is as package people may have it.
type person struct {
	Name string    `json:"name"`
	Gone time.Time `json:"gone,omitzero"`
}

func (p person) Ends() time.Time { return p.Gone }

// A table of another package, with records that end by themselves.
func TestOwnTable(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	var people *registry.Table[person]
	r := registrytest.Start(t, b, func(r *registry.Registry) { people = registry.NewTable[person](r, "person") })
	c := r.Changes()
	defer c.Close()
	if err := people.Add(t.Context(), "eve", person{Name: "Eve"}); err != nil {
		t.Fatal(err)
	}
	if err := people.Add(t.Context(), "guest", person{Name: "Guest", Gone: time.Now().Add(3 * time.Second)}); err != nil {
		t.Fatal(err)
	}
	// A later writing must not make it last longer.
	if err := people.Change(t.Context(), "guest", func(p *person) error { p.Name = "guest"; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := people.All(); len(got) != 2 || got[0].Key != "eve" || got[1].Value.Name != "guest" || got[0].Revision >= got[1].Revision {
		t.Fatalf("got %+v", got)
	}
	drain(t, c)
	eventually(t, 15*time.Second, "a record ends", func() bool { return people.Len() == 1 })
	if got := c.Take(); len(got) != 1 || got[0] != (registry.Change{Kind: "person", Key: "guest", Gone: true, Revision: got[0].Revision}) {
		t.Errorf("changes: got %+v", got)
	}
	// Its mark goes as well, and that is not taken for a change that was missed.
	time.Sleep(3500 * time.Millisecond)
	again := registrytest.Start(t, b)
	eventually(t, 3*time.Second, "healthy", func() bool { return r.Healthy() == nil && again.Healthy() == nil })
	if got := c.Take(); len(got) != 0 {
		t.Errorf("changes after the mark is gone: got %+v", got)
	}
	if err := people.Add(t.Context(), "guest", person{Name: "another"}); err != nil {
		t.Errorf("in the place of one that ended: %v", err)
	}
	if err := people.Remove(t.Context(), "nobody"); err != nil {
		t.Errorf("removing nobody: %v", err)
	}
	for _, kind := range []string{"person", "late", "", "a.b", ">"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("table %q: got no panic", kind)
				}
			}()
			registry.NewTable[person](r, kind)
		}()
	}
}

// What another version wrote, or a hand, must not take the rest along.
func TestUnreadableRecord(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	r := registrytest.Start(t, b)
	withSite(t, r)
	if err := r.RevokeBox(t.Context(), boxA, "eve"); err != nil {
		t.Fatal(err)
	}
	kv, err := b.JetStream().KeyValue(t.Context(), broker.BucketRegistry)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"box." + boxA.String(), "future.x", "site", "site.", "box.x"} {
		if _, err := kv.Put(t.Context(), key, []byte("{not json")); err != nil && key != "site." {
			t.Fatal(err)
		}
	}
	if err := r.AddSite(t.Context(), registry.Site{Tenant: "main", Name: "after"}); err != nil {
		t.Fatal(err)
	}
	if box, ok := r.Box(boxA); !ok || box.Revoked.IsZero() {
		t.Errorf("the revoked box: got %+v, %v", box, ok)
	}
	if again := registrytest.Start(t, b); again.MayConnect(boxA) || !again.HasSite("main", "after") {
		t.Error("a node that starts: lets the box in, or lacks the site")
	}
}

func BenchmarkPending(b *testing.B) {
	br, _ := brokertest.Start(b, b.TempDir())
	r := registrytest.Start(b, br)
	if err := r.AddSite(b.Context(), registry.Site{Tenant: "main", Name: "hall-1"}); err != nil {
		b.Fatal(err)
	}
	for i := range 200 {
		id := wire.BoxID{Tenant: "main", Site: "hall-1", Box: fmt.Sprintf("b%d", i)}
		if err := r.ChangeBox(b.Context(), id, func(*registry.Box) error { return nil }); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Order(b.Context(), id, "backup", nil, time.Hour, "eve"); err != nil {
			b.Fatal(err)
		}
	}
	id := wire.BoxID{Tenant: "main", Site: "hall-1", Box: "b7"}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if len(r.Pending(id)) != 1 || r.PolicyFor(id).Revision != 0 {
				b.Error("not as set up")
			}
		}
	})
}

// A replicated stream refuses a write while another of the same record is on its
// way, with words of its own: that is tried again like any other conflict.
func TestChangesAtOnceInACluster(t *testing.T) {
	t.Parallel()
	c := brokertest.StartCluster(t, 3, "")
	b, _ := brokertest.Run(t, c.Config())
	r := registrytest.Start(t, b)
	withSite(t, r)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for k := range 5 {
				err := r.ChangeBox(t.Context(), boxA, func(b *registry.Box) error {
					b.Keys = append(b.Keys, registry.Key{ID: uint64(100*i + k + 10), Public: []byte("key")})
					return nil
				})
				if err != nil {
					t.Errorf("change %d of %d: %v", k, i, err)
				}
			}
		})
	}
	wg.Wait()
	if box, _ := r.Box(boxA); len(box.Keys) != 31 {
		t.Errorf("got %d keys, want 31", len(box.Keys))
	}
}

// A site that is removed goes after its boxes, so that a removal can be asked
// for again, and leaves no wish behind for the next of its name.
func TestRemoveSiteLeavesNothingWanted(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	r := registrytest.Start(t, b)
	withSite(t, r)
	if err := r.SetSitePolicy(t.Context(), "main", "hall-1", json.RawMessage(`{"level":"named"}`), "anna"); err != nil {
		t.Fatal(err)
	}
	if err := r.SetBoxPolicy(t.Context(), boxA, json.RawMessage(`{"relay_drain":true}`), "anna"); err != nil {
		t.Fatal(err)
	}
	was := r.PolicyFor(boxA)
	changes := r.Changes()
	defer changes.Close()
	if err := r.RemoveSite(t.Context(), "main", "hall-1", "anna"); err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, c := range changes.Take() {
		order = append(order, c.Kind)
	}
	if len(order) == 0 || order[0] != registry.KindBox || order[len(order)-1] != registry.KindSite {
		t.Errorf("changed in the order %v, want boxes first and the site last", order)
	}
	if box, _ := r.Box(boxA); box.Revoked.IsZero() {
		t.Error("the box is not revoked")
	}
	if err := r.AddSite(t.Context(), registry.Site{Tenant: "main", Name: "hall-1"}); err != nil {
		t.Fatal(err)
	}
	if p := r.PolicyFor(boxA); len(p.Site) > 0 || len(p.Box) > 0 || p.Revision <= was.Revision {
		t.Errorf("wanted of the box in the new site: %+v, was %d", p, was.Revision)
	}
}
