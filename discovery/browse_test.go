package discovery

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"
)

// watch follows sightings inside a synctest bubble and collects the events with
// the time since the start.
type watch struct {
	seen  chan sighting
	start time.Time

	mu     sync.Mutex
	events []string
}

func startWatch(t *testing.T, opts BrowseOptions) *watch {
	opts = opts.withDefaults()
	w := &watch{seen: make(chan sighting), start: time.Now()}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		opts.follow(ctx, w.seen, func(e Event) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.events = append(w.events, fmt.Sprintf("%v %v %s %v", time.Since(w.start), e.Kind, e.Box.TXT["up"], e.Box.Addrs))
			return true
		})
	}()
	t.Cleanup(func() { cancel(); <-done })
	return w
}

// check compares the events since the last check.
func (w *watch) check(t *testing.T, want ...string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.events, want) {
		t.Errorf("events %q\nwant %q", w.events, want)
	}
	w.events = nil
}

func present(at int, up, addr string) sighting {
	return sighting{
		instance: "Box", source: source{at, ip4}, host: "signalbox.local", port: 8443,
		addrs: []netip.Addr{netip.MustParseAddr(addr)}, txt: Attributes{"up": up}, ttl: time.Hour,
	}
}

func TestFollowAddsUpdatesAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWatch(t, BrowseOptions{Every: 10 * time.Second})
		w.seen <- present(2, "0", "10.77.1.1")
		w.seen <- present(2, "0", "10.77.1.1")
		time.Sleep(5 * time.Second)
		w.seen <- present(3, "0", "10.77.2.1") // the same box on another interface
		w.seen <- sighting{instance: "bOX", kind: sightTXT, txt: Attributes{"up": "1"}}
		time.Sleep(26 * time.Second)
		w.check(t,
			"0s added 0 [10.77.1.1]",
			"5s updated 0 [10.77.1.1 10.77.2.1]",
			"5s updated 1 [10.77.1.1 10.77.2.1]",
			"30s updated 1 [10.77.2.1]", // three rounds without a word on the first
		)
		time.Sleep(5 * time.Second)
		w.check(t, "35s removed 1 [10.77.2.1]")
	})
}

func TestFollowHonoursTTLAndGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWatch(t, BrowseOptions{Every: time.Minute})
		short := present(2, "0", "10.77.1.1")
		short.ttl = 4 * time.Second
		goodbye := sighting{instance: "Box", source: source{2, ip4}, kind: sightGoodbye}
		w.seen <- goodbye // of a box never heard of
		w.seen <- short
		time.Sleep(5 * time.Second)
		w.check(t, "0s added 0 [10.77.1.1]", "4s removed 0 [10.77.1.1]")

		w.seen <- present(2, "0", "10.77.1.1")
		w.seen <- goodbye
		time.Sleep(900 * time.Millisecond)
		w.seen <- present(2, "0", "10.77.1.1") // it only restarted
		time.Sleep(5 * time.Second)
		w.check(t, "5s added 0 [10.77.1.1]")

		w.seen <- goodbye
		time.Sleep(500 * time.Millisecond)
		w.seen <- goodbye // the second one grants no more time
		time.Sleep(5 * time.Second)
		w.check(t, "11.9s removed 0 [10.77.1.1]")
	})
}

func TestFollowIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWatch(t, BrowseOptions{Every: time.Second})
		for i := range 2 * maxBoxes {
			s := present(2, "0", "10.77.1.1")
			s.instance = fmt.Sprint("Box ", i)
			w.seen <- s
		}
		synctest.Wait()
		if len(w.events) != maxBoxes {
			t.Errorf("%d boxes listed of %d, want %d", len(w.events), 2*maxBoxes, maxBoxes)
		}
	})
}

func TestEventKindInJSON(t *testing.T) {
	for kind, want := range map[EventKind]string{Added: "added", Updated: "updated", Removed: "removed"} {
		if got, err := kind.MarshalText(); err != nil || string(got) != want {
			t.Errorf("%d = %q, %v, want %q", kind, got, err, want)
		}
	}
}

func FuzzOverheard(f *testing.F) {
	id := identity{"Box (2)", "signalbox.local."}
	goodbye := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true}, Answer: id.goodbye(&Announcement{Port: 8443})}
	packed, err := goodbye.Pack()
	if err != nil {
		f.Fatal(err)
	}
	if got := overheard(packed); len(got) != 1 || got[0].kind != sightGoodbye || got[0].instance != id.instance {
		f.Fatalf("heard %+v in a goodbye, want the instance %q", got, id.instance)
	}
	f.Add(packed)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, s := range overheard(data) {
			if s.instance == "" || len(s.instance) > maxLabel {
				t.Errorf("heard of an instance %q", s.instance)
			}
		}
	})
}
