package outbox_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"signalbox/sync/outbox"
)

// filled returns the bytes of a closed outbox, and the box that filled it.
func filled(t *testing.T, ticks int) ([]byte, *box) {
	t.Helper()
	dir := t.TempDir()
	out := open(t, outbox.Config{Dir: dir}.NoSync())
	b := newBox(t, out)
	b.ticks(t, ticks)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "upstream.db"))
	if err != nil {
		t.Fatal(err)
	}
	return data, b
}

// openDamaged opens an outbox of these bytes and lets a box go on with it.
func openDamaged(t *testing.T, data []byte, was *box) (*outbox.Outbox, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "upstream.db"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	out := open(t, outbox.Config{Dir: dir}.NoSync())
	b := *was
	b.out, b.totals = out, map[uint32]uint64{}
	c := newCloud()
	c.drain(t, out)
	b.ticks(t, 3)
	c.drain(t, out)
	if newest := out.Stats().Newest; c.applied[out.Incarnation()] != newest {
		t.Errorf("the cloud has up to %d of %d", c.applied[out.Incarnation()], newest)
	}
	if err := out.Update(func(s *outbox.State) error {
		for id, n := range s.Counters {
			if got := c.totals[out.Stats().Incarnation][id]; got != n {
				t.Errorf("metric %d: the cloud has %d, the state %d", id, got, n)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	return out, dir
}

func TestDamagedFiles(t *testing.T) {
	data, b := filled(t, 400)
	const page = 4096
	for name, damage := range map[string]func([]byte) []byte{
		"empty":           func([]byte) []byte { return nil },
		"one byte":        func(d []byte) []byte { return d[:1] },
		"half":            func(d []byte) []byte { return d[:20*page] },
		"cut in a page":   func(d []byte) []byte { return d[:9*page+77] },
		"no metas":        func(d []byte) []byte { clear(d[:2*page]); return d },
		"zeroed pages":    func(d []byte) []byte { clear(d[4*page : 20*page]); return d },
		"another's pages": func(d []byte) []byte { copy(d[6*page:], d[8*page:12*page]); return d },
		"text":            func([]byte) []byte { return bytes.Repeat([]byte("not a database\n"), 4000) },
	} {
		t.Run(name, func(t *testing.T) {
			out, dir := openDamaged(t, damage(bytes.Clone(data)), b)
			if out.Recovered() == "" {
				t.Error("nobody is told")
			}
			if aside, _ := filepath.Glob(filepath.Join(dir, "upstream.db.bad-1")); len(aside) != 1 {
				t.Error("the file was not kept aside")
			}
		})
	}
}

// TestOneMetaIsEnough: a power cut tears the page that is written last.
func TestOneMetaIsEnough(t *testing.T) {
	data, b := filled(t, 50)
	for at := range 2 {
		d := bytes.Clone(data)
		clear(d[at*4096 : at*4096+512])
		if out, _ := openDamaged(t, d, b); out.Recovered() != "" {
			t.Errorf("meta %d: %s", at, out.Recovered())
		}
	}
}

// TestFlippedBits flips bits anywhere: the outbox always runs afterwards, the
// cloud gets what its state says, and a frame that is damaged costs only itself.
func TestFlippedBits(t *testing.T) {
	data, b := filled(t, 400)
	rng := rand.New(rand.NewPCG(8, 8))
	n := 100
	if raceDetector {
		n = 20
	}
	anew, frames := 0, 0
	for range n {
		d := bytes.Clone(data)
		for range 1 + rng.IntN(3) {
			d[rng.IntN(60*4096)] ^= 1 << rng.IntN(8)
		}
		out, dir := openDamaged(t, d, b)
		if aside, _ := filepath.Glob(filepath.Join(dir, "*.bad-*")); len(aside) > 0 {
			anew++
		} else if out.Recovered() != "" {
			frames++
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("of %d files %d were begun anew, %d lost only frames", n, anew, frames)
	if anew == 0 || frames == 0 {
		t.Error("want both")
	}
}

// TestDamageWhileRunning writes over the file of a running outbox, or cuts it
// off. Sooner or later it notices, and goes on.
func TestDamageWhileRunning(t *testing.T) {
	for name, damage := range map[string]func(*os.File) error{
		"overwritten": func(f *os.File) error {
			_, err := f.WriteAt(bytes.Repeat([]byte{0xA5}, 60*4096), 2*4096)
			return err
		},
		"cut off": func(f *os.File) error { return f.Truncate(3 * 4096) },
		"frames": func(f *os.File) error {
			data, err := io.ReadAll(f)
			for at, i := 0, 0; err == nil && i >= 0; at += i + 4 { // in each: some are of pages no longer in use
				if i = bytes.Index(data[at:], []byte{0x28, 0xB5, 0x2F, 0xFD}); i >= 0 {
					_, err = f.WriteAt([]byte{0x11, 0x22}, int64(at+i+40))
				}
			}
			return err
		},
	} {
		for _, reads := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", read first: ", reads), func(t *testing.T) { damageRunning(t, damage, reads) })
		}
	}
}

func damageRunning(t *testing.T, damage func(*os.File) error, reads bool) {
	dir := t.TempDir()
	out := open(t, outbox.Config{Dir: dir, KeepApplied: time.Minute}.NoSync())
	b := newBox(t, out)
	if err := out.Applied(out.Incarnation(), 0); err != nil {
		t.Fatal(err)
	}
	b.ticks(t, 300)
	f, err := os.OpenFile(filepath.Join(dir, "upstream.db"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := damage(f); err != nil {
		t.Fatal(err)
	}
	b.totals = map[uint32]uint64{}
	c := newCloud()
	c.applied[out.Incarnation()] = out.Stats().Newest
	if reads {
		if _, err := out.Next(1, 1000, 1<<20); err == nil {
			t.Error("Next read a damaged file")
		}
	}
	if err := out.Applied(out.Incarnation(), out.Stats().Newest); err != nil { // so that the next commit prunes
		t.Error(err)
	}
	failed := 0
	for range 10 {
		if err := b.tick(); err != nil {
			failed++
		}
	}
	if failed > 2 {
		t.Errorf("%d commits failed", failed)
	}
	c.drain(t, out)
	if out.Recovered() == "" {
		t.Error("nobody is told")
	}
	if err := out.Update(func(s *outbox.State) error {
		for id, n := range s.Counters {
			if got := c.totals[out.Stats().Incarnation][id]; got != n {
				t.Errorf("metric %d: the cloud has %d, the state %d", id, got, n)
			}
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// TestKeepsTwoBadFiles damages it again and again.
func TestKeepsTwoBadFiles(t *testing.T) {
	dir := t.TempDir()
	for range 5 {
		if err := os.WriteFile(filepath.Join(dir, "upstream.db"), []byte("no"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := open(t, outbox.Config{Dir: dir}.NoSync())
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	aside, _ := filepath.Glob(filepath.Join(dir, "*.bad-*"))
	if len(aside) != 2 || filepath.Base(aside[1]) != "upstream.db.bad-5" {
		t.Errorf("kept %v, want the newest two", aside)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
