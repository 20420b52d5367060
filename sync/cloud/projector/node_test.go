package projector_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/cloud/projector"
	"signalbox/sync/wire"
)

// register is what the registry would know: in these tests every box has a key
// that follows from its name.
type register struct {
	mu        sync.Mutex
	hidden    map[wire.BoxID]bool // until Refresh
	revoked   map[wire.BoxID]time.Time
	strangers map[wire.BoxID]bool
	refreshed int
	results   []projection.Result
	stuck     map[wire.BoxID]bool // whose results are not taken
}

func newRegister() *register {
	return &register{hidden: map[wire.BoxID]bool{}, revoked: map[wire.BoxID]time.Time{}, strangers: map[wire.BoxID]bool{}}
}

func private(box wire.BoxID) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(box.String()))
	return ed25519.NewKeyFromSeed(seed[:])
}

func (r *register) Keys(box wire.BoxID) []projector.Key {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.hidden[box] || r.strangers[box] {
		return nil
	}
	public := private(box).Public()
	id, err := wire.KeyID(public)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	return []projector.Key{{ID: id, Public: der, Until: r.revoked[box]}}
}

func (r *register) Refresh(_ context.Context, box wire.BoxID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refreshed++
	delete(r.hidden, box)
	return nil
}

func (r *register) PolicyFor(wire.BoxID) wire.Policy { return wire.Policy{Revision: 7} }

func (r *register) Pending(wire.BoxID) []wire.Command {
	return []wire.Command{{ID: "c1", Name: "backup", Expires: time.Now().Add(time.Hour)}}
}

func (r *register) Wants(wire.BoxID) (wire.Seconds, bool) { return 30, false }

func (r *register) Result(_ context.Context, result projection.Result) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stuck[result.Box] {
		return errors.New("it cannot be written")
	}
	r.results = append(r.results, result)
	return nil
}

func (r *register) heard() []projection.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.results
}

// node is a projector that runs.
type node struct {
	*projector.Projector
	p    *projection.Projection
	stop func()
}

func quick(b *broker.Broker, r *register, p *projection.Projection) projector.Config {
	return projector.Config{
		Projection: p, JetStream: b.JetStream(), Conn: b.Conn(), Keys: r, Desired: r, Results: r, Node: "n1",
		Logger: slog.New(slog.DiscardHandler), Linger: 10 * time.Millisecond, CheckEvery: 50 * time.Millisecond,
		ResyncAfter: 200 * time.Millisecond, NudgeEvery: 20 * time.Millisecond, RollEvery: 50 * time.Millisecond,
	}
}

// startNode runs a projector over the file at path until the test ends or stop.
func startNode(t testing.TB, b *broker.Broker, r *register, path string, set func(*projector.Config)) *node {
	t.Helper()
	p, err := projection.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	cfg := quick(b, r, p)
	if set != nil {
		set(&cfg)
	}
	pr, err := projector.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- pr.Run(ctx) }()
	n := &node{Projector: pr, p: p}
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("projector: %v", err)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(n.stop)
	return n
}

func file(t testing.TB) string { return filepath.Join(t.TempDir(), projection.FileName) }

// encode signs a body as its box does.
func encode(t testing.TB, box wire.BoxID, body *wire.Body) []byte {
	t.Helper()
	signer, err := wire.NewSigner(box, private(box))
	if err != nil {
		t.Fatal(err)
	}
	data, err := wire.EncodeBatch(signer, body)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// publish stores a batch in the stream.
func publish(t testing.TB, b *broker.Broker, box wire.BoxID, data []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := b.JetStream().Publish(ctx, box.FramesSubject(), data); err != nil {
		t.Fatal(err)
	}
}

// sendAll sends what a box has, n frames a batch.
func sendAll(t testing.TB, b *broker.Broker, p *projectiontest.Plant, n int) {
	t.Helper()
	for body := p.Body(n); body != nil; body = p.Body(n) {
		publish(t, b, p.ID, encode(t, p.ID, body))
	}
}

// wait waits until the node has applied all that the stream holds.
func (n *node) wait(t testing.TB, b *broker.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	feed := n.p.Subscribe()
	defer feed.Close()
	for {
		stream, err := b.JetStream().Stream(ctx, broker.StreamUp)
		if err != nil {
			t.Fatal(err)
		}
		info, at := stream.CachedInfo(), n.p.Position()
		if at.Stream.Equal(info.Created) && at.Seq >= info.State.LastSeq {
			return
		}
		if _, err := next(ctx, feed, 100*time.Millisecond); err != nil && ctx.Err() != nil {
			t.Fatalf("node is at %d of %d", at.Seq, info.State.LastSeq)
		}
	}
}

func next(ctx context.Context, feed *projection.Feed, d time.Duration) (projection.Change, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return feed.Next(ctx)
}

// eventually waits for a condition that nothing announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not so after 20 s: %s", what)
		}
	}
}

func checkTotals(t testing.TB, p *projection.Projection, plants ...*projectiontest.Plant) {
	t.Helper()
	for _, plant := range plants {
		v := p.Box(plant.ID)
		if v == nil {
			t.Errorf("%s is not known", plant.ID)
			continue
		}
		for _, m := range wire.Metrics {
			if m.Kind == wire.Counter && v.Total(m.ID) != plant.Total(m.ID) {
				t.Errorf("%s: %s is %d, want %d", plant.ID, m.Name, v.Total(m.ID), plant.Total(m.ID))
			}
		}
	}
}

func fleet(n, minutes int) []*projectiontest.Plant {
	plants := make([]*projectiontest.Plant, n)
	for i := range plants {
		plants[i] = projectiontest.NewPlant(3, i)
		for range minutes {
			plants[i].Minute()
		}
	}
	return plants
}

// remake deletes the stream and makes it anew, empty.
func remake(t testing.TB, b *broker.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := b.JetStream().Stream(ctx, broker.StreamUp)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	if err := b.JetStream().DeleteStream(ctx, broker.StreamUp); err != nil {
		t.Fatal(err)
	}
	if _, err := b.JetStream().CreateStream(ctx, cfg); err != nil {
		t.Fatal(err)
	}
}
