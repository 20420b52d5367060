//go:build linux

package discovery_test

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"signalbox/discovery"
	"signalbox/internal/netlab"
)

// hall2 is the box of most tests. Its names need every kind of escape.
func hall2() boxPart {
	cfg := discovery.Default()
	cfg.Name = "Halle 2.1 (Süd)"
	return boxPart{cfg, discovery.Announcement{Port: 8443, TXT: discovery.Attributes{
		"id": "k3f7abcdef", "ver": "0.1", "path": "/v1/signal", "site": `Werk\1 "Süd"`, "role": "edge", "up": "0", "fp": "ab12",
	}}}
}

type event struct {
	Event string
	Box   discovery.Box
}

func is(kind string) func(event) bool { return func(e event) bool { return e.Event == kind } }

func anyEvent(event) bool { return true }

func announced(s discovery.Status) bool { return s.Announced }

// onInterfaces is a status in which the box is announced on n interfaces.
func onInterfaces(n int) func(discovery.Status) bool {
	return func(s discovery.Status) bool {
		for _, i := range s.Interfaces {
			if i.Announced {
				n--
			}
		}
		return n == 0
	}
}

// withReason is a status in which an interface is left out for the reason.
func withReason(name, reason string) func(discovery.Status) bool {
	return func(s discovery.Status) bool {
		return slices.ContainsFunc(s.Interfaces, func(i discovery.InterfaceStatus) bool {
			return i.Name == name && !i.Announced && strings.Contains(i.Reason, reason)
		})
	}
}

func TestBrowseSeesABoxComeChangeAndGo(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	part := hall2()
	// The phone looks first: the announcement alone must do.
	phone := netlab.Play(t, lab.Host("phone"), "browser", discovery.BrowseOptions{})
	box := netlab.Play(t, lab.Host("box"), "box", part)
	tap := listenOn(t, lab.Host("phone"), "eth0", 5353)

	got := netlab.Await(phone, "the box", 10*time.Second, anyEvent)
	want := discovery.Box{
		Instance: "Halle 2.1 (Süd)", Host: "signalbox.local", Port: 8443,
		Addrs: []netip.Addr{lab.Host("box").IPv4(), lab.Host("box").IPv6()},
		TXT:   withVersion(part.Announcement.TXT),
	}
	checkBox(t, got, "added", want)

	netlab.Await(box, "announced", 5*time.Second, announced)
	time.Sleep(2 * time.Second) // so that the announcements are over
	tap.forget()
	part.Announcement.TXT["up"] = "1"
	box.Say(part.Announcement)
	want.TXT = withVersion(part.Announcement.TXT)
	checkBox(t, netlab.Await(phone, "a change", 5*time.Second, anyEvent), "updated", want)
	for _, m := range tap.all() {
		if ttlZero(m.Msg) {
			t.Errorf("a change of TXT said goodbye: %v", m.Msg)
		}
	}

	box.End()
	checkBox(t, netlab.Await(phone, "goodbye", 3*time.Second, anyEvent), "removed", want)
	phone.End()
	for line := range phone.Lines() {
		t.Errorf("one event too many: %s", line)
	}
}

func withVersion(txt discovery.Attributes) discovery.Attributes {
	txt = maps.Clone(txt)
	txt["txtvers"] = "1"
	return txt
}

func checkBox(t *testing.T, got event, kind string, want discovery.Box) {
	t.Helper()
	b := got.Box
	if got.Event != kind || b.Instance != want.Instance || b.Host != want.Host || b.Port != want.Port ||
		!slices.Equal(b.Addrs, want.Addrs) || !maps.Equal(b.TXT, want.TXT) {
		t.Errorf("event %+v\nwant %s %+v", got, kind, want)
	}
}

// ttlZero tells that a message takes back some record.
func ttlZero(m dns.Msg) bool {
	return slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Ttl == 0 })
}

// TestGoodbyeIsTheLastWord stops boxes while their announcements are under way.
func TestGoodbyeIsTheLastWord(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	tap := listenOn(t, lab.Host("phone"), "eth0", 5353)
	for _, after := range []time.Duration{100 * time.Millisecond, 400 * time.Millisecond, 900 * time.Millisecond} {
		tap.forget()
		box := netlab.Play(t, lab.Host("box"), "box", hall2())
		netlab.Await(box, "announced", 5*time.Second, announced)
		time.Sleep(after)
		box.End()
		time.Sleep(100 * time.Millisecond)
		msgs := tap.all()
		if len(msgs) == 0 {
			t.Fatal("nothing heard of the box")
		}
		last := msgs[len(msgs)-1]
		gone := make(map[string]bool)
		for _, rr := range last.Answer {
			gone[rr.Header().Name+" "+dns.TypeToString[rr.Header().Rrtype]] = rr.Header().Ttl == 0
		}
		const instance = `Halle\ 2\.1\ \(S\195\188d\)._signalbox._tcp.local.`
		want := map[string]bool{
			serviceName + " PTR": true, instance + " SRV": true, instance + " TXT": true,
			hostName + " A": true, hostName + " AAAA": true,
		}
		if !maps.Equal(gone, want) {
			t.Errorf("stopped after %v: the last message was %v, want a goodbye to %v", after, last.Answer, want)
		}
	}
}

func TestInterfacesComeAndGo(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "phone")
	lan := lab.Segment(netlab.DefaultSegment)
	host := lab.Host("box")
	box := netlab.Play(t, host, "box", hall2())
	none := netlab.Await(box, "nothing to announce on", 5*time.Second, func(s discovery.Status) bool { return s.Reason != "not started" })
	if none.Announced || !strings.HasPrefix(none.Reason, "no network interface to announce on (lo: left out by discovery.ignore_interfaces") {
		t.Errorf("without interfaces the status is %+v, want a reason", none)
	}
	phone := netlab.Play(t, lab.Host("phone"), "browser", discovery.BrowseOptions{Every: 2 * time.Second})

	card := host.Attach(lan, "10.77.0.50")
	first := netlab.Await(box, "announced", 5*time.Second, announced)
	netlab.Await(phone, "the box", 5*time.Second, is("added"))

	card.Unplug()
	netlab.Await(box, "no cable", 5*time.Second, withReason("eth0", "no cable"))
	card.Plug()
	netlab.Await(box, "announced again", 5*time.Second, announced)

	card.DelAddr("10.77.0.50/24")
	card.AddAddr("10.77.0.51/24")
	netlab.Await(phone, "the new address", 10*time.Second, func(e event) bool {
		return e.Event != "removed" && slices.Contains(e.Box.Addrs, netip.MustParseAddr("10.77.0.51")) &&
			!slices.Contains(e.Box.Addrs, netip.MustParseAddr("10.77.0.50"))
	})

	card.Remove()
	netlab.Await(box, "no interface", 5*time.Second, func(s discovery.Status) bool { return !s.Announced && len(s.Interfaces) == 1 })
	netlab.Await(phone, "silence", 15*time.Second, is("removed"))
	card = host.Attach(lan, "10.77.0.52")
	again := netlab.Await(box, "announced on the new card", 5*time.Second, announced)
	if old, now := first.Interfaces[1].Index, again.Interfaces[1].Index; old == now || now != card.Index {
		t.Errorf("interface index %d, then %d, want the new card's %d", old, now, card.Index)
	}
	got := netlab.Await(phone, "the box again", 10*time.Second, is("added"))
	if want := netip.MustParseAddr("10.77.0.52"); !slices.Contains(got.Box.Addrs, want) {
		t.Errorf("found at %v, want %v", got.Box.Addrs, want)
	}
}

func TestAPowerCutIsNoticed(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	// A phone without IPv6: nothing of Browse may depend on it.
	lab.Host("phone").Sysctl("net/ipv6/conf/all/disable_ipv6", "1")
	box := netlab.Play(t, lab.Host("box"), "box", hall2())
	phone := netlab.Play(t, lab.Host("phone"), "browser", discovery.BrowseOptions{Every: time.Second})
	netlab.Await(phone, "the box", 5*time.Second, is("added"))
	cut := time.Now()
	box.Kill()
	netlab.Await(phone, "silence", 10*time.Second, is("removed"))
	if took := time.Since(cut); took < 2*time.Second {
		t.Errorf("removed %v after the cut, want three rounds without an answer", took)
	}
}

func TestASwitchedOffResponderOnlyWaits(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box")
	part := hall2()
	part.Config.Enabled = false
	box := netlab.Play(t, lab.Host("box"), "box", part)
	s := netlab.Await(box, "a status", 5*time.Second, func(discovery.Status) bool { return true })
	if s.Announced || s.Reason != "switched off by discovery.enabled" {
		t.Errorf("status %+v, want switched off", s)
	}
}

func TestANetworkWithoutIPv4(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t)
	lan := lab.Segment("lan", "fd77::/64")
	lab.Host("box").Attach(lan)
	lab.Host("phone").Attach(lan)
	box := netlab.Play(t, lab.Host("box"), "box", hall2())
	phone := netlab.Play(t, lab.Host("phone"), "browser", discovery.BrowseOptions{})
	got := netlab.Await(phone, "the box", 5*time.Second, is("added"))
	if want := []netip.Addr{netip.MustParseAddr("fd77::1")}; !slices.Equal(got.Box.Addrs, want) {
		t.Errorf("found at %v, want %v", got.Box.Addrs, want)
	}
	box.End()
	netlab.Await(phone, "goodbye", 3*time.Second, is("removed"))
}
