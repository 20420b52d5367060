package outbox_test

import (
	"bufio"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"signalbox/sync/outbox"
	"signalbox/sync/wire"
)

const childDir = "SIGNALBOX_OUTBOX_TEST_DIR"

// runChild commits as fast as it can until it is killed, and says on standard
// output what it was told is committed.
func runChild(dir string) int {
	out, err := outbox.Open(outbox.Config{Dir: dir, SoftBytes: 256 << 10, HardBytes: 2 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err == nil && out.Recovered() != "" {
		err = fmt.Errorf("%s", out.Recovered())
	}
	veil, _ := wire.NewVeil(wire.Default, []byte("a key of a site, never sent"))
	for now := start; err == nil; {
		from := now
		var seq, total uint64
		seq, err = out.Commit(now, func(s *outbox.State) (*wire.Draft, error) {
			now = time.UnixMilli(max(s.EndMs, start.UnixMilli())).Add(time.Minute)
			s.Counters[wire.SessionsOpened] += 3
			total = s.Counters[wire.SessionsOpened]
			d := veil.Draft(wire.Span{Start: from, End: now, Boot: 1, Mono: time.Hour})
			d.Counter(wire.SessionsOpened, total)
			d.Rooms(&s.Reported, []wire.RoomFacts{{Name: fmt.Sprint(total), Members: 1, Created: now}})
			return d, nil
		})
		fmt.Println(seq, total)
	}
	fmt.Fprintln(os.Stderr, "child:", err)
	return 1
}

// TestKilledBoxLosesNothingCommitted kills a process amid its commits.
func TestKilledBoxLosesNothingCommitted(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 9))
	c := newCloud()
	commits, kills := 0, 0
	// On a machine that is busy elsewhere a child gets nowhere in 250 ms.
	life := 250 * time.Millisecond
	for began := time.Now(); time.Since(began) < 2*time.Second || commits == 0 && time.Since(began) < time.Minute; kills++ {
		if commits == 0 {
			life += 50 * time.Millisecond
		}
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env, cmd.Stderr = append(os.Environ(), childDir+"="+dir), os.Stderr
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(rng.Int64N(int64(life))), func() { _ = cmd.Process.Kill() })
		var seq, total uint64
		for lines := bufio.NewScanner(pipe); lines.Scan(); commits++ {
			if n, _ := fmt.Sscanf(lines.Text(), "%d %d", &seq, &total); n != 2 {
				break // cut off by the kill
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("the child ended by itself: %v", err)
		}
		timer.Stop()

		out := open(t, outbox.Config{Dir: dir})
		s := out.Stats()
		if out.Recovered() != "" || s.Newest < seq || s.Newest > seq+1 && seq > 0 {
			t.Fatalf("kill %d: newest is %d after %d was committed; %s", kills, s.Newest, seq, out.Recovered())
		}
		c.drain(t, out)
		if got := c.totals[s.Incarnation][wire.SessionsOpened]; got != 3*s.Newest {
			t.Fatalf("kill %d: the cloud has %d after %d frames", kills, got, s.Newest)
		}
		if len(c.totals) > 1 {
			t.Fatalf("kill %d: a new incarnation", kills)
		}
		if err := out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d commits", kills, commits)
	if commits == 0 {
		t.Error("nothing was committed")
	}
}
