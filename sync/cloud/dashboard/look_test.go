package dashboard

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestLook: what is an event of a box, and what is none.
func TestLook(t *testing.T) {
	began := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	var g going
	var gone time.Time
	see := func(seconds int, online bool, version string) {
		switch {
		case online:
			gone = time.Time{}
		case gone.IsZero():
			gone = at(seconds)
		}
		g, _ = g.look(&BoxRow{Online: online, Version: version, Started: began.Add(-time.Hour)}, gone, at(seconds), goneFor)
	}
	for _, step := range []struct {
		seconds int
		online  bool
		version string
		events  int // so far
		since   int
	}{
		{0, false, "", 0, 0},
		{5, true, "v1", 0, 5}, // joined; the version it joined with is none
		{10, false, "v1", 0, 5},
		{39, false, "v1", 0, 5},
		{40, true, "v1", 0, 5}, // away for 30 s at most
		{50, false, "v1", 0, 5},
		{79, false, "v1", 0, 5},
		{80, false, "v1", 1, 50},
		{81, false, "v1", 1, 50},
		{110, true, "v1", 2, 110},
		{120, true, "v2", 3, 110},
		{121, true, "", 3, 110}, // a frame without it
		{122, true, "v2", 3, 110},
	} {
		see(step.seconds, step.online, step.version)
		if len(g.Past) != step.events || !g.Since.Equal(at(step.since)) {
			t.Errorf("after %d s there are %d events and it is so since %v, want %d since %v", step.seconds, len(g.Past), g.Since, step.events, at(step.since))
		}
	}
	var got []string
	for i := range g.Past {
		e := g.Past[i].event("b1")
		got = append(got, fmt.Sprintf("%v %s %v", e.At.Sub(began), e.Text, e.Late))
	}
	want := []string{
		"50s Box b1 lost its connection to the cloud. false",
		"1m50s Box b1 is connected again, after 60 s. false",
		"-1h0m0s Box b1 runs version v2; before, it was v1. true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
	later, _ := going{Since: began}.look(&BoxRow{Online: true}, time.Time{}, at(30), goneFor)
	if len(later.Past) != 1 || later.Past[0].event("b1").Text != "Box b1 is connected." {
		t.Errorf("the first connection half a minute after it joined: %+v", later.Past)
	}
	for i := range 3 * maxGoings {
		see(1000+100*i, i%2 == 0, "v2")
		see(1000+100*i+99, i%2 == 0, "v2")
	}
	if len(g.Past) != maxGoings || g.Past[maxGoings-1].Kind != EventOffline {
		t.Errorf("%d events, the last %+v", len(g.Past), g.Past[len(g.Past)-1])
	}
}
