package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// sampleImage is a small database with everything bbolt has: branches, leaves,
// inline and nested buckets, values over several pages, and free pages.
func sampleImage(tb testing.TB) []byte {
	tb.Helper()
	s := openTest(tb, Config{Dir: tb.TempDir()})
	write := func(fn func(*bbolt.Tx) error) {
		tb.Helper()
		if err := s.Update(context.Background(), fn); err != nil {
			tb.Fatal(err)
		}
	}
	write(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("large"))
		if err != nil {
			return err
		}
		for i := range 60 {
			if err := b.Put(fmt.Appendf(nil, "key-%03d", i), bytes.Repeat([]byte{byte(i)}, 300)); err != nil {
				return err
			}
		}
		return b.Put([]byte("long"), make([]byte, 9000))
	})
	write(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte("large"))
		nested, err := b.CreateBucket([]byte("nested"))
		if err != nil {
			return err
		}
		if err := nested.Put([]byte("inline"), []byte("value")); err != nil {
			return err
		}
		for i := range 20 {
			if err := b.Delete(fmt.Appendf(nil, "key-%03d", 2*i)); err != nil {
				return err
			}
		}
		return putSealed(tx, bucketKeys, []byte("secret"), []byte("0123456789"))
	})
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
	image, err := os.ReadFile(s.Path())
	if err != nil {
		tb.Fatal(err)
	}
	// The end that the file has grown ahead by holds nothing.
	metas, err := readMetas(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		tb.Fatal(err)
	}
	return image[:int64(metas[0].highWater)*metas[0].pageSize]
}

func openTest(tb testing.TB, cfg Config) *Store {
	tb.Helper()
	s, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

// fixMetas makes the checksums of both meta pages right again.
func fixMetas(image []byte) {
	page := os.Getpagesize()
	for at := pageHeaderSize; at+metaSize <= len(image) && at < 2*page; at += page {
		sum := fnv.New64a()
		_, _ = sum.Write(image[at : at+56])
		native.PutUint64(image[at+56:], sum.Sum64())
	}
}

func TestInspectReportsWhatIsWrong(t *testing.T) {
	image := sampleImage(t)
	page := os.Getpagesize()
	metas, err := readMetas(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		t.Fatal(err)
	}
	newest := metas[0]
	meta := func(b []byte) []byte { return b[newest.at+pageHeaderSize:] }
	root := func(b []byte) []byte { return b[int(newest.root)*page:] }
	for _, test := range []struct {
		name string
		edit func([]byte) []byte
		want string // "" when the older state is found whole
	}{
		{"empty", func([]byte) []byte { return nil }, "the file is empty"},
		{"one byte", func(b []byte) []byte { return b[:1] }, "neither of its two meta pages is intact"},
		{"zeroes", func(b []byte) []byte { return make([]byte, len(b)) }, "neither of its two meta pages is intact"},
		{"cut off", func(b []byte) []byte { return b[:3*page] }, "cut off"},
		{"newest meta torn", func(b []byte) []byte { meta(b)[20]++; return b }, ""},
		{"root is a freelist", func(b []byte) []byte { root(b)[8] = freelistPage; return b }, ""},
		{"root names another page", func(b []byte) []byte { root(b)[0]++; return b }, ""},
		{"root beyond the file", func(b []byte) []byte {
			native.PutUint64(meta(b)[16:], 1<<40)
			fixMetas(b)
			return b
		}, ""},
		{"more entries than fit", func(b []byte) []byte { native.PutUint16(root(b)[10:], 0xFFFF); return b }, ""},
		{"overflow beyond the file", func(b []byte) []byte { native.PutUint32(root(b)[12:], 1<<31); return b }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := test.edit(bytes.Clone(image))
			found, err := inspect(bytes.NewReader(b), int64(len(b)))
			if test.want == "" {
				if err != nil {
					t.Fatalf("inspect: %v, want the older state", err)
				}
				if test.name != "newest meta torn" && found.problem == nil {
					t.Error("the newest state passed")
				}
				return
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("inspect = %v, want ErrDamaged with %q", err, test.want)
			}
		})
	}
}

// applyEdits writes byte b at offset o for every (o24, b) in edits; the first
// byte asks to cut the file and to fix the checksums of the meta pages.
func applyEdits(image, edits []byte) []byte {
	b := bytes.Clone(image)
	if len(edits) == 0 {
		return b
	}
	how, edits := edits[0], edits[1:]
	for ; len(edits) >= 4; edits = edits[4:] {
		at := int(edits[0])<<16 | int(binary.BigEndian.Uint16(edits[1:]))
		b[at%len(b)] = edits[3]
	}
	if how&1 != 0 {
		fixMetas(b)
	}
	if how&2 != 0 {
		b = b[:len(b)*int(how)/256]
	}
	return b
}

// exercise uses a file that inspect has passed in every way we do. A panic in
// one of bbolt's goroutines would end the test binary.
func exercise(t *testing.T, image []byte) {
	path := filepath.Join(t.TempDir(), "image.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := openBolt(path, Config{}.withDefaults())
	if err != nil {
		t.Fatalf("inspect passed a file that bbolt does not open: %v", err)
	}
	defer db.Close() //nolint:errcheck // thrown away
	db.NoSync = true
	if err := checkAll(db); err != nil {
		t.Fatalf("inspect passed a file that bbolt finds wrong: %v", err)
	}
	for range 3 {
		err := db.update(churn)
		if err != nil && !errors.Is(err, berrors.ErrIncompatibleValue) {
			t.Fatalf("inspect passed a file that cannot be written: %v", err)
		}
	}
	if err := checkAll(db); err != nil {
		t.Fatalf("inspect passed a file that a write spoils: %v", err)
	}
}

// churn deletes and puts in every bucket.
func churn(tx *bbolt.Tx) error {
	return tx.ForEach(func(_ []byte, b *bbolt.Bucket) error {
		var keys [][]byte
		err := b.ForEach(func(k, v []byte) error {
			if v != nil {
				keys = append(keys, bytes.Clone(k))
			}
			return nil
		})
		if err != nil {
			return err
		}
		for i, k := range keys {
			if i%3 == 0 {
				err = b.Delete(k)
			} else {
				err = b.Put(append(k, 'x'), make([]byte, 50*i))
			}
			if err != nil && !errors.Is(err, berrors.ErrKeyTooLarge) {
				return err
			}
		}
		return nil
	})
}

func checkAll(db *database) error {
	return db.view(func(tx *bbolt.Tx) error {
		var first error
		for err := range tx.Check() {
			// A leaked page is lost space, and bbolt looks at the header of
			// meta pages that it does not use.
			harmless := strings.Contains(err.Error(), "unreachable unfreed") || strings.Contains(err.Error(), "Page expected to be: 0") ||
				strings.Contains(err.Error(), "Page expected to be: 1") || strings.Contains(err.Error(), "page 0: has") || strings.Contains(err.Error(), "page 1: has")
			if first == nil && !harmless {
				first = err
			}
		}
		return first
	})
}

func FuzzInspect(f *testing.F) {
	image := sampleImage(f)
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 40, 7})
	f.Add([]byte{130})
	f.Add([]byte{0, 0, 0x30, 8, 1, 0, 0x30, 10, 255})
	f.Fuzz(func(t *testing.T, edits []byte) {
		b := applyEdits(image, edits)
		found, err := inspect(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("inspect = %v, want ErrDamaged", err)
			}
			return
		}
		if found.problem == nil && found.crooked == nil {
			exercise(t, b)
		}
	})
}

func TestInspectPassesOnlyWhatBoltCanUse(t *testing.T) {
	image := sampleImage(t)
	rng := rand.New(rand.NewPCG(1, 2))
	passed := 0
	const files = 800
	for range files {
		edits := make([]byte, 1+4*(1+rng.IntN(3)))
		for i := range edits {
			edits[i] = byte(rng.Uint32())
		}
		edits[0] &= 1
		// Most of a page is values; its header and entries are at the front.
		for i := 1; i < len(edits); i += 4 {
			at := rng.IntN(len(image)/4096)*4096 + rng.IntN(128)
			edits[i], edits[i+1], edits[i+2] = byte(at>>16), byte(at>>8), byte(at)
		}
		b := applyEdits(image, edits)
		found, err := inspect(bytes.NewReader(b), int64(len(b)))
		if err == nil && found.problem == nil && found.crooked == nil {
			passed++
			exercise(t, b)
		}
	}
	if passed == 0 || passed == files {
		t.Errorf("%d of %d edited files passed, want some and not all", passed, files)
	}
}

// A sound file that is refused would be replaced by an older one. Whatever
// bbolt itself has written must pass, straight.
func TestInspectPassesWhatBoltWrites(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 4))
		path := filepath.Join(t.TempDir(), "random.db")
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoSync: true, NoGrowSync: true, NoFreelistSync: seed%3 != 0, FreelistType: bbolt.FreelistMapType, PageSize: 1024 << (seed % 4)})
		if err != nil {
			t.Fatal(err)
		}
		for commit := range 80 {
			err := db.Update(func(tx *bbolt.Tx) error { return randomChanges(tx, rng, int(seed)) })
			if err != nil {
				t.Fatal(err)
			}
			if commit%5 > 0 {
				continue
			}
			found, err := inspectFile(path)
			if err := errors.Join(err, found.problem, found.crooked); err != nil {
				t.Fatalf("seed %d, commit %d: %v", seed, commit, err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// randomChanges puts and deletes keys and buckets, up to three levels deep.
func randomChanges(tx *bbolt.Tx, rng *rand.Rand, spread int) error {
	for range rng.IntN(40) {
		b, err := tx.CreateBucketIfNotExists(fmt.Append(nil, "top", rng.IntN(4)))
		if err != nil {
			return err
		}
		for level := range rng.IntN(3) {
			if b, err = b.CreateBucketIfNotExists(fmt.Append(nil, "level", level, rng.IntN(2))); err != nil {
				return err
			}
		}
		b.FillPercent = 0.1 + 0.9*rng.Float64()
		key := func() []byte {
			return fmt.Appendf(nil, "%0*d", 1+rng.IntN(1+spread*40), rng.IntN(1+spread*300))
		}
		switch rng.IntN(12) {
		case 0: // many at once, from either end
			from := rng.IntN(500)
			for i := range rng.IntN(200) {
				if err := b.Delete(fmt.Appendf(nil, "%d", from+i)); err != nil {
					return err
				}
			}
		case 1:
			c := b.Cursor()
			for k, v := c.First(); k != nil && rng.IntN(50) > 0; k, v = c.Next() {
				if v == nil {
					continue
				}
				if err := c.Delete(); err != nil {
					return err
				}
			}
		case 2:
			if err := b.DeleteBucket(fmt.Append(nil, "level", rng.IntN(3), rng.IntN(2))); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
				return err
			}
		case 3, 4:
			if err := b.Delete(key()); err != nil {
				return err
			}
		case 5:
			if err := b.Put(key(), make([]byte, rng.IntN(20_000))); err != nil {
				return err
			}
		default:
			for range rng.IntN(30) {
				if err := b.Put(key(), make([]byte, rng.IntN(400))); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
