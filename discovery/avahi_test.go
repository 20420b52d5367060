//go:build linux && interop

package discovery_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/discovery"
	"signalbox/internal/netlab"
	"signalbox/internal/netlab/avahi"
)

const service = "_signalbox._tcp"

func TestAvahiFindsABox(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	phone := avahi.Start(t, lab.Host("phone"), "phone")

	// A browser that is there before the box, and stays until it has gone.
	watched := phone.Watch("-rp", service)
	started := time.Now()
	box := netlab.Play(t, lab.Host("box"), "box", hall2())
	waitFor(t, "avahi to resolve the box", func() bool {
		return strings.Contains(watched(), "=;eth0;IPv4;")
	})
	t.Logf("resolved %v after the start of the box's process", time.Since(started).Round(time.Millisecond))

	out := phone.Browse(service)
	for _, protocol := range []string{"IPv4", "IPv6"} {
		want := `=;eth0;` + protocol + `;Halle\0322\.1\032\040S\195\188d\041;_signalbox._tcp;local;signalbox.local;`
		if !strings.Contains(out, want) {
			t.Errorf("avahi-browse printed:\n%s\nwant a line with %s", out, want)
		}
	}
	if !regexp.MustCompile(`;(10\.77\.0\.1|fd77::1);8443;`).MatchString(out) {
		t.Errorf("avahi-browse printed:\n%s\nwant an address of the box and its port", out)
	}
	for _, want := range []string{`"txtvers=1"`, `"id=k3f7abcdef"`, `"path=/v1/signal"`, `"up=0"`} {
		if !strings.Contains(out, want) {
			t.Errorf("avahi-browse printed:\n%s\nwant %s in it", out, want)
		}
	}

	box.End()
	waitFor(t, "avahi to see the goodbye", func() bool {
		return strings.Contains(watched(), "-;eth0;IPv4;")
	})
	if out := phone.Browse(service); strings.Contains(out, "signalbox.local") {
		t.Errorf("after the goodbye avahi-browse still printed:\n%s", out)
	}
}

// TestAFreshAvahiResolvesTheHost asks for the name long after the announcements.
func TestAFreshAvahiResolvesTheHost(t *testing.T) {
	t.Parallel()
	lab, office, plant := twoNetworks(t)
	box := netlab.Play(t, lab.Host("box"), "box", hall2())
	netlab.Await(box, "both interfaces", 5*time.Second, onInterfaces(2))
	time.Sleep(2 * time.Second)
	for _, ask := range []struct {
		host  *netlab.Host
		addrs []string
	}{
		{office, []string{"10.77.1.1", "fd77:1::1"}},
		{plant, []string{"10.77.2.1"}},
	} {
		a := avahi.Start(t, ask.host, ask.host.Name)
		for i, addr := range ask.addrs {
			option := []string{"-4", "-6"}[i]
			if got, want := a.Resolve(option, "signalbox.local"), "signalbox.local\t"+addr; got != want {
				t.Errorf("%s: avahi-resolve-host-name %s: %q, want %q", ask.host.Name, option, got, want)
			}
		}
		// Whatever avahi resolves the service to is an address of this segment.
		out := a.Browse(service)
		for _, addr := range regexp.MustCompile(`;signalbox\.local;([^;]+);8443;`).FindAllStringSubmatch(out, -1) {
			if !slices.Contains(ask.addrs, addr[1]) && !strings.HasPrefix(addr[1], "fe80:") {
				t.Errorf("%s: avahi-browse resolved to %s, want one of %v", ask.host.Name, addr[1], ask.addrs)
			}
		}
		if !strings.Contains(out, ";8443;") {
			t.Errorf("%s: avahi-browse printed:\n%s\nwant the box", ask.host.Name, out)
		}
	}
}

// TestAvahiGivesWay starts a machine that wants the box's host name: it probes,
// hears that the name is taken, and becomes signalbox-2.
func TestAvahiGivesWay(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "rival")
	box := netlab.Play(t, lab.Host("box"), "box", hall2())
	netlab.Await(box, "announced", 5*time.Second, announced)
	rival := avahi.Start(t, lab.Host("rival"), "signalbox")
	waitFor(t, "the rival to take another name", func() bool {
		return rival.Resolve("-4", "signalbox-2.local") == "signalbox-2.local\t10.77.0.2"
	})
	if got, want := rival.Resolve("-4", "signalbox.local"), "signalbox.local\t10.77.0.1"; got != want {
		t.Errorf("the rival resolves %q, want %q", got, want)
	}
}

// TestAvahiSeesAnotherTXT wants an update in place: the box must not leave.
func TestAvahiSeesAnotherTXT(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	phone := avahi.Start(t, lab.Host("phone"), "phone")
	part := hall2()
	box := netlab.Play(t, lab.Host("box"), "box", part)
	netlab.Await(box, "announced", 5*time.Second, announced)
	waitFor(t, "up=0", func() bool { return strings.Contains(phone.Browse(service), `"up=0"`) })
	watched := phone.Watch("-p", service)
	part.Announcement.TXT["up"] = "1"
	box.Say(part.Announcement)
	waitFor(t, "up=1", func() bool {
		out := phone.Browse(service)
		return strings.Contains(out, `"up=1"`) && !strings.Contains(out, `"up=0"`)
	})
	time.Sleep(1500 * time.Millisecond) // longer than a goodbye takes effect
	if seen := watched(); strings.Contains(seen, "-;") {
		t.Errorf("avahi saw the box leave:\n%s", seen)
	}
}

// TestABoxThatRunsAvahiToo shares the port with avahi on one machine: strangers
// find the box, and so does who sits at it.
func TestABoxThatRunsAvahiToo(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	local := avahi.Start(t, lab.Host("box"), "edge-17")
	box := netlab.Play(t, lab.Host("box"), "box", hall2())
	netlab.Await(box, "announced", 5*time.Second, announced)
	phone := netlab.Play(t, lab.Host("phone"), "browser", discovery.BrowseOptions{})
	got := netlab.Await(phone, "the box", 5*time.Second, is("added"))
	if got.Box.Host != "signalbox.local" {
		t.Errorf("found host %s, want signalbox.local", got.Box.Host)
	}
	if out := local.Browse(service); !strings.Contains(out, ";signalbox.local;10.77.0.1;8443;") {
		t.Errorf("avahi-browse on the box printed:\n%s\nwant the box", out)
	}
	if got, want := local.Resolve("-4", "signalbox.local"), "signalbox.local\t10.77.0.1"; got != want {
		t.Errorf("avahi on the box resolves %q, want %q", got, want)
	}
	if got, want := local.Resolve("-4", "edge-17.local"), "edge-17.local\t10.77.0.1"; got != want {
		t.Errorf("avahi on the box resolves %q, want its own name to go on: %q", got, want)
	}
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10s for %s", what)
		}
	}
}
