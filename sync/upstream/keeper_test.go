package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/sync/upstream/identity"
	"signalbox/sync/upstream/sealed"
	"signalbox/sync/wire"
)

const keeperBox = "abcdefg234"

// shelf is a test's place for sealed backups.
type shelf struct {
	*httptest.Server
	t    *testing.T
	root *authority
	box  *person

	mu       sync.Mutex
	kept     []wire.Backup // newest first
	content  map[string][]byte
	puts     int
	refuse   []int // statuses of the next PUTs
	unsigned bool
	spoil    func([]byte) []byte // what is given out
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{t: t, root: newAuthority(t), content: map[string][]byte{}}
	s.Server = httptest.NewUnstartedServer(s)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{s.root.der}, PrivateKey: s.root.key}}, MinVersion: tls.VersionTLS12}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	s.box = newPerson(t, s.root, s.URL)
	s.box.box.Box = keeperBox
	return s
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p, err := wire.ParseProof(r.Header.Get("Authorization"))
	if err != nil {
		w.Header().Set("WWW-Authenticate", wire.Challenge("nonce-of-the-cloud"))
		http.Error(w, "prove it", http.StatusUnauthorized)
		return
	}
	if !p.Verify(s.box.key.Public(), r.Method, wire.Target(r.URL)) {
		http.Error(w, "that is no proof", http.StatusForbidden)
		return
	}
	id := strings.Trim(strings.TrimPrefix(r.URL.Path, wire.BackupPath), "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.Method == http.MethodPut:
		if s.puts++; len(s.refuse) > 0 {
			status := s.refuse[0]
			s.refuse = s.refuse[1:]
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(wire.Failure{Code: "full", Message: "no room"})
			return
		}
		body, err := io.ReadAll(r.Body)
		if sum := sha256.Sum256(body); err != nil || hex.EncodeToString(sum[:]) != id || r.ContentLength != int64(len(body)) {
			s.t.Errorf("PUT of %s: %d bytes of another digest, %v", id, len(body), err)
		}
		s.keepLocked(id, body)
		s.answer(w, p, s.kept[0])
	case id == "":
		s.answer(w, p, wire.Backups{Backups: s.kept})
	default:
		if s.content[id] == nil {
			http.Error(w, "no such backup", http.StatusNotFound)
			return
		}
		w.Header().Set(wire.CloudProofHeader, s.sign(p, nil))
		body := s.content[id]
		if s.spoil != nil {
			body = s.spoil(bytes.Clone(body))
		}
		_, _ = w.Write(body)
	}
}

func (s *shelf) keepLocked(id string, body []byte) {
	s.content[id] = body
	s.kept = append([]wire.Backup{{ID: id, Bytes: int64(len(body)), At: time.Now().UTC()}}, s.kept...)
}

// keep puts something on the shelf as if a box had brought it.
func (s *shelf) keep(body []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := sha256.Sum256(body)
	s.keepLocked(hex.EncodeToString(sum[:]), body)
}

func (s *shelf) answer(w http.ResponseWriter, p *wire.Proof, document any) {
	body, _ := json.Marshal(document)
	if !s.unsigned {
		w.Header().Set(wire.CloudProofHeader, s.sign(p, body))
	}
	_, _ = w.Write(body)
}

func (s *shelf) sign(p *wire.Proof, body []byte) string {
	proof, err := wire.NewCloudProof(s.root.key, [][]byte{s.root.der}, time.Now(), p, body)
	if err != nil {
		s.t.Error(err)
	}
	return proof.Header()
}

func (s *shelf) count() (puts, kept int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.puts, len(s.kept)
}

// folder is a box's backups.
type folder struct {
	dir, box string
	n        int
	name     string // of the newest
}

func (f *folder) BoxID() string { return f.box }

func (f *folder) NewestBackup() (*os.File, time.Time, error) {
	if f.name == "" {
		return nil, time.Time{}, fs.ErrNotExist
	}
	file, err := os.Open(f.name)
	return file, time.UnixMilli(1_770_000_000_000), err
}

func (f *folder) add(t *testing.T, content []byte) {
	t.Helper()
	f.n++
	f.name = filepath.Join(f.dir, fmt.Sprintf("backup-%d", f.n))
	if err := os.WriteFile(f.name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// newKeeper is the keeper of a box that is connected to the shelf.
func newKeeper(t *testing.T, s *shelf, cfg Config) (*keeper, *folder) {
	t.Helper()
	f := &folder{dir: t.TempDir(), box: keeperBox}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Backup, cfg.Archive, cfg.Source, cfg.SiteKey = true, f, &parts{}, bytes.Repeat([]byte{1}, wire.MinSiteKeyBytes)
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.status.Connected, a.status.URL = true, s.URL
	m := &member{Agent: a, identity: s.box, box: s.box.box, dialer: &dialer{identity: s.box, proxy: a.cfg.Proxy, meter: a.meter}}
	return &keeper{member: m, kept: readKept(cfg.Dir, m.box)}, f
}

// hiss does not compress.
func hiss(seed, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b) // never fails, by its contract
	return b
}

// TestBringsBackups wants each new state at the cloud once, and nothing else.
func TestBringsBackups(t *testing.T) {
	s := newShelf(t)
	k, f := newKeeper(t, s, Config{})
	bring := func(what string, puts int) {
		t.Helper()
		if err := k.bring(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got, _ := s.count(); got != puts {
			t.Errorf("%s: %d backups sent so far, want %d", what, got, puts)
		}
	}
	bring("without a backup", 0)
	first := hiss(1, 300_000)
	f.add(t, first)
	bring("the first", 1)
	bring("nothing new", 1)
	f.add(t, first)
	bring("a backup of an unchanged state", 1)
	f.add(t, hiss(2, 1000))
	bring("a changed one", 2)
	k = &keeper{member: k.member, kept: readKept(k.cfg.Dir, k.box)}
	bring("after a start", 2)

	code, err := sealed.ReadCode(k.cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	at, err := sealed.Open(&out, bytes.NewReader(s.content[s.kept[1].ID]), code, 1<<20)
	if err != nil || !bytes.Equal(out.Bytes(), first) || at.UnixMilli() != 1_770_000_000_000 {
		t.Errorf("the first comes back as %d bytes of %v, %v", out.Len(), at, err)
	}
	elsewhere := s.box.box
	elsewhere.Site = "hall-3"
	if kept := readKept(k.cfg.Dir, elsewhere); kept != (keptBackup{}) {
		t.Errorf("at another site there is %+v already", kept)
	}
	if left, err := filepath.Glob(filepath.Join(k.cfg.Dir, ".new-*")); err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// TestBackupNotBrought names what keeps a backup from the cloud.
func TestBackupNotBrought(t *testing.T) {
	s := newShelf(t)
	k, f := newKeeper(t, s, Config{})
	f.add(t, hiss(1, 1000))
	f.box = "bbcdefg234"
	if err := k.bring(t.Context()); !errors.Is(err, errOtherBox) {
		t.Errorf("of another box: %v, want errOtherBox", err)
	}
	f.box = keeperBox
	k.status.Connected = false
	if err := k.bring(t.Context()); !errors.Is(err, errNoWay) {
		t.Errorf("without a connection: %v, want errNoWay", err)
	}
	k.status.Connected = true
	s.refuse = []int{http.StatusInsufficientStorage}
	err := k.bring(t.Context())
	if p, ok := errors.AsType[*problem](err); !ok || p.after != 7*time.Second || !strings.Contains(err.Error(), "no room") {
		t.Errorf("refused: %v, want the cloud's words and 7 s", err)
	}
	s.unsigned = true
	if err := k.bring(t.Context()); !errors.Is(err, errNotTheCloud) {
		t.Errorf("an answer without a signature: %v, want errNotTheCloud", err)
	}
	s.unsigned = false
	puts, _ := s.count()
	f.add(t, hiss(2, wire.MaxBackupBytes))
	if err := k.bring(t.Context()); err == nil || !strings.Contains(err.Error(), "the cloud keeps at most") {
		t.Errorf("too large: %v", err)
	}
	if got, _ := s.count(); got != puts {
		t.Error("one that is too large was sent")
	}
}

// TestBackupRetries has the cloud refuse twice: the box says why and comes again.
func TestBackupRetries(t *testing.T) {
	s := newShelf(t)
	s.refuse = []int{http.StatusServiceUnavailable, http.StatusInsufficientStorage}
	k, f := newKeeper(t, s, Config{Speed: 1000})
	ctx, cancel := context.WithCancel(t.Context())
	var run sync.WaitGroup
	defer run.Wait()
	defer cancel()
	f.add(t, hiss(1, 1000))
	run.Go(func() { k.member.keepBackups(ctx) })
	k.BackupMade()
	var seen []string
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		st := k.Status()
		if st.BackupFault != "" && !slices.Contains(seen, st.BackupFault) {
			seen = append(seen, st.BackupFault)
		}
		if !st.BackupAt.IsZero() {
			if st.BackupFault != "" || st.BackupBytes < 64<<10 || !st.BackupOn {
				t.Errorf("status %+v after it was brought", st)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not brought; status %+v", st)
		}
	}
	if puts, kept := s.count(); puts != 3 || kept != 1 || len(seen) == 0 {
		t.Errorf("%d attempts, %d kept, faults %q; want 3, 1 and what was wrong", puts, kept, seen)
	}
}

// TestBackupKeepsToTheCap sends 320 KiB at 1 Mbit/s.
func TestBackupKeepsToTheCap(t *testing.T) {
	s := newShelf(t)
	k, f := newKeeper(t, s, Config{UplinkRate: 1e6})
	f.add(t, hiss(1, 256<<10))
	began := time.Now()
	if err := k.bring(t.Context()); err != nil {
		t.Fatal(err)
	}
	bits := float64(k.kept.Bytes * 8)
	if took, least := time.Since(began), time.Duration((bits/1e6-1.3)*float64(time.Second)); took < least {
		t.Errorf("%.0f bits took %v, want at least %v at 1 Mbit/s after a burst of a second", bits, took, least)
	}
}

// TestBackupThroughProxy takes the way that the link takes.
func TestBackupThroughProxy(t *testing.T) {
	s := newShelf(t)
	p := newProxy(t, "user:secret")
	k, f := newKeeper(t, s, Config{Proxy: through(p, url.UserPassword("user", "secret"))})
	f.add(t, hiss(1, 1000))
	if err := k.bring(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.opened.Load() == 0 {
		t.Error("the proxy was passed by")
	}
}

// TestFetchBackup gets the newest backup that is any good.
func TestFetchBackup(t *testing.T) {
	s := newShelf(t)
	k, f := newKeeper(t, s, Config{})
	cfg := Config{Dir: k.cfg.Dir, Logger: k.log, open: func(string, string) (Identity, error) { return s.box, nil }}
	fetch := func(code sealed.Code) ([]byte, error) {
		t.Helper()
		path, _, err := FetchBackup(t.Context(), cfg, code)
		if err != nil {
			if path != "" {
				t.Errorf("with an error there is a file %s", path)
			}
			return nil, err
		}
		content, err := os.ReadFile(path)
		return content, errors.Join(err, os.Remove(path))
	}
	if _, err := fetch(sealed.Code{}); !errors.Is(err, ErrNotKept) {
		t.Errorf("without a code: %v, want ErrNotKept", err)
	}
	own, err := sealed.EnsureCode(cfg.Dir, keeperBox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(own); err == nil || !strings.Contains(err.Error(), "has no backup of this box") {
		t.Errorf("with nothing there: %v", err)
	}
	older, newer := hiss(1, 200_000), hiss(2, 100_000)
	for _, content := range [][]byte{older, newer} {
		f.add(t, content)
		if err := k.bring(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := fetch(sealed.Code{}); err != nil || !bytes.Equal(got, newer) {
		t.Errorf("got %d bytes, %v; want the newest", len(got), err)
	}

	damaged := bytes.Clone(s.content[s.kept[0].ID])
	damaged[len(damaged)/2] ^= 1
	s.keep(damaged) // by somebody who has the cloud
	if got, err := fetch(own); err != nil || !bytes.Equal(got, newer) {
		t.Errorf("with a damaged one first: %d bytes, %v; want the newest that opens", len(got), err)
	}
	wrong, err := sealed.NewCode(keeperBox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(wrong); !errors.Is(err, sealed.ErrWrongCode) {
		t.Errorf("with another code: %v, want ErrWrongCode", err)
	}
	foreign, err := sealed.NewCode("bbcdefg234")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(foreign); err == nil || !strings.Contains(err.Error(), "has joined as") {
		t.Errorf("with the code of another box: %v", err)
	}
	for name, spoil := range map[string]func([]byte) []byte{
		"changed":  func(b []byte) []byte { b[100] ^= 1; return b },
		"cut off":  func(b []byte) []byte { return b[:len(b)-1] },
		"too long": func(b []byte) []byte { return append(b, 0) },
	} {
		s.spoil = spoil
		if _, err := fetch(own); !errors.Is(err, errChanged) {
			t.Errorf("%s on its way: %v, want errChanged", name, err)
		}
	}
	s.spoil = nil
	cfg.open = func(string, string) (Identity, error) { return nil, identity.ErrNone }
	if _, err := fetch(own); !errors.Is(err, ErrNotKept) {
		t.Errorf("of a box that has not joined: %v, want ErrNotKept", err)
	}
	if left, err := filepath.Glob(filepath.Join(cfg.Dir, ".new-*")); err != nil || len(left) != 0 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

// TestFetchWithoutTheCloud does not wait for one that takes connections and says
// nothing, and asks the next address.
func TestFetchWithoutTheCloud(t *testing.T) {
	s := newShelf(t)
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	dir := t.TempDir()
	code, err := sealed.EnsureCode(dir, keeperBox)
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := sealed.Seal(&file, strings.NewReader("state"), code, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.keep(file.Bytes())
	cfg := Config{Dir: dir, Speed: 10, URL: []string{"https://" + silent.Addr().String()}, open: func(string, string) (Identity, error) { return s.box, nil }}
	began := time.Now()
	_, _, err = FetchBackup(t.Context(), cfg, sealed.Code{})
	if took := time.Since(began); err == nil || !strings.Contains(err.Error(), "gives no backup") || took > 10*time.Second {
		t.Errorf("from a cloud that says nothing: %v after %v", err, took)
	}
	cfg.Speed, cfg.URL = 1, []string{"https://" + closed.Addr().String(), s.URL}
	path, _, err := FetchBackup(t.Context(), cfg, sealed.Code{})
	if err != nil {
		t.Fatal(err)
	}
	if content, err := os.ReadFile(path); string(content) != "state" {
		t.Errorf("from the second address: %q, %v", content, err)
	}
}
