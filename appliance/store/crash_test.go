package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/store"
	"signalbox/appliance/store/storetest"
)

// The test binary runs itself as a child that is killed or recorded.
const (
	childRole = "SIGNALBOX_STORE_TEST_CHILD"
	childDir  = "SIGNALBOX_STORE_TEST_DIR"

	roleWriter   = "writer"   // writes until it is killed
	roleRecorded = "recorded" // writes some and ends
)

func runChild(role string) int {
	var err error
	switch dir := os.Getenv(childDir); role {
	case roleWriter:
		err = writeForEver(dir)
	case roleRecorded:
		err = writeSome(dir)
	default:
		err = fmt.Errorf("unknown role %q", role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		return 1
	}
	return 0
}

func child(t *testing.T, role, dir string, wrap ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append(wrap, self)
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Env = append(os.Environ(), childRole+"="+role, childDir+"="+dir)
	cmd.Stderr = os.Stderr
	return cmd
}

const writers = 4

// writeForEver has several writers add numbered records, and acknowledges each
// on standard output once Update has returned.
func writeForEver(dir string) error {
	s, err := store.Open(store.Config{Dir: dir})
	if err != nil {
		return err
	}
	if r := s.Recovery(); r.Rung != store.RungNone {
		return fmt.Errorf("recovery: %v", r)
	}
	if _, err := s.NextIncarnation(context.Background()); err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, writers)
	for w := range writers {
		next, err := lastNumber(s, w)
		if err != nil {
			return err
		}
		wg.Go(func() {
			for errs[w] == nil {
				next++
				if errs[w] = writeNumber(s, w, next); errs[w] == nil {
					fmt.Printf("%d %d\n", w, next)
				}
				if next%40 == 0 && errs[w] == nil {
					errs[w] = s.Backup(context.Background(), fmt.Sprintf("%s/copy-%d.db", dir, w))
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func writeNumber(s *store.Store, w, n int) error {
	return s.Update(context.Background(), func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(fmt.Appendf(nil, "writer %d", w))
		if err != nil {
			return err
		}
		if n > 200 { // room for the next ones, and free pages to use again
			if err := b.Delete(fmt.Appendf(nil, "%08d", n-200)); err != nil {
				return err
			}
		}
		return b.Put(fmt.Appendf(nil, "%08d", n), fmt.Appendf(nil, "%d%s", n, strings.Repeat("x", n%700)))
	})
}

// lastNumber returns the last record of a writer, and an error when one of the
// 200 up to it is missing.
func lastNumber(s *store.Store, w int) (last int, err error) {
	err = s.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(fmt.Appendf(nil, "writer %d", w))
		if b == nil {
			return nil
		}
		count := 0
		err := b.ForEach(func(k, v []byte) error {
			n, err := strconv.Atoi(string(k))
			if err == nil && !strings.HasPrefix(string(v), strconv.Itoa(n)) {
				err = fmt.Errorf("record %d of writer %d is %q", n, w, v)
			}
			last = n
			count++
			return err
		})
		if err == nil && count != min(last, 200) {
			err = fmt.Errorf("writer %d has %d records up to %d", w, count, last)
		}
		return err
	})
	return last, err
}

func TestKilledWriterLosesNothingAcknowledged(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 9))
	acked := make([]int, writers)
	kills, acks := 0, 0
	for deadline := time.Now().Add(8 * time.Second); time.Now().Before(deadline); kills++ {
		cmd := child(t, roleWriter, dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rng.IntN(300))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); acks++ {
			var w, n int
			if _, err := fmt.Sscanf(lines.Text(), "%d %d", &w, &n); err != nil {
				break // cut off by the kill
			}
			acked[w] = n
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the writer ended by itself: %v", err)
		}
		timer.Stop()

		s := open(t, dir)
		if r := s.Recovery(); r.Rung != store.RungNone {
			t.Errorf("kill %d: %v", kills, r)
		}
		for w := range writers {
			if last, err := lastNumber(s, w); err != nil || last < acked[w] {
				t.Errorf("kill %d: writer %d has %d, %v; %d was acknowledged", kills, w, last, err, acked[w])
			}
		}
		closeStore(t, s)
		storetest.CheckFile(t, s.Path())
		if t.Failed() {
			return
		}
	}
	t.Logf("%d kills, %d acknowledged updates", kills, acks)
	if acks == 0 {
		t.Error("no update was acknowledged")
	}
}
