package identity_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/identity"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/cloud/registry/registrytest"
	"signalbox/sync/wire"
)

// twoNodes are two cloud nodes over one broker. The second has the issuer's
// files and the root's certificate, not its key.
func twoNodes(t *testing.T) (one, two *cloud, records *registry.Registry) {
	t.Helper()
	b, _ := brokertest.Start(t, t.TempDir())
	first, second := registrytest.Start(t, b), registrytest.Start(t, b)
	if err := first.AddSite(t.Context(), registry.Site{Tenant: wire.DefaultTenant, Name: site}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return second.HasSite(wire.DefaultTenant, site) })
	dir := t.TempDir()
	one = newNode(t, dir, first)
	copied := t.TempDir()
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(copied, "ca", "root.key")); err != nil {
		t.Fatal(err)
	}
	return one, newNode(t, copied, second), first
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 2*time.Second {
			t.Fatal("not within 2 s")
		}
	}
}

// on is the box at another node.
func (b *box) on(c *cloud) *box {
	there := *b
	there.cloud = c
	return &there
}

// TestTwoNodes takes a nonce at one node and proves at the other, and revokes.
func TestTwoNodes(t *testing.T) {
	one, two, records := twoNodes(t)
	b := one.joined("kfz")
	eventually(t, func() bool { return b.on(two).self() == "" })
	p, err := wire.NewProof(b.key, b.chain, one.nonce(), "GET", wire.SelfPath, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := two.send("GET", wire.SelfPath, nil, p.Header()); status != http.StatusOK {
		t.Errorf("the other node's nonce: %d %s", status, body)
	}
	if string(one.auth.SessionKey()) != string(two.auth.SessionKey()) {
		t.Error("the nodes sign sessions with different keys")
	}
	if refused := b.on(two).renew(b.key); refused != "" {
		t.Errorf("renew at the other node: %s", refused)
	}
	if err := two.Revoke(context.Background(), b.id(), "admin"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, func() bool { return b.self() == string(identity.ReasonBoxRevoked) })
	t.Logf("revoked on the other node after %v", time.Since(began).Round(time.Millisecond))
	if kept, _ := records.Box(b.id()); kept.RevokedBy != "admin" || kept.Serial == "" {
		t.Errorf("registry has %+v", kept)
	}
}

// TestRaceOfNodes has twenty boxes race for five uses of a token at two nodes.
func TestRaceOfNodes(t *testing.T) {
	one, two, records := twoNodes(t)
	token := one.token(5)
	eventually(t, func() bool { _, ok := records.Tokens.Get(token.ID()); return ok })
	var in, out atomic.Int32
	var group sync.WaitGroup
	for i := range 20 {
		b := []*cloud{one, two}[i%2].box("box-" + string(rune('a'+i)))
		r := b.request(token)
		group.Go(func() {
			refused := b.join(token, r)
			// The broker got no processor in time: the box comes again, with the same key.
			for tries := 1; refused == string(identity.ReasonRegistry) && tries < 10; tries++ {
				refused = b.join(token, r)
			}
			switch refused {
			case "":
				in.Add(1)
			case string(identity.ReasonTokenUsedUp), string(identity.ReasonTooOften):
				out.Add(1)
			default:
				t.Errorf("refused: %s", refused)
			}
		})
	}
	group.Wait()
	if in.Load() != 5 || out.Load() != 15 {
		t.Errorf("%d in, %d out", in.Load(), out.Load())
	}
	if boxes := records.BoxesOf(wire.DefaultTenant, site); len(boxes) != 5 {
		t.Errorf("the registry has %v", boxes)
	}
}
