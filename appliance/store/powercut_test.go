package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/store"
)

// writeSome goes through everything that writes: the first start, updates, a
// backup, growth, compaction, damage with recovery from the backup. It says on
// standard output what must be there from then on.
func writeSome(dir string) error {
	s, err := store.Open(store.Config{Dir: dir})
	if err != nil {
		return err
	}
	n := 0
	write := func(count, bytes int) error {
		for range count {
			n++
			err := s.Update(context.Background(), func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists(bucketTest)
				if err != nil {
					return err
				}
				return errors.Join(b.Put([]byte("n"), fmt.Append(nil, n)),
					b.Put(fmt.Appendf(nil, "pad %d", n%50), make([]byte, bytes)))
			})
			if err != nil {
				return err
			}
			fmt.Printf("has %d\n", n)
		}
		return nil
	}
	backup := filepath.Join(dir, "backups", "signalbox-000001-20260102T150405Z.db")
	if err := errors.Join(write(20, 100), os.Mkdir(filepath.Dir(backup), 0o700), s.Backup(context.Background(), backup)); err != nil {
		return err
	}
	saved := n
	err = errors.Join(write(20, 300), write(12, 100_000), s.Update(context.Background(), func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketTest)
		for i := range 50 {
			if err := b.Delete(fmt.Appendf(nil, "pad %d", i)); err != nil {
				return err
			}
		}
		return nil
	}), s.Close())
	if err != nil {
		return err
	}
	large := s.Stats().FileBytes
	if s, err = store.Open(store.Config{Dir: dir}); err != nil {
		return err
	}
	if small := s.Stats().FileBytes; small > large/2 {
		return fmt.Errorf("not compacted: %d bytes of %d", small, large)
	}
	if err := errors.Join(write(10, 500), s.Close()); err != nil {
		return err
	}

	fmt.Printf("damaged %d\n", saved)
	f, err := os.OpenFile(s.Path(), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(5000), f.Close()); err != nil {
		return err
	}
	if s, err = store.Open(store.Config{Dir: dir}); err != nil {
		return err
	}
	if r := s.Recovery(); r.Rung != store.RungBackup {
		return fmt.Errorf("recovery: %v", r)
	}
	return errors.Join(write(10, 100), s.Close())
}

// claim is what the child had said when the power went.
type claim struct {
	has     int  // the least that must be there
	damaged bool // the database has been damaged on purpose
}

func (c *claim) hear(line string) {
	word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	n, _ := strconv.Atoi(number)
	switch word {
	case "has":
		c.has = n
	case "damaged":
		*c = claim{has: n, damaged: true}
	}
}

func TestPowerCutLosesNothingAcknowledged(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed (apt-get install strace): power cuts are not simulated")
	}
	dir, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	cmd := child(t, roleRecorded, dir, strace, "-f", "-qq", "-xx", "-s", "4194304", "-e", "trace="+tracedCalls, "-e", "signal=none", "-o", trace)
	if out, err := cmd.Output(); err != nil {
		if text, _ := os.ReadFile(trace); len(text) == 0 {
			t.Skipf("strace cannot trace here (%v): power cuts are not simulated", err)
		}
		t.Fatalf("recorded child: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	events, err := parseTrace(raw, dir)
	if err != nil {
		t.Fatal(err)
	}

	rng := rand.New(rand.NewPCG(2026, 11))
	scratch := memoryDir(t)
	cuts, rungs := 0, map[store.Rung]int{}
	for deadline := time.Now().Add(12 * time.Second); cuts < 1500 && time.Now().Before(deadline); {
		disk, done := newDisk(), 0
		for _, at := range sortedCuts(rng, 100, len(events)) {
			for ; done < at; done++ {
				disk.apply(events[done])
			}
			image, how := disk.crash(rng)
			name := fmt.Sprintf("cut %d after call %d of %d (%s)", cuts, at, len(events), how)
			rungs[openImage(t, scratch, name, image, disk.claim)]++
			cuts++
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d calls recorded, %d power cuts, recovered by %v", len(events), cuts, rungs)
	if rungs[store.RungNone] == 0 || rungs[store.RungBackup] == 0 {
		t.Error("the cuts do not cover both a sound file and one that needs its backup")
	}
}

// sortedCuts picks n moments, each after a number of calls.
func sortedCuts(rng *rand.Rand, n, calls int) []int {
	cuts := make([]int, n)
	for i := range cuts {
		cuts[i] = 1 + rng.IntN(calls)
	}
	slices.Sort(cuts)
	return cuts
}

// memoryDir is a folder for what needs no disk, to go easy on it.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "signalbox-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// openImage opens what a power cut left and compares it with the claim.
func openImage(t *testing.T, scratch, name string, image map[string][]byte, c claim) store.Rung {
	t.Helper()
	dir := filepath.Join(scratch, "image")
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, content := range image {
		path = filepath.Join(dir, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, content, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	s, err := store.Open(store.Config{Dir: dir, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Errorf("%s: open: %v\n%s", name, err, &log)
		return ""
	}
	r := s.Recovery()
	if !c.damaged && r.Rung != store.RungNone || r.Rung == store.RungEmpty {
		t.Errorf("%s: %v", name, r)
	}
	if got, _ := strconv.Atoi(get(t, s, "n")); got < c.has {
		t.Errorf("%s: %d is there, %d was acknowledged\n%s", name, got, c.has, &log)
	}
	if err := errors.Join(put(s, "after", "x"), s.Close()); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	return r.Rung
}

// disk is a file system with a volatile cache: what a call changed is certain
// to be there after a power cut only when a sync of that file or folder has
// returned since.
type disk struct {
	claim   claim
	names   map[string]int // durable: path below the data folder -> inode
	pending []event        // changes of names that are not synced, in order
	inodes  map[int]*inode
}

type inode struct {
	content []byte  // durable
	pending []event // writes and truncations that are not synced, in order
}

func newDisk() *disk {
	return &disk{names: map[string]int{}, inodes: map[int]*inode{}}
}

func (d *disk) inode(n int) *inode {
	if d.inodes[n] == nil {
		d.inodes[n] = &inode{}
	}
	return d.inodes[n]
}

func (d *disk) apply(e event) {
	switch e.call {
	case callSay:
		for line := range strings.Lines(string(e.data)) {
			d.claim.hear(line)
		}
	case callWrite, callTruncate:
		f := d.inode(e.inode)
		f.pending = append(f.pending, e)
	case callSync:
		f, rest := d.inode(e.inode), []event(nil)
		for _, w := range f.pending {
			if w.ended < e.began {
				f.content = w.change(f.content, nil)
			} else {
				rest = append(rest, w)
			}
		}
		f.pending = rest
	case callSyncDir:
		var rest []event
		for _, c := range d.pending {
			if c.ended < e.began && (filepath.Dir(c.path) == e.path || filepath.Dir(c.to) == e.path && c.to != "") {
				c.rename(d.names)
			} else {
				rest = append(rest, c)
			}
		}
		d.pending = rest
	default:
		d.pending = append(d.pending, e)
	}
}

// crash returns the files that a power cut leaves, chosen among all that are
// possible: changes of names are lost from some point on or here and there,
// writes are lost, reordered, or torn at sectors.
func (d *disk) crash(rng *rand.Rand) (image map[string][]byte, how string) {
	names := maps.Clone(d.names)
	until, gaps := rng.IntN(len(d.pending)+1), rng.IntN(4) == 0
	for i, c := range d.pending {
		if keep := i < until; keep && !gaps || gaps && rng.IntN(2) == 0 {
			c.rename(names)
		}
	}
	ways := []string{"all writes lost", "all writes kept", "a prefix kept", "some kept", "shuffled", "torn"}
	way := rng.IntN(len(ways))
	image = map[string][]byte{}
	for path, n := range names {
		f := d.inode(n)
		content := bytes.Clone(f.content)
		pending := append([]event(nil), f.pending...)
		if ways[way] == "shuffled" {
			rng.Shuffle(len(pending), func(i, j int) { pending[i], pending[j] = pending[j], pending[i] })
		}
		cut := rng.IntN(len(pending) + 1)
		for i, w := range pending {
			switch ways[way] {
			case "all writes kept":
				content = w.change(content, nil)
			case "a prefix kept":
				if i < cut {
					content = w.change(content, nil)
				}
			case "some kept", "shuffled":
				if rng.IntN(2) == 0 {
					content = w.change(content, nil)
				}
			case "torn":
				content = w.change(content, func() bool { return rng.IntN(2) == 0 })
			}
		}
		image[path] = content
	}
	return image, ways[way]
}

const sectorSize = 512

// change applies a write or truncation. With arrives, each sector of a write
// gets to the disk only when it says so.
func (e event) change(content []byte, arrives func() bool) []byte {
	if e.call == callTruncate {
		if int(e.offset) <= len(content) {
			return content[:e.offset]
		}
		return append(content, make([]byte, int(e.offset)-len(content))...)
	}
	for from := 0; from < len(e.data); {
		at := int(e.offset) + from
		to := min(from+sectorSize-at%sectorSize, len(e.data))
		if arrives == nil || arrives() {
			if end := int(e.offset) + to; end > len(content) {
				content = append(content, make([]byte, end-len(content))...)
			}
			copy(content[at:], e.data[from:to])
		}
		from = to
	}
	return content
}

// rename applies a change of names; one whose file is not there does nothing.
func (e event) rename(names map[string]int) {
	switch e.call {
	case callCreate:
		names[e.path] = e.inode
	case callUnlink:
		delete(names, e.path)
	case callLink:
		names[e.to] = e.inode
	case callRename:
		if names[e.path] == e.inode {
			delete(names, e.path)
		}
		names[e.to] = e.inode
	}
}
