//go:build linux && interop

package interop_test

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/discovery"
	"signalbox/internal/netlab"
	"signalbox/internal/netlab/avahi"
)

const service = "_signalbox._tcp"

// TestDiscovery finds a box from two other hosts, by avahi and by the program
// itself, reaches it where it says, and sees it say goodbye.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone", "laptop")
	phone := avahi.Start(t, lab.Host("phone"), "phone")
	watched := phone.Watch("-rp", service)
	laptop := follow(t, lab.Host("laptop"))
	b := startBox(t, lab.Host("box"), "[site]\nname = \"Hall 2\"\n")

	waitFor(t, "avahi to resolve the box", patience, func() bool { return strings.Contains(watched(), "=;eth0;IPv4;") })
	id := b.status().ID
	out := phone.Browse(service)
	for _, want := range []string{
		"=;eth0;IPv4;", "=;eth0;IPv6;", ";_signalbox._tcp;local;signalbox.local;", ";8443;",
		`"txtvers=1"`, `"id=` + id + `"`, `"path=/v1/signal"`, `"site=Hall 2"`, `"role=edge"`, `"ver=` + builtVersion + `"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("avahi-browse printed:\n%s\nwant %s in it", out, want)
		}
	}

	seen := laptop.await("added")
	found := discover(t, lab.Host("laptop"), b)
	if len(found) != 1 || found[0].TXT["id"] != id || seen.Box.Instance != found[0].Instance {
		t.Fatalf("signalbox discover --json: %+v, want the box %s alone", found, id)
	}
	reachDiscovered(t, lab.Host("laptop"), found[0], b)

	if code, took := b.stop(); code != 0 {
		t.Errorf("exit code %d after %v", code, took)
	}
	laptop.await("removed")
	waitFor(t, "avahi to see the goodbye", patience, func() bool {
		return strings.Contains(watched(), "-;eth0;IPv4;") && strings.Contains(watched(), "-;eth0;IPv6;")
	})
	cmd := command(lab.Host("laptop"), b.config, "discover", "--timeout", "500ms", "--json")
	if out, err := cmd.Output(); err == nil || strings.TrimSpace(string(out)) != "[]" {
		t.Errorf("signalbox discover without a box printed %q and ended with %v, want an empty list and exit code 1", out, err)
	}
}

// discover lists the boxes that a host sees.
func discover(t *testing.T, from *netlab.Host, b *box) (found []discovery.Box) {
	t.Helper()
	out, err := command(from, b.config, "discover", "--timeout", "1500ms", "--json").Output()
	if err == nil {
		err = json.Unmarshal(out, &found)
	}
	if err != nil {
		t.Fatalf("signalbox discover: %v\n%s", err, out)
	}
	return found
}

// reachDiscovered goes to every address that was announced, and wants the box
// that was announced behind each.
func reachDiscovered(t *testing.T, from *netlab.Host, found discovery.Box, b *box) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(b.cli("trust")))
	if len(found.Addrs) < 2 {
		t.Errorf("found addresses %v, want IPv4 and IPv6", found.Addrs)
	}
	for _, addr := range found.Addrs {
		if addr.IsLinkLocalUnicast() {
			continue // needs a zone
		}
		w := b.web(from, tlsFor(roots, ""))
		w.base = "https://" + net.JoinHostPort(addr.String(), fmt.Sprint(found.Port))
		known := decode[api.WellKnown](w.ask("GET", "/.well-known/signalbox", "", nil), http.StatusOK)
		if known.ID != found.TXT["id"] || !strings.HasPrefix(known.Fingerprint, found.TXT["fp"]) || found.TXT["fp"] == "" {
			t.Errorf("at %v is box %s with fingerprint %s, want what was announced: %v", addr, known.ID, known.Fingerprint, found.TXT)
		}
	}
}

// follower is `signalbox discover --follow --json` on a host.
type follower struct {
	t      *testing.T
	events chan discoveryEvent
}

// discoveryEvent is a line of it.
type discoveryEvent struct {
	Event string
	Box   discovery.Box
}

func follow(t *testing.T, from *netlab.Host) *follower {
	t.Helper()
	cmd := command(from, "/dev/null", "discover", "--follow", "--json")
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{t: t, events: make(chan discoveryEvent, 100)}
	var reading sync.WaitGroup
	reading.Go(func() {
		for in := bufio.NewScanner(stdout); in.Scan(); {
			var e discoveryEvent
			if json.Unmarshal(in.Bytes(), &e) == nil {
				f.events <- e
			}
		}
	})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		reading.Wait()
		_ = cmd.Wait()
	})
	return f
}

func (f *follower) await(event string) discoveryEvent {
	f.t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case e := <-f.events:
			if e.Event == event {
				return e
			}
		case <-timeout:
			f.t.Fatalf("signalbox discover --follow: waited %v for %q", patience, event)
		}
	}
}
