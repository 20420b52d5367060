package trust

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble makes an authority inside a bubble, on a clock that has passed epoch.
func inBubble(t *testing.T, cfg Config) *Authority {
	t.Helper()
	time.Sleep(time.Until(epoch.AddDate(1, 0, 0)))
	return newAuthority(t, cfg)
}

// run runs a until the test ends.
func run(t *testing.T, a *Authority) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := a.Run(ctx); err != nil {
			t.Error("Run:", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := inBubble(t, new(place).config(new(keys)))
		first, start := a.local.Load(), time.Now()
		if got := first.cert.Leaf; !got.NotBefore.Equal(start.Add(-day)) || !got.NotAfter.Equal(start.Add(90*day)) {
			t.Errorf("valid %v to %v, want a day ago and in 90 days", got.NotBefore, got.NotAfter)
		}
		time.Sleep(60*day - 10*time.Second)
		run(t, a)
		time.Sleep(8 * time.Second)
		if a.local.Load() != first {
			t.Error("renewed before two thirds of its life")
		}
		time.Sleep(4 * time.Second)
		second := a.local.Load()
		if second == first {
			t.Fatal("not renewed after two thirds of its life")
		}
		if !second.until.Equal(time.Now().Add(90*day).Truncate(time.Second)) && time.Until(second.until) < 90*day-4*time.Second {
			t.Errorf("renewed until %v", second.until)
		}
	})
}

// TestAddressChange: a lease, a cable, a new name.
func TestAddressChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(place)
		p.move([]string{"signalbox.local"}, "192.168.7.5")
		a := inBubble(t, p.config(new(keys)))
		run(t, a)
		old := a.local.Load()
		time.Sleep(10 * time.Second)
		if a.local.Load() != old {
			t.Error("issued another leaf although nothing changed")
		}
		p.move([]string{"signalbox.local"}, "192.168.7.66")
		time.Sleep(refreshEvery)
		synctest.Wait() // the look is due this very instant
		if s := a.Status(); !slices.Contains(s.Names, "192.168.7.66") || slices.Contains(s.Names, "192.168.7.5") {
			t.Errorf("a look later the certificate is for %q", s.Names)
		}
		p.move([]string{"signalbox-2.local"}, "192.168.7.66")
		a.Refresh()
		if s := a.Status(); !slices.Contains(s.Names, "signalbox-2.local") {
			t.Errorf("right after Refresh the certificate is for %q", s.Names)
		}
	})
}

// TestClockIsSet: the box boots with a clock from before it was made and learns
// the time a minute later. In the bubble it is the year 2000 at first.
func TestClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority(t, new(place).config(new(keys)))
		leaf, root := a.local.Load().cert.Leaf, a.root.cert
		if !root.NotBefore.Equal(epoch) || root.NotAfter.Before(epoch.AddDate(10, 0, 0)) {
			t.Errorf("root valid %v to %v, want ten years from epoch", root.NotBefore, root.NotAfter)
		}
		if !leaf.NotBefore.Equal(epoch) || leaf.NotAfter.Before(epoch.Add(800*day)) {
			t.Errorf("leaf valid %v to %v, want it to hold today by a clock that is right", leaf.NotBefore, leaf.NotAfter)
		}
		long := a.local.Load()
		for range 100 {
			time.Sleep(time.Second)
			a.Refresh()
		}
		if a.local.Load() != long {
			t.Error("issued another leaf although the clock is as wrong as before")
		}
		time.Sleep(time.Until(epoch.AddDate(0, 10, 0)))
		a.Refresh()
		if got := a.local.Load(); !got.sure || !got.until.Equal(time.Now().Add(90*day)) {
			t.Errorf("with the clock set the leaf is valid until %v, want 90 days", got.until)
		}
	})
}

// TestWindows pins what happens for every way a clock can be wrong.
func TestWindows(t *testing.T) {
	stored, err := makeRoot(Config{}, epoch.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRoot(stored)
	if err != nil {
		t.Fatal(err)
	}
	date := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	end := r.cert.NotAfter
	for name, test := range map[string]struct {
		now, known  time.Time
		from, until time.Time
		sure        bool
	}{
		"right":                     {date(2028, 5, 10), date(2028, 5, 9), date(2028, 5, 9), date(2028, 8, 8), true},
		"1970":                      {date(1970, 1, 1), date(2027, 1, 1), epoch, epoch.Add(longLife), false},
		"1970, and long known":      {date(1970, 1, 1), date(2031, 6, 2), date(2031, 6, 1), date(2031, 6, 2).Add(longLife), false},
		"a month behind":            {date(2028, 5, 10), date(2028, 6, 10), date(2028, 5, 9), date(2028, 5, 10).Add(longLife), false},
		"behind what was a mistake": {date(2028, 5, 10), date(2099, 1, 1), date(2028, 5, 9), date(2028, 5, 10).Add(longLife), false},
		"ahead of the root":         {date(2099, 1, 1), date(2028, 1, 1), end.Add(-leafLife), end, true},
		"on the root's last day":    {end.Add(-time.Hour), date(2028, 1, 1), end.Add(-time.Hour - day), end, true},
	} {
		w := r.windowAt(test.now, test.known)
		if !w.from.Equal(test.from) || !w.until.Equal(test.until) || w.sure != test.sure {
			t.Errorf("%s: %v to %v, sure %v, want %v to %v, %v", name, w.from, w.until, w.sure, test.from, test.until, test.sure)
		}
		if life := w.until.Sub(w.from); life <= 0 || life > 825*day {
			t.Errorf("%s: a life of %v", name, life)
		}
		if w.from.Before(r.cert.NotBefore) || w.until.After(end) {
			t.Errorf("%s: %v to %v, beyond the root", name, w.from, w.until)
		}
		// Whatever the clock shows, the box must not issue leaves without end.
		for _, later := range []time.Duration{0, time.Second, time.Hour, 12 * time.Hour} {
			if reason := w.stale(r.windowAt(test.now.Add(later), test.known)); reason != "" {
				t.Errorf("%s: stale after %v: %s", name, later, reason)
			}
		}
	}
}

// TestStale: a clock that jumps forth and back again leaves a leaf that holds.
func TestStale(t *testing.T) {
	stored, err := makeRoot(Config{}, epoch.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	r, err := parseRoot(stored)
	if err != nil {
		t.Fatal(err)
	}
	now, known := epoch.AddDate(2, 0, 0), epoch.AddDate(1, 0, 0)
	w := r.windowAt(now, known)
	for name, test := range map[string]struct {
		now  time.Time
		want string
	}{
		"an hour back":    {now.Add(-time.Hour), ""},
		"two days back":   {now.Add(-2 * day), "the clock went back"},
		"two years back":  {now.AddDate(-2, 0, 0), "the clock was set"},
		"to 1970":         {time.Unix(0, 0), "the clock was set"},
		"59 days on":      {now.Add(59 * day), ""},
		"60 days on":      {now.Add(60 * day), "two thirds of its life are over"},
		"two years ahead": {now.AddDate(2, 0, 0), "two thirds of its life are over"},
	} {
		if got := w.stale(r.windowAt(test.now, known)); got != test.want {
			t.Errorf("%s: stale says %q, want %q", name, got, test.want)
		}
	}
	ahead := r.windowAt(now.AddDate(5, 0, 0), known)
	if got := ahead.stale(w); got != "the clock went back" {
		t.Errorf("back from five years ahead: stale says %q", got)
	}
	// To the root's last minute and beyond, one look a day, few leaves are made.
	issued := 0
	for at := now; at.Before(r.cert.NotAfter.AddDate(1, 0, 0)); at = at.Add(day) {
		if want := r.windowAt(at, known); w.stale(want) != "" {
			w = want
			issued++
		}
		if at.Before(r.cert.NotAfter.Add(-day)) && (w.until.Before(at.Add(29*day)) && w.until.Before(r.cert.NotAfter) || w.from.After(at)) {
			t.Fatalf("on %v the leaf is valid %v to %v", at, w.from, w.until)
		}
	}
	if years := int(r.cert.NotAfter.Sub(now) / (365 * day)); issued > years*7 {
		t.Errorf("%d leaves in %d years", issued, years)
	}
}

func TestKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := epoch.AddDate(3, 0, 0)
		cfg := new(place).config(new(keys))
		cfg.Known = func() time.Time { return known }
		a := newAuthority(t, cfg)
		leaf := a.local.Load().cert.Leaf
		if leaf.NotBefore.After(known) || leaf.NotAfter.Before(known.Add(leafLife)) {
			t.Errorf("leaf valid %v to %v, want %v and 90 days more inside", leaf.NotBefore, leaf.NotAfter, known)
		}
		if got := a.root.cert.NotAfter; got.Before(known.AddDate(9, 11, 0)) {
			t.Errorf("root valid until %v, want ten years from %v", got, known)
		}
	})
}
