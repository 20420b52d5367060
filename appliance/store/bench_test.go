package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"signalbox/appliance/store"
	"signalbox/appliance/store/storetest"
)

// filled is a store with 500 records of 300 bytes, as many small rooms.
func filled(b *testing.B) *store.Store {
	b.Helper()
	s := storetest.Open(b)
	for i := range 500 {
		if err := put(s, fmt.Sprintf("%04d", i), strings.Repeat("r", 300)); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func report(b *testing.B, s *store.Store, before store.Stats) {
	b.Helper()
	after := s.Stats()
	updates, commits := float64(after.Updates-before.Updates), float64(after.Commits-before.Commits)
	b.ReportMetric(updates/b.Elapsed().Seconds(), "updates/s")
	b.ReportMetric(commits/b.Elapsed().Seconds(), "commits/s")
	b.ReportMetric(float64(after.WrittenBytes-before.WrittenBytes)/updates, "disk-B/update")
}

func BenchmarkSingleUpdates(b *testing.B) {
	s := filled(b)
	before, n := s.Stats(), 0
	for b.Loop() {
		n++
		if err := put(s, fmt.Sprintf("%04d", n%500), strings.Repeat("s", 300)); err != nil {
			b.Fatal(err)
		}
	}
	report(b, s, before)
}

func BenchmarkGroupedUpdates(b *testing.B) {
	s := filled(b)
	before := s.Stats()
	b.SetParallelism(100)
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if err := put(s, fmt.Sprintf("%04d", n%500), strings.Repeat("g", 300)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	report(b, s, before)
}

// BenchmarkOpen is the start of a box whose database has 64 MiB.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 64<<20)
	for b.Loop() {
		s := open(b, dir)
		closeStore(b, s)
	}
}

func fill(tb testing.TB, dir string, bytes int) {
	tb.Helper()
	s := open(tb, dir)
	for n := 0; n < bytes; {
		changed := map[string][]byte{}
		for range 500 {
			changed[fmt.Sprintf("%08d", n)] = make([]byte, 2000)
			n += 2000
		}
		if err := s.PutSessions(context.Background(), changed); err != nil {
			tb.Fatal(err)
		}
	}
	closeStore(tb, s)
}

// BenchmarkRefusedLarge is an update that does not fit: bbolt then looks for
// free pages in the whole file.
func BenchmarkRefusedLarge(b *testing.B) {
	dir := b.TempDir()
	fill(b, dir, 40<<20)
	s := storetest.OpenConfig(b, store.Config{Dir: dir, MaxBytes: 64 << 20})
	for b.Loop() {
		if err := put(s, "large", strings.Repeat("x", 40<<20)); !errors.Is(err, store.ErrFull) {
			b.Fatal(err)
		}
	}
}

func BenchmarkView(b *testing.B) {
	s := filled(b)
	for b.Loop() {
		err := s.View(func(tx *bbolt.Tx) error {
			if len(tx.Bucket(bucketTest).Get([]byte("0123"))) != 300 {
				return errors.New("not there")
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
