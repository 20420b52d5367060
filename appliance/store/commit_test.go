package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"signalbox/appliance/store"
	"signalbox/appliance/store/storetest"
)

// blockCommit holds the lead in a commit until release is called, so that what
// comes meanwhile queues up.
func blockCommit(t *testing.T, s *store.Store) (release func()) {
	t.Helper()
	entered, gate, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.Update(context.Background(), func(*bbolt.Tx) error {
			close(entered)
			<-gate
			return nil
		})
	}()
	<-entered
	return func() {
		close(gate)
		if err := <-done; err != nil {
			t.Errorf("blocking update: %v", err)
		}
	}
}

// waitQueued waits until n goroutines of the test sit in submit.
func waitQueued(t *testing.T, n int) {
	t.Helper()
	buf := make([]byte, 4<<20)
	for {
		stacks := string(buf[:runtime.Stack(buf, true)])
		if strings.Count(stacks, "(*Store).submit(")-1 >= n { // one leads
			return
		}
		runtime.Gosched()
	}
}

func TestConcurrentUpdatesShareCommits(t *testing.T) {
	s := storetest.Open(t)
	before := s.Stats()
	release := blockCommit(t, s)
	const n = 200
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := put(s, fmt.Sprint(i), "v"); err != nil {
				t.Errorf("update %d: %v", i, err)
			}
		})
	}
	waitQueued(t, n)
	release()
	wg.Wait()
	after := s.Stats()
	if got := after.Commits - before.Commits; got < 2 || got > 3 {
		t.Errorf("%d updates took %d commits, want 2 or 3", n, got)
	}
	for i := range n {
		if got := get(t, s, fmt.Sprint(i)); got != "v" {
			t.Errorf("record %d = %q", i, got)
		}
	}
}

func TestFailingUpdatesSpoilNoOther(t *testing.T) {
	s := storetest.Open(t)
	boom := errors.New("boom")
	release := blockCommit(t, s)
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			defer func() {
				v := recover()
				if (i%5 == 4) != (v != nil) {
					t.Errorf("update %d: panic %v", i, v)
				}
				if v != nil && !strings.Contains(fmt.Sprint(v), "out of luck") {
					t.Errorf("update %d: panic %v does not say why", i, v)
				}
			}()
			err := s.Update(t.Context(), func(tx *bbolt.Tx) error {
				b, err := tx.CreateBucketIfNotExists(bucketTest)
				if err != nil {
					return err
				}
				if err := b.Put(fmt.Append(nil, i), []byte("v")); err != nil {
					return err
				}
				switch i % 5 {
				case 3:
					return boom
				case 4:
					panic("out of luck")
				}
				return nil
			})
			if want := i%5 == 3; errors.Is(err, boom) != want {
				t.Errorf("update %d = %v, want boom: %v", i, err, want)
			}
		})
	}
	waitQueued(t, 30)
	release()
	wg.Wait()
	for i := range 30 {
		want := "v"
		if i%5 > 2 {
			want = ""
		}
		if got := get(t, s, fmt.Sprint(i)); got != want {
			t.Errorf("record %d = %q, want %q", i, got, want)
		}
	}
}

// An update that fails only because of another in its commit gets a chance of
// its own, and the other way round.
func TestFailureIsJudgedAlone(t *testing.T) {
	s := storetest.Open(t)
	runs := 0
	err := s.Update(t.Context(), func(*bbolt.Tx) error {
		runs++
		return errors.New("always")
	})
	if err == nil || runs != 1 {
		t.Errorf("an update alone ran %d times: %v", runs, err)
	}
}

func TestUpdateThatEndsItsGoroutine(t *testing.T) {
	s := storetest.Open(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Update(context.Background(), func(*bbolt.Tx) error {
			runtime.Goexit()
			return nil
		})
	}()
	<-done
	if err := put(s, "k", "v"); err != nil {
		t.Errorf("the next update: %v", err)
	}
}

func TestCancelledUpdateDoesNotRun(t *testing.T) {
	s := storetest.Open(t)
	release := blockCommit(t, s)
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("changed my mind")
	result := make(chan error)
	go func() {
		result <- s.Update(ctx, func(*bbolt.Tx) error {
			t.Error("a cancelled update ran")
			return nil
		})
	}()
	waitQueued(t, 1)
	cancel(why)
	if err := <-result; !errors.Is(err, why) {
		t.Errorf("Update = %v, want the cause of the cancellation", err)
	}
	release()
	if err := s.Update(ctx, nil); !errors.Is(err, why) {
		t.Errorf("Update with an ended context = %v, want its cause", err)
	}
}

func TestQueueFullOfCancelledUpdatesRecovers(t *testing.T) {
	s := storetest.Open(t)
	release := blockCommit(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 1100 { // more than may queue
		wg.Go(func() {
			if err := s.Update(ctx, func(*bbolt.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
				t.Errorf("Update = %v, want Canceled", err)
			}
		})
	}
	waitQueued(t, 1100)
	cancel()
	wg.Wait()
	release()
	if err := put(s, "k", "v"); err != nil {
		t.Errorf("the next update: %v", err)
	}
}

func TestUpdateWithoutChangeCostsNoCommit(t *testing.T) {
	s := storetest.Open(t)
	if err := put(s, "k", "v"); err != nil {
		t.Fatal(err)
	}
	before := s.Stats()
	err := s.Update(t.Context(), func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketTest)
		if err != nil {
			return err
		}
		return b.Delete([]byte("not there"))
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := s.Stats(); after.Commits != before.Commits || after.WrittenBytes != before.WrittenBytes {
		t.Errorf("an update without change wrote: %+v, before %+v", after, before)
	}
}

func TestCloseCommitsWhatIsQueued(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	release := blockCommit(t, s)
	result := make(chan error)
	go func() { result <- put(s, "k", "v") }()
	waitQueued(t, 1)
	closed := make(chan error)
	go func() { closed <- s.Close() }()
	release()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	err := <-result
	s = storetest.OpenConfig(t, store.Config{Dir: dir})
	if got := get(t, s, "k"); (got == "v") != (err == nil) || err != nil && !errors.Is(err, store.ErrClosed) {
		t.Errorf("Update = %v, but the record is %q", err, got)
	}
}

func TestFullStoreLivesOn(t *testing.T) {
	const limit = 4 << 20
	s := storetest.OpenConfig(t, store.Config{MaxBytes: limit})
	value := strings.Repeat("x", 2000)
	n := 0
	var err error
	for ; err == nil; n++ {
		err = put(s, fmt.Sprintf("%06d", n), value)
	}
	if !errors.Is(err, store.ErrFull) || !strings.Contains(err.Error(), "store.max_bytes") {
		t.Fatalf("update %d = %v, want ErrFull that names the setting", n, err)
	}
	if n < 1000 {
		t.Errorf("%d records of 2000 B fit into %d", n, limit)
	}
	// Refused again and again, without harm to what is there.
	for range 20 {
		if err := put(s, "more", strings.Repeat("y", 100<<10)); !errors.Is(err, store.ErrFull) {
			t.Errorf("Update of a full store = %v, want ErrFull", err)
		}
	}
	if err := s.Check(); err != nil {
		t.Errorf("Check of a full store = %v", err)
	}
	// The box starts, locks people out and forgets sessions even now.
	if _, err := s.NextIncarnation(t.Context()); err != nil {
		t.Errorf("NextIncarnation of a full store: %v", err)
	}
	if _, err := s.CreateKey(t.Context(), "k", func() ([]byte, error) { return []byte("secret"), nil }); err != nil {
		t.Errorf("CreateKey of a full store: %v", err)
	}
	for i := range n / 2 {
		err := s.Reclaim(t.Context(), func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketTest).Delete(fmt.Appendf(nil, "%06d", i))
		})
		if err != nil {
			t.Fatalf("delete %d: %v", i, err)
		}
	}
	for i := range n / 4 {
		if err := put(s, fmt.Sprintf("new %06d", i), value); err != nil {
			t.Fatalf("update %d after deleting: %v", i, err)
		}
	}
	if got := s.Stats().FileBytes; got > limit {
		t.Errorf("the file has %d bytes, limit %d", got, limit)
	}
}

func TestLargeUpdateDoesNotSpoilSmallOnes(t *testing.T) {
	s := storetest.OpenConfig(t, store.Config{MaxBytes: 4 << 20})
	release := blockCommit(t, s)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			size, want := 100, error(nil)
			if i == 5 {
				size, want = 5<<20, store.ErrFull
			}
			if err := put(s, fmt.Sprint(i), strings.Repeat("x", size)); !errors.Is(err, want) {
				t.Errorf("update %d of %d bytes = %v, want %v", i, size, err, want)
			}
		})
	}
	waitQueued(t, 10)
	release()
	wg.Wait()
}
