package backups

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/gateway"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/cloud/registry/registrytest"
	"signalbox/sync/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	boxA = wire.BoxID{Tenant: "main", Site: "hall-1", Box: "abcdefg234"}
	boxB = wire.BoxID{Tenant: "main", Site: "hall-2", Box: "bbcdefg234"}
)

// lab is the handler on a real broker and registry.
type lab struct {
	*Backups
	t        *testing.T
	broker   *broker.Broker
	registry *registry.Registry
	url      string
}

func newLab(t *testing.T, cfg Config) *lab {
	t.Helper()
	b, _ := brokertest.Start(t, t.TempDir())
	return newNode(t, b, cfg)
}

// newNode is a node on a broker, whose sites it makes if there are none.
func newNode(t *testing.T, b *broker.Broker, cfg Config) *lab {
	t.Helper()
	l := &lab{t: t, broker: b, registry: registrytest.Start(t, b)}
	for _, id := range []wire.BoxID{boxA, boxB} {
		if l.registry.HasSite(id.Tenant, id.Site) {
			continue
		}
		l.addSite(id)
		if err := l.registry.ChangeBox(t.Context(), id, func(*registry.Box) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	cfg.JetStream, cfg.Registry, cfg.Identify = l.broker.JetStream(), l.registry, believe
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	l.run(cfg)
	return l
}

func (l *lab) run(cfg Config) {
	l.t.Helper()
	var err error
	if l.Backups, err = New(cfg); err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	server := httptest.NewServer(l.Backups)
	l.url = server.URL
	l.t.Cleanup(func() {
		server.Close()
		cancel()
		if err := <-done; err != nil {
			l.t.Errorf("Run: %v", err)
		}
	})
	l.await("the bucket", func() bool { return l.store.Load() != nil })
}

func (l *lab) addSite(id wire.BoxID) {
	l.t.Helper()
	if err := l.registry.AddSite(l.t.Context(), registry.Site{Tenant: id.Tenant, Name: id.Site}); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) await(what string, done func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("waited for %s", what)
		}
	}
}

// believe believes everybody who names a box.
func believe(w http.ResponseWriter, r *http.Request) (gateway.Caller, bool) {
	name, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Box ")
	box, err := wire.ParseBoxID(name)
	if err != nil {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return gateway.Caller{}, false
	}
	return gateway.Caller{Box: box, Until: time.Now().Add(time.Hour), Proof: proof{}}, true
}

type proof struct{}

func (proof) Covers([]byte) bool { return true }

func (proof) Prove(w http.ResponseWriter, body []byte) bool {
	w.Header().Set("Test-Covers", string(body))
	return true
}

type answer struct {
	code   int
	reason string // of a refusal
	header http.Header
	body   []byte
}

func (l *lab) ask(method, path string, as wire.BoxID, body io.Reader) answer {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.url+wire.BackupPath+path, body)
	if err != nil {
		l.t.Fatal(err)
	}
	if long, ok := body.(*io.SectionReader); ok {
		r.ContentLength = long.Size()
	}
	r.Header.Set("Authorization", "Box "+as.String())
	r.Header.Set("Expect", "100-continue")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, ExpectContinueTimeout: 10 * time.Second}}
	got, err := client.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer got.Body.Close()
	content, err := io.ReadAll(got.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	a := answer{code: got.StatusCode, header: got.Header, body: content}
	if a.code != http.StatusOK {
		a.reason = wire.ParseFailure(content).Code
	}
	return a
}

func idOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

func (l *lab) put(as wire.BoxID, content []byte) answer {
	l.t.Helper()
	return l.ask(http.MethodPut, "/"+idOf(content), as, bytes.NewReader(content))
}

func (l *lab) ids(as wire.BoxID) (ids []string) {
	l.t.Helper()
	a := l.ask(http.MethodGet, "", as, nil)
	list, err := wire.ParseBackups(a.body)
	if err != nil || a.code != http.StatusOK || a.header.Get("Test-Covers") != string(a.body) {
		l.t.Fatalf("list: %d %s, %v, covered %q", a.code, a.body, err, a.header.Get("Test-Covers"))
	}
	for _, b := range list {
		ids = append(ids, b.ID)
	}
	return ids
}

// noise does not compress.
func noise(seed uint64, n int) []byte {
	b, rng := make([]byte, n), rand.New(rand.NewPCG(seed, 1))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// TestKeepsThree has a box send four, the last of 3 MiB, and read them.
func TestKeepsThree(t *testing.T) {
	l := newLab(t, Config{})
	if got := l.ids(boxA); len(got) != 0 {
		t.Errorf("before the first there are %v", got)
	}
	var sent []string
	for i, n := range []int{1, 70_000, 128 << 10, 3 << 20} {
		content := noise(uint64(i), n)
		a := l.put(boxA, content)
		made, err := wire.ParseBackup(a.body)
		if err != nil || a.code != http.StatusOK || made.ID != idOf(content) || made.Bytes != int64(n) || a.header.Get("Test-Covers") != string(a.body) {
			t.Fatalf("backup %d: %d %s, %v", i, a.code, a.body, err)
		}
		sent = append([]string{made.ID}, sent...)
		if got := l.ids(boxA); strings.Join(got, " ") != strings.Join(sent[:min(len(sent), wire.BackupsKept)], " ") {
			t.Errorf("after backup %d there are %v, want the newest of %v", i, got, sent)
		}
		read := l.ask(http.MethodGet, "/"+made.ID, boxA, nil)
		if read.code != http.StatusOK || !bytes.Equal(read.body, content) || read.header.Get("Content-Length") != strconv.Itoa(n) {
			t.Errorf("backup %d comes back with %d and %d bytes", i, read.code, len(read.body))
		}
	}
	if a := l.ask(http.MethodGet, "/"+sent[3], boxA, nil); a.reason != "not_found" {
		t.Errorf("the oldest: %d %s, want not_found", a.code, a.body)
	}
	if a := l.put(boxA, noise(3, 3<<20)); a.code != http.StatusOK {
		t.Errorf("the same again: %d %s", a.code, a.body)
	}
	if s := l.Stats(); s.Stored != 4 || s.Given != 4 || s.Active != 0 {
		t.Errorf("stats %+v, want 4 stored and 4 given", s)
	}
	store := l.store.Load()
	if size, err := store.size(t.Context()); err != nil || size > 4<<20 {
		t.Errorf("the bucket takes %d bytes, %v; want what was replaced gone", size, err)
	}
	seen, err := l.List(t.Context(), boxA.Tenant, boxA.Site)
	if err != nil || len(seen) != 3 || seen[0].ID != sent[0] || seen[0].Box != boxA.String() {
		t.Errorf("an operator sees %+v, %v", seen, err)
	}
	in, b, err := l.Open(t.Context(), boxA, "")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if content, err := io.ReadAll(in); err != nil || idOf(content) != b.ID || b.ID != sent[0] {
		t.Errorf("an operator gets %d bytes of %s, %v", len(content), b.ID, err)
	}
}

// TestRefuses has boxes do what they may not, and wants nothing of it kept.
func TestRefuses(t *testing.T) {
	l := newLab(t, Config{})
	content := noise(1, 200<<10)
	if a := l.put(boxA, content); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	unread := strings.NewReader("nobody asks for it")
	for name, x := range map[string]struct {
		method, path string
		body         io.Reader
		reason       string
	}{
		"of another box":        {http.MethodGet, "/" + idOf(content), nil, "not_found"},
		"without a digest":      {http.MethodPut, "", unread, "method"},
		"removal":               {http.MethodDelete, "/" + idOf(content), nil, "method"},
		"a path for a digest":   {http.MethodGet, "/../" + boxA.String() + "/0", nil, "id"},
		"digest in upper case":  {http.MethodPut, "/" + strings.ToUpper(idOf(content)), unread, "id"},
		"another digest":        {http.MethodPut, "/" + idOf(nil), bytes.NewReader(content), "digest"},
		"without its length":    {http.MethodPut, "/" + idOf(content), io.MultiReader(bytes.NewReader(content)), "length"},
		"a byte more than fits": {http.MethodPut, "/" + idOf(content), io.NewSectionReader(zeros{}, 0, wire.MaxBackupBytes+1), "oversize"},
	} {
		t.Run(name, func(t *testing.T) {
			before := l.Stats().Refused[x.reason]
			a := l.ask(x.method, x.path, boxB, x.body)
			if a.reason != x.reason {
				t.Errorf("answer %d %s, want %s", a.code, a.body, x.reason)
			}
			if n := l.Stats().Refused[x.reason]; n != before+1 {
				t.Errorf("counted %d, want %d", n, before+1)
			}
		})
	}
	if got := l.ids(boxB); len(got) != 0 {
		t.Errorf("box B has %v, want nothing", got)
	}
	if got := l.ids(boxA); len(got) != 1 {
		t.Errorf("box A has %v, want its one", got)
	}
	info, err := l.store.Load().stream.Info(t.Context(), jetstream.WithSubjectFilter(chunkSubjects+">"))
	if err != nil || len(info.State.Subjects) != 1 {
		t.Errorf("pieces of %v are in the bucket, %v; want those of one backup", info.State.Subjects, err)
	}
}

// zeros is as many of them as wanted.
type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) { clear(p); return len(p), nil }

// TestHalfSent cuts a box off in the middle.
func TestHalfSent(t *testing.T) {
	l := newLab(t, Config{})
	content := noise(1, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, l.url+wire.BackupPath+"/"+idOf(content), in)
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = int64(len(content))
	r.Header.Set("Authorization", "Box "+boxA.String())
	done := make(chan error, 1)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		answer, err := client.Do(r)
		if err == nil {
			answer.Body.Close()
		}
		done <- err
	}()
	if _, err := out.Write(content[:700<<10]); err != nil {
		t.Fatal(err)
	}
	l.await("the transfer to show", func() bool { return l.Stats().Active == 1 })
	if a := l.ask(http.MethodGet, "", boxA, nil); a.reason != "busy" || a.header.Get("Retry-After") == "" {
		t.Errorf("a second request of the box: %d %s, want busy", a.code, a.body)
	}
	if got := l.ids(boxB); len(got) != 0 {
		t.Errorf("box B has %v", got)
	}
	cancel()
	out.CloseWithError(errBody) // net/http waits for the reader of the body
	if err := <-done; err == nil {
		t.Error("the request that was cut has an answer")
	}
	l.await("the transfer to end", func() bool { return l.Stats().Active == 0 })
	if got, n := l.ids(boxA), l.Stats().Refused["body"]; len(got) != 0 || n != 1 {
		t.Errorf("the box has %v, %d refused; want nothing of the half, counted", got, n)
	}
}

// TestBounds wants a full bucket to refuse, and a box that sends all day to wait.
func TestBounds(t *testing.T) {
	l := newLab(t, Config{MaxBytes: 2 << 20})
	first := noise(0, 900<<10)
	if a := l.put(boxA, first); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	for range 2 { // all three places are taken by what is good
		if err := l.fill(boxA); err != nil {
			t.Fatal(err)
		}
	}
	good := l.ids(boxA)
	a := l.put(boxA, noise(1, 3<<20))
	if a.code != http.StatusInsufficientStorage || a.reason != "full" || a.header.Get("Retry-After") == "" {
		t.Errorf("when it is full: %d %s, want full", a.code, a.body)
	}
	if got := l.ids(boxA); !slices.Equal(got, good) {
		t.Errorf("the box has %v, want what it had, %v", got, good)
	}
	if read := l.ask(http.MethodGet, "/"+idOf(first), boxA, nil); !bytes.Equal(read.body, first) {
		t.Errorf("the first comes back with %d and %d bytes", read.code, len(read.body))
	}
	for i := range upBurst - 2 {
		if a := l.put(boxA, noise(uint64(i), 100)); a.code != http.StatusOK {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	if a := l.put(boxA, noise(99, 100)); a.reason != "rate" || a.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %s, want rate", a.code, a.body)
	}
	if a := l.put(boxB, noise(99, 100)); a.code != http.StatusOK {
		t.Errorf("another box: %d %s", a.code, a.body)
	}
}

// TestGoesWithTheSite removes a site, and tidies up after a node that died.
func TestGoesWithTheSite(t *testing.T) {
	l := newLab(t, Config{})
	for _, id := range []wire.BoxID{boxA, boxB} {
		if a := l.put(id, noise(1, 200<<10)); a.code != http.StatusOK {
			t.Fatalf("%d %s", a.code, a.body)
		}
	}
	if err := l.registry.RemoveSite(t.Context(), boxA.Tenant, boxA.Site, "test"); err != nil {
		t.Fatal(err)
	}
	l.await("the backups to be removed", func() bool { return l.Stats().Removed == 1 })
	s := l.store.Load()
	if list, _, err := s.list(t.Context(), boxA); err != nil || len(list) != 0 {
		t.Errorf("of the removed site there is %v, %v", list, err)
	}
	if got := l.ids(boxB); len(got) != 1 {
		t.Errorf("the other site has %v, want its one", got)
	}

	gone := wire.BoxID{Tenant: "main", Site: "never-was", Box: "cbcdefg234"}
	if _, err := s.put(t.Context(), slotName(gone, 0), bytes.NewReader(noise(2, 300<<10))); err != nil {
		t.Fatal(err)
	}
	if _, err := l.broker.JetStream().Publish(t.Context(), chunkSubjects+"left-by-a-node", []byte("a piece")); err != nil {
		t.Fatal(err)
	}
	if n, err := s.sweep(t.Context(), l.registry.HasSite, time.Hour, time.Hour); n != 0 || err != nil {
		t.Errorf("swept %d, %v; want what is young left", n, err)
	}
	if n, err := s.sweep(t.Context(), l.registry.HasSite, 0, 0); n != 1 || err != nil {
		t.Errorf("swept %d, %v; want the backup of no site", n, err)
	}
	info, err := s.stream.Info(t.Context(), jetstream.WithSubjectFilter(chunkSubjects+">"))
	if err != nil || len(info.State.Subjects) != 1 {
		t.Errorf("left are pieces of %v, %v; want those of box B", info.State.Subjects, err)
	}
	if got := l.ids(boxB); len(got) != 1 {
		t.Errorf("box B has %v, want its one", got)
	}
	if _, err := s.put(t.Context(), slotName(gone, 0), failing{}); !errors.Is(err, errBody) {
		t.Errorf("put: %v", err)
	}
}

// fill keeps one more small backup of a box, past its rate.
func (l *lab) fill(id wire.BoxID) error {
	s := l.store.Load()
	_, next, err := s.list(l.t.Context(), id)
	if err == nil {
		_, err = s.put(l.t.Context(), next, strings.NewReader(next))
	}
	return err
}

// TestRemovesWhenFull removes a site although nothing can be written any more.
func TestRemovesWhenFull(t *testing.T) {
	l := newLab(t, Config{MaxBytes: 1 << 20})
	for range 3 {
		if err := l.fill(boxA); err != nil {
			t.Fatal(err)
		}
	}
	for n := 256 << 10; n > 16; { // up to the brim
		if _, err := l.broker.JetStream().Publish(t.Context(), chunkSubjects+"brim", noise(1, n)); err != nil {
			n /= 2
		}
	}
	if err := l.registry.RemoveSite(t.Context(), boxA.Tenant, boxA.Site, "test"); err != nil {
		t.Fatal(err)
	}
	l.await("the backups to be removed", func() bool { return l.Stats().Removed == 3 })
	if list, _, err := l.store.Load().list(t.Context(), boxA); err != nil || len(list) != 0 {
		t.Errorf("of the removed site there is %v, %v", list, err)
	}
}

// TestExternalCluster has two nodes share what is in three servers, of which one dies.
func TestExternalCluster(t *testing.T) {
	cluster := brokertest.StartCluster(t, 3, "")
	var nodes []*lab
	for range 2 {
		b, _ := brokertest.Run(t, cluster.Config())
		nodes = append(nodes, newNode(t, b, Config{MaxBytes: 64 << 20}))
	}
	content := noise(1, 2<<20)
	if a := nodes[0].put(boxA, content); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	info, err := nodes[1].store.Load().stream.Info(t.Context())
	if err != nil || info.Config.Replicas != 3 {
		t.Errorf("copies %+v, %v; want 3", info, err)
	}
	if a := nodes[1].ask(http.MethodGet, "/"+idOf(content), boxA, nil); !bytes.Equal(a.body, content) {
		t.Errorf("the other node gives %d and %d bytes", a.code, len(a.body))
	}
	cluster.Kill(0)
	nodes[1].await("the backup to be there with a server less", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		in, _, err := nodes[1].Open(ctx, boxA, "")
		if err != nil {
			return false
		}
		defer in.Close()
		got, err := io.ReadAll(in)
		return err == nil && bytes.Equal(got, content)
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errBody }

// TestOtherNode has a second node take over with another bound.
func TestOtherNode(t *testing.T) {
	l := newLab(t, Config{})
	content := noise(1, 300<<10)
	if a := l.put(boxA, content); a.code != http.StatusOK {
		t.Fatalf("%d %s", a.code, a.body)
	}
	cfg := l.cfg
	cfg.MaxBytes = 1 << 30
	l.run(cfg)
	if a := l.ask(http.MethodGet, "/"+idOf(content), boxA, nil); !bytes.Equal(a.body, content) {
		t.Errorf("the other node gives %d and %d bytes", a.code, len(a.body))
	}
	info, err := l.store.Load().stream.Info(t.Context())
	if err != nil || info.Config.MaxBytes != 1<<30 {
		t.Errorf("bound %d, %v; want the one of the node that came last", info.Config.MaxBytes, err)
	}
}
