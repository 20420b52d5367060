package outbox_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"signalbox/sync/outbox"
	"signalbox/sync/wire"
)

func TestStateSurvivesAndFailedFillsDoNot(t *testing.T) {
	cfg := outbox.Config{Dir: t.TempDir()}
	out := open(t, cfg)
	b := newBox(t, out)
	b.ticks(t, 70)
	inc := out.Incarnation()
	if err := out.Update(func(s *outbox.State) error {
		s.Commands["c1"] = outbox.Command{Expires: b.now}
		s.Policy = &wire.Policy{Revision: 4, Site: []byte(`{"level":"named"}`)}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	no := errors.New("no")
	if _, err := out.Commit(b.now, func(s *outbox.State) (*wire.Draft, error) {
		clear(s.Counters)
		clear(s.Reported.Rooms)
		s.Commands["c2"] = outbox.Command{}
		return nil, no
	}); !errors.Is(err, no) {
		t.Fatalf("got %v, want %v", err, no)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}

	out = open(t, cfg)
	b.out = out
	if out.Incarnation() != inc || out.Recovered() != "" || out.Stats().Newest != 70 {
		t.Errorf("incarnation %x, recovered %q, %+v", out.Incarnation(), out.Recovered(), out.Stats())
	}
	if err := out.Update(func(s *outbox.State) error {
		if !maps.Equal(s.Counters, b.totals) || len(s.Reported.Rooms) != len(b.rooms) || len(s.Commands) != 1 || s.Policy.Revision != 4 {
			t.Errorf("the state came back as %+v", s)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.ticks(t, 60) // the hour's sketches and rooms go on where they were
	c := newCloud()
	c.drain(t, out)
	c.check(t, b)
	if len(c.joins) < 2 {
		t.Errorf("sketches of %d hours, want 2", len(c.joins))
	}
}

func TestPruneKeepsWhatIsAppliedForAWhile(t *testing.T) {
	out := open(t, outbox.Config{Dir: t.TempDir(), KeepApplied: 2 * time.Hour}.NoSync())
	b := newBox(t, out)
	b.ticks(t, 300)
	if s := out.Stats(); s.Oldest != 1 || s.Frames != 300 {
		t.Fatalf("unapplied frames were pruned: %+v", s)
	}
	newCloud().drain(t, out)
	b.ticks(t, 1)
	if s := out.Stats(); s.Oldest != 301-120 || s.Frames != 121 || s.Applied != 300 {
		t.Errorf("after two hours' worth: %+v", s)
	}
	// A cloud restored from an older copy asks for what it lacks, and has it.
	if err := out.Applied(out.Incarnation(), 200); err != nil {
		t.Fatal(err)
	}
	frames, err := out.Next(201, 60, 1<<20)
	if err != nil || len(frames) != 60 || frames[0].GetFirst() != 201 {
		t.Fatalf("%d frames from %v, %v", len(frames), frames, err)
	}
	b.ticks(t, 150)
	if s := out.Stats(); s.Oldest > 201 {
		t.Errorf("what is not applied any more was pruned: %+v", s)
	}
	// Bytes bound a batch as frames do.
	frames, err = out.Next(201, 60, 1200)
	if err != nil || len(frames) == 0 || len(frames) > 4 {
		t.Errorf("%d frames in 1200 bytes, %v", len(frames), err)
	}
	if frames, err = out.Next(9999, 60, 1200); err != nil || len(frames) != 0 {
		t.Errorf("%d frames beyond the newest, %v", len(frames), err)
	}
}

// TestRestoredBoxCountsOn: a box is restored from a copy of its disk, so that
// the cloud has frames of it that it does not know.
func TestRestoredBoxCountsOn(t *testing.T) {
	dir := t.TempDir()
	out := open(t, outbox.Config{Dir: dir})
	b, c := newBox(t, out), newCloud()
	b.ticks(t, 20)
	c.drain(t, out)
	b.ticks(t, 1) // writes the watermark
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(filepath.Join(dir, "upstream.db"))
	if err != nil {
		t.Fatal(err)
	}
	b.out = open(t, outbox.Config{Dir: dir})
	b.ticks(t, 30)
	c.drain(t, b.out)
	c.check(t, b)

	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "upstream.db"), image, 0o600); err != nil {
		t.Fatal(err)
	}
	inc := b.out.Incarnation()
	for range 2 { // it restarts before it reaches the cloud
		b.out = open(t, outbox.Config{Dir: other})
		b.ticks(t, 5)
		if err := b.out.Applied(inc, c.applied[inc]); !errors.Is(err, outbox.ErrAhead) {
			t.Fatalf("got %v, want ErrAhead", err)
		}
		if b.out.Stats().Newest == 31 {
			break
		}
		if err := b.out.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.out.NewIncarnation("restored"); err != nil {
		t.Fatal(err)
	}
	if s := b.out.Stats(); s.Incarnation == inc || s.Frames != 0 || s.Newest != 0 || s.Oldest != 1 {
		t.Errorf("after a new incarnation: %+v", s)
	}
	b.ticks(t, 3)
	c.drain(t, b.out)
	c.check(t, b) // what it counted since the copy, and nothing twice
}

// TestCopyThatOvertakes: a box is restored from a copy of its disk and makes
// more frames than the cloud has of it before the two meet. Their numbers agree,
// and what they stand for does not.
func TestCopyThatOvertakes(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	out := open(t, outbox.Config{Dir: dir})
	b, c := newBox(t, out), newCloud()
	b.ticks(t, 20)
	c.drain(t, out)
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	b.out = open(t, outbox.Config{Dir: dir})
	inc := b.out.Incarnation()
	c.drain(t, b.out)
	b.ticks(t, 30)
	c.drain(t, b.out)

	b.out = open(t, outbox.Config{Dir: other})
	b.ticks(t, 70)
	if s := b.out.Stats(); s.Newest <= c.applied[inc] || s.Known != 20 {
		t.Fatalf("the copy is at %+v, the cloud at %d", s, c.applied[inc])
	}
	if err := b.out.Applied(inc, c.applied[inc]); !errors.Is(err, outbox.ErrAhead) {
		t.Fatalf("got %v, want ErrAhead", err)
	}
	if err := b.out.NewIncarnation("restored"); err != nil {
		t.Fatal(err)
	}
	b.ticks(t, 3)
	c.drain(t, b.out)
	c.check(t, b)
}

// TestAgreementIsKept: a box that crashes after it has sent frames, and before
// the next commit, is not taken for a copy.
func TestAgreementIsKept(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	out := open(t, outbox.Config{Dir: dir})
	b, c := newBox(t, out), newCloud()
	b.ticks(t, 5)
	c.drain(t, out)
	if err := os.CopyFS(other, os.DirFS(dir)); err != nil { // as the disk is in this moment
		t.Fatal(err)
	}
	b.out = open(t, outbox.Config{Dir: other})
	b.ticks(t, 2)
	c.drain(t, b.out)
	c.check(t, b)
}

// TestValuesAreToldOnce: a new incarnation tells again of no value that the
// cloud has heard of under the one before, and of every other.
func TestValuesAreToldOnce(t *testing.T) {
	dir, now := t.TempDir(), start
	commit := func(out *outbox.Outbox, values int) *wire.Frame {
		t.Helper()
		v, err := wire.NewVeil(wire.Default, make([]byte, wire.MinSiteKeyBytes))
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		seq, err := out.Commit(now, func(s *outbox.State) (*wire.Draft, error) {
			d := v.Draft(wire.Span{Start: now.Add(-time.Minute), End: now, Boot: 1, Mono: time.Hour})
			for range values {
				s.Observe(wire.QualityJoinMs, now, 12)
			}
			s.Sketches(d, now)
			return d, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		frames, err := out.Next(seq, 1, 1<<20)
		if err != nil || len(frames) != 1 {
			t.Fatalf("%d frames, %v", len(frames), err)
		}
		return frames[0]
	}
	told := func(f *wire.Frame) uint64 {
		t.Helper()
		if len(f.GetSketches()) != 1 {
			t.Fatalf("%d sketches in a frame, want 1", len(f.GetSketches()))
		}
		d, err := wire.ParseDistribution(f.GetSketches()[0].GetData())
		if err != nil {
			t.Fatal(err)
		}
		return d.Count()
	}
	out := open(t, outbox.Config{Dir: dir})
	if got := told(commit(out, 60)); got != 60 {
		t.Errorf("told of %d values, want 60", got)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	out = open(t, outbox.Config{Dir: dir})
	commit(out, 7) // the cloud is ahead, which the box does not know yet
	if err := out.NewIncarnation("restored"); err != nil {
		t.Fatal(err)
	}
	if got := told(commit(out, 3)); got != 10 {
		t.Errorf("the new incarnation tells of %d values, want the 10 since the opening", got)
	}
	if err := out.Applied(out.Incarnation(), 1); !errors.Is(err, outbox.ErrAhead) {
		t.Errorf("got %v, want ErrAhead: nothing was sent yet", err)
	}
	if err := out.Applied(out.Incarnation(), 0); err != nil {
		t.Fatal(err)
	}
	if err := out.NewIncarnation("again"); err != nil {
		t.Fatal(err)
	}
	if got := told(commit(out, 55)); got != 55 {
		t.Errorf("after the two agreed: told of %d values, want 55", got)
	}
}

// TestAdopt: what was counted for one box is not sent in the name of another,
// nor are its orders followed there, wherever the process ends in between.
func TestAdopt(t *testing.T) {
	dir := t.TempDir()
	out := open(t, outbox.Config{Dir: dir})
	if _, err := out.Adopt("main.a.box"); err != nil {
		t.Fatal(err)
	}
	b := newBox(t, out)
	b.ticks(t, 3)
	err := out.Update(func(s *outbox.State) error {
		s.Policy, s.Commands["c1"] = &wire.Policy{Revision: 900}, outbox.Command{}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	was := out.Incarnation()
	if s, err := out.Adopt("main.a.box"); err != nil || out.Incarnation() != was || s.Policy == nil || out.Stats().Frames != 3 {
		t.Fatalf("adopted by the same box: %v, incarnation %d of %d, %d frames", err, out.Incarnation(), was, out.Stats().Frames)
	}
	s, err := out.Adopt("main.b.box")
	if err != nil || out.Incarnation() == was || out.Stats().Frames != 0 || s.Policy != nil || len(s.Commands) != 0 || len(s.Counters) != 0 {
		t.Errorf("adopted by another: %v, state %+v, %d frames", err, s, out.Stats().Frames)
	}
	now := out.Incarnation()
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	out = open(t, outbox.Config{Dir: dir})
	if s, err := out.Adopt("main.b.box"); err != nil || out.Incarnation() != now || s.Policy != nil {
		t.Errorf("opened again: %v, incarnation %d, want %d; state %+v", err, out.Incarnation(), now, s)
	}
}

// TestForgetsCommandsThatExpireFirst: of too many commands those stay that could
// come again for the longest time, and those without a result.
func TestForgetsCommandsThatExpireFirst(t *testing.T) {
	out := open(t, outbox.Config{Dir: t.TempDir()})
	b := newBox(t, out)
	err := out.Update(func(s *outbox.State) error {
		for i := range 300 {
			s.Commands[fmt.Sprint(i)] = outbox.Command{Expires: b.now.Add(time.Duration(i) * time.Hour), Done: i != 7}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.ticks(t, 1)
	_ = out.Update(func(s *outbox.State) error {
		for i := range 300 {
			if _, kept := s.Commands[fmt.Sprint(i)]; kept != (i == 7 || i >= 45) {
				t.Errorf("command %d is kept: %v", i, kept)
			}
		}
		return nil
	})
}

func TestMonthOffline(t *testing.T) {
	days := 30
	if raceDetector {
		days = 2
	}
	t.Parallel()
	out := open(t, outbox.Config{Dir: t.TempDir()}.NoSync())
	b := newBox(t, out)
	b.ticks(t, days*24*60)
	s := out.Stats()
	t.Logf("%d frames in %.1f MiB, a file of %.1f MiB, %.1f KiB written each, %.1f MB a day",
		s.Frames, float64(s.Bytes)/(1<<20), float64(s.FileBytes)/(1<<20), float64(s.WrittenBytes)/1024/float64(s.Newest), float64(s.WrittenBytes)/1e6/float64(days))
	if s.Frames != days*24*60 || s.Merged > 0 || s.FileBytes > 64<<20 {
		t.Errorf("%+v, want every minute within 64 MiB", s)
	}
	if s.WrittenBytes > uint64(days)*100e6 {
		t.Errorf("%d bytes written in %d days, want at most 100 MB a day", s.WrittenBytes, days)
	}
	c := newCloud()
	batches := c.drain(t, out)
	c.check(t, b)
	t.Logf("drained in %d batches", batches)
	if want := days*24 - 1; len(c.joins) < want {
		t.Errorf("sketches of %d hours, want %d", len(c.joins), want)
	}
}

// TestYearsOffline has the cloud away for two years: all is there by the hour.
// Two frames an hour and a lower limit spare what a simulation by the minute
// would take: all that is merged is the same.
func TestYearsOffline(t *testing.T) {
	days := 2 * 365
	if raceDetector {
		days = 30
	}
	t.Parallel()
	out := open(t, outbox.Config{Dir: t.TempDir(), SoftBytes: 8 << 20}.NoSync())
	b := newBox(t, out)
	b.step = 30 * time.Minute
	b.ticks(t, days*24*2)
	s := out.Stats()
	t.Logf("%d frames in %.1f MiB, a file of %.1f MiB, %d merged, %d lost", s.Frames, float64(s.Bytes)/(1<<20), float64(s.FileBytes)/(1<<20), s.Merged, s.Lost)
	if s.FileBytes > 64<<20 || s.Lost > 0 || s.Merged == 0 && !raceDetector {
		t.Errorf("%+v, want frames merged, nothing lost, within 64 MiB", s)
	}
	c := newCloud()
	c.drain(t, out)
	c.check(t, b)
	for _, span := range c.spans {
		if span > time.Hour {
			t.Fatalf("a frame of %v, want hours", span)
		}
	}
	if len(c.joins) < days*24-1 {
		t.Errorf("sketches of %d hours, want %d", len(c.joins), days*24-1)
	}
}

// TestCoarsens goes through all the limits with a small file, amid drains and a
// cloud that has applied the middle of what is merged.
func TestCoarsens(t *testing.T) {
	t.Parallel()
	cfg := outbox.Config{Dir: t.TempDir(), SoftBytes: 256 << 10, HardBytes: 512 << 10}.NoSync()
	out := open(t, cfg)
	b, c := newBox(t, out), newCloud()
	b.step = 10 * time.Minute
	if err := out.Applied(out.Incarnation(), 0); err != nil {
		t.Fatal(err)
	}
	b.ticks(t, 500)
	// The cloud gets some of it, the answer does not come back.
	frames, err := out.Next(1, 30, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.apply(out.Incarnation(), frames); err != nil {
		t.Fatal(err)
	}
	var most int64
	rounds := 250
	if raceDetector {
		rounds = 80
	}
	for range rounds {
		b.ticks(t, 40)
		most = max(most, out.Stats().FileBytes)
	}
	s := out.Stats()
	t.Logf("%+v", s)
	if s.Merged == 0 || most > cfg.HardBytes+1<<20 {
		t.Errorf("a file of %d bytes, want at most %d and what it grows by", most, cfg.HardBytes)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	out = open(t, cfg)
	b.out = out
	b.ticks(t, 2)
	c.drain(t, out)
	c.check(t, b)
	days := 0
	for _, span := range c.spans {
		if span > time.Hour {
			days++
		}
	}
	if days == 0 {
		t.Error("no hours were merged into days")
	}
}

func TestFullDiskLosesNothing(t *testing.T) {
	dir := smallDisk(t, 3<<20)
	out := open(t, outbox.Config{Dir: dir})
	b, c := newBox(t, out), newCloud()
	b.ticks(t, 10)
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 3<<19), 0o600); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range 4000 {
		if err := b.tick(); err != nil {
			if failed++; failed > 20 {
				break
			}
		}
	}
	if failed == 0 {
		t.Fatal("the disk never was full")
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	b.ticks(t, 10)
	if r := out.Recovered(); r != "" {
		t.Error(r)
	}
	c.drain(t, out)
	c.check(t, b)
}

// smallDisk mounts a disk of that many bytes, which needs privileges.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", bytes)); err != nil {
		t.Skipf("mount a small disk: %v: full disks are not tested", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func TestOneAtATime(t *testing.T) {
	dir := t.TempDir()
	open(t, outbox.Config{Dir: dir})
	if _, err := outbox.Open(outbox.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("got %v, want that another program has it", err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.bad-*")); len(left) > 0 {
		t.Errorf("%v: it was taken for damaged", left)
	}
}

func TestConfig(t *testing.T) {
	for name, cfg := range map[string]outbox.Config{
		"no folder":  {},
		"small soft": {Dir: t.TempDir(), SoftBytes: 1},
		"small hard": {Dir: t.TempDir(), SoftBytes: 1 << 20, HardBytes: 1 << 20},
	} {
		if out, err := outbox.Open(cfg); err == nil {
			out.Close()
			t.Errorf("%s: was opened", name)
		}
	}
}
