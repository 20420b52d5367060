//go:build linux && interop

package interop_test

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// TestCall holds a call between two pion clients, each on a host of its own:
// first as it comes about, then after an ICE restart by the other side. In some
// the box is killed in between: the sessions resume, and a direct call goes on.
func TestCall(t *testing.T) {
	for _, call := range []struct {
		name      string
		apart     bool // on two networks that only the box is attached to
		relayOnly bool
		transport string
		candidate string // type of both selected candidates
		crash     bool
	}{
		{"apart over TURN UDP", true, false, "udp", "relay", true},
		{"apart over TURN TCP", true, true, "tcp", "relay", false},
		{"together by relay", false, true, "", "relay", false},
		{"together directly", false, false, "", "host", true},
	} {
		t.Run(call.name, func(t *testing.T) {
			t.Parallel()
			lab := netlab.New(t)
			hosts, boxAddrs := site(t, lab, call.apart)
			b := startBox(t, lab.Host("box"), "")
			var parts []*netlab.Part
			for i, h := range hosts {
				parts = append(parts, netlab.Play(t, h, callerRole, callerPart{
					URL: "ws://" + net.JoinHostPort(boxAddrs[i], "8080") + "/v1/signal", Token: b.token(h.Name), Name: h.Name,
					Room: "line-3", RelayOnly: call.relayOnly, Transport: call.transport,
				}))
			}
			impolite := checkPhase(t, parts, 1, call.candidate, call.transport)
			if s := b.status(); call.candidate == "relay" && (s.Relay.Allocations < 2 || s.Relay.Bytes == 0) {
				t.Errorf("the relay has %d allocations and relayed %d bytes, want it in use", s.Relay.Allocations, s.Relay.Bytes)
			}
			if call.crash {
				b.kill()
				if call.candidate == "host" {
					checkFlow(t, parts)
				}
				b.start()
			}
			impolite.Say(callerOrder{Restart: true})
			checkPhase(t, parts, 2, call.candidate, call.transport)
			for _, p := range parts {
				p.End()
			}
			waitFor(t, "the relay and the room to be free again", 5*time.Second, func() bool {
				s := b.status()
				return s.Relay.Allocations == 0 && s.Rooms == 0 && s.Sessions == 0
			})
		})
	}
}

// site puts a camera and a panel on a network with the box, or on one each that
// only the box is attached to. It returns the address of the box for each.
func site(t *testing.T, lab *netlab.Lab, apart bool) (hosts []*netlab.Host, boxAddrs []string) {
	t.Helper()
	names := []string{"plant", "plant"}
	if apart {
		names[1] = "office"
	}
	prefixes := map[string]string{"plant": "10.77.1.0/24", "office": "10.77.2.0/24"}
	for i, name := range []string{"camera", "panel"} {
		segment := lab.Segment(names[i], prefixes[names[i]])
		if i == 0 || apart {
			lab.Host("box").Attach(segment)
		}
		lab.Host(name).Attach(segment)
		hosts = append(hosts, lab.Host(name))
	}
	if !apart {
		return hosts, []string{"10.77.1.1", "10.77.1.1"}
	}
	conn, err := hosts[0].DialContext(t.Context(), "udp", net.JoinHostPort(hosts[1].IPv4().String(), "9"))
	if !errors.Is(err, syscall.ENETUNREACH) {
		if err == nil {
			conn.Close()
		}
		t.Fatalf("camera to panel: %v, want no route", err)
	}
	return hosts, []string{"10.77.1.1", "10.77.2.1"}
}

// of reports whether a candidate is of the kind that was wanted. On a LAN the
// box's STUN answers with the host's own address, so a srflx candidate is as
// direct as a host one.
func of(got, want string) bool { return got == want || want == "host" && got == "srflx" }

// checkPhase awaits the news of both callers and returns the impolite one.
func checkPhase(t *testing.T, parts []*netlab.Part, phase int, candidate, transport string) (impolite *netlab.Part) {
	t.Helper()
	var news []callerNews
	for _, p := range parts {
		n := netlab.Await(p, fmt.Sprint("phase ", phase), time.Minute, func(n callerNews) bool { return n.Phase == phase })
		t.Logf("%+v", n)
		if !of(n.Local, candidate) || !of(n.Remote, candidate) && n.Remote != "prflx" { // met before it was heard of
			t.Errorf("selected a pair of %s and %s candidates, want %s", n.Local, n.Remote, candidate)
		}
		if transport != "" && n.RelayTransport != transport {
			t.Errorf("reaches its relay over %q, want %s", n.RelayTransport, transport)
		}
		if !n.Polite {
			impolite = p
		}
		news = append(news, n)
	}
	// The polite side calls, the other one restarts: 2*(floor(cur/2)+1), plus 1.
	want := []uint64{2, 5}[phase-1]
	if news[0].Polite == news[1].Polite || news[0].Gen != want || news[1].Gen != want {
		t.Errorf("polite %v and %v in generations %d and %d, want one of each and %d",
			news[0].Polite, news[1].Polite, news[0].Gen, news[1].Gen, want)
	}
	return impolite
}

// checkFlow wants a call to go on now, by itself.
func checkFlow(t *testing.T, parts []*netlab.Part) {
	t.Helper()
	count := func(p *netlab.Part) callerNews {
		p.Say(callerOrder{Count: true})
		return netlab.Await(p, "a count", patience, func(n callerNews) bool { return n.Phase == 0 })
	}
	for _, p := range parts {
		first := count(p)
		waitFor(t, "video and echoes without a box", patience, func() bool {
			now := count(p)
			return now.Packets > first.Packets+20 && now.Echoes > first.Echoes+5
		})
	}
}
