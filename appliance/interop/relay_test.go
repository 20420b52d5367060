//go:build linux && interop

package interop_test

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/appliance/api"
	"signalbox/turn"
	"signalbox/turn/turntest"
)

// caller is a TURN client of a box with credentials out of its command line.
func (b *box) caller(network, subject string) *turntest.Client {
	b.t.Helper()
	c := turntest.Dial(b.t, network, netip.MustParseAddrPort(b.at(b.ready.TURN[0])))
	got := cliJSON[api.TURNCredential](b, "token", "turn", "--subject", subject, "--ttl", "10m")
	c.Credential = turn.Credential{Username: got.Username, Password: got.Credential}
	return c
}

func (b *box) allocations() []api.Allocation {
	b.t.Helper()
	return cliJSON[[]api.Allocation](b, "status", "--allocations")
}

// exchange sends so many bytes each way through a client's channel, several times.
func exchange(t *testing.T, c *turntest.Client, relayed netip.AddrPort, sizes []int) (peer netip.AddrPort) {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	peer = conn.LocalAddr().(*net.UDPAddr).AddrPort()
	if code := c.Bind(0x4000, peer); code != 0 {
		t.Fatalf("bind: %d", code)
	}
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	for _, size := range sizes {
		payload := []byte(strings.Repeat("x", size))
		c.SendChannel(0x4000, payload)
		if n, from, err := conn.ReadFromUDPAddrPort(make([]byte, 2000)); err != nil || n != size || from != relayed {
			t.Fatalf("the peer got %d bytes from %v, %v; want %d from %v", n, from, err, size, relayed)
		}
		for range 2 {
			if _, err := conn.WriteToUDPAddrPort(payload, relayed); err != nil {
				t.Fatal(err)
			}
			if d, ok := c.Receive(patience); !ok || len(d.Data) != size {
				t.Fatalf("the client got %d bytes, want %d", len(d.Data), size)
			}
		}
	}
	return peer
}

const loopbackPeers = "[turn]\nallow_peers = [\"127.0.0.0/8\"]\n"

// TestAllocationsFromOutside sees real allocations in the command line, the API
// and the metrics, to the byte, and ends them.
func TestAllocationsFromOutside(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, loopbackPeers)
	camera, panel := b.caller("udp", "cam-7"), b.caller("tcp", "hall/panel 1")
	sizes := []int{0, 1, 160, 1200}
	relayed := []netip.AddrPort{camera.Allocate(), panel.Allocate()}
	peers := []netip.AddrPort{exchange(t, camera, relayed[0], sizes), exchange(t, panel, relayed[1], append(sizes, 3))}

	sent := []api.Traffic{{Packets: 4, Bytes: 1361}, {Packets: 5, Bytes: 1364}}
	waitFor(t, "all packets to be counted", patience, func() bool { return b.status().Relay.Bytes == 3*(1361+1364) })
	list := b.allocations()
	if len(list) != 2 {
		t.Fatalf("allocations %+v, want two", list)
	}
	for i, c := range []*turntest.Client{camera, panel} {
		a := list[i]
		received := api.Traffic{Packets: 2 * sent[i].Packets, Bytes: 2 * sent[i].Bytes}
		if a.User != []string{"cam-7", "hall/panel 1"}[i] || a.Transport != []string{"udp", "tcp"}[i] || a.Client != c.Conn().LocalAddr().String() ||
			a.Server != b.at(b.ready.TURN[0]) || !slices.Equal(a.Relayed, []string{relayed[i].String()}) ||
			!slices.Equal(a.Permissions, []string{"127.0.0.1"}) || !slices.Equal(a.Channels, []api.Channel{{Number: 0x4000, Peer: peers[i].String()}}) ||
			a.Sent != sent[i] || a.Received != received || a.AgeSeconds > 60 || time.Until(a.Expires) < 8*time.Minute {
			t.Errorf("allocation %+v, want that of %v with %+v sent and %+v received", a, c.Conn().LocalAddr(), sent[i], received)
		}
	}
	table := b.cli("status", "--allocations")
	if lines := strings.Split(table, "\n"); len(lines) != 3 || !strings.Contains(lines[2], "hall/panel 1") || !strings.Contains(lines[1], "1.3 KiB") {
		t.Errorf("the table is\n%s", table)
	}
	if got := b.cli("status"); !strings.Contains(got, "2 allocations of 2 users, 8.0 KiB relayed\n") {
		t.Errorf("the status is\n%s", got)
	}
	if users := cliJSON[[]api.RelayUser](b, "status", "--users"); len(users) != 2 || users[1].User != "hall/panel 1" || users[1].Sent != sent[1] {
		t.Errorf("users %+v, want both with what they sent", users)
	}
	if got := b.metric("signalbox_turn_relayed_bytes_total", `transport="tcp"`); got != 3*1364 {
		t.Errorf("relayed over TCP are %v bytes, want %d", got, 3*1364)
	}

	w, admin := b.web(nil, nil), b.cli("token", "admin", "--subject", "boss")
	if got := decode[api.AllocationList](w.ask("GET", "/v1/relay/allocations?user=cam-7", admin, nil), http.StatusOK); len(got.Allocations) != 1 {
		t.Errorf("allocations of cam-7: %+v, want one", got)
	}
	b.cli("status", "--end", strconv.FormatUint(list[0].ID, 10))
	if code := camera.Refresh(time.Minute); code != 437 {
		t.Errorf("refresh of what was ended: %d, want 437", code)
	}
	if ended := decode[api.AllocationsEnded](w.ask("DELETE", "/v1/relay/users/hall%2Fpanel%201/allocations", admin, nil), http.StatusOK); ended.Ended != 1 {
		t.Errorf("ended %d, want 1", ended.Ended)
	}
	if list := b.allocations(); len(list) != 0 {
		t.Errorf("allocations %+v, want none", list)
	}
	if _, stderr, code := b.try("status", "--end", strconv.FormatUint(list[0].ID, 10)); code != 1 || !strings.Contains(stderr, "signalbox status --allocations lists") {
		t.Errorf("ending it again: exit code %d, %s", code, stderr)
	}
}

// TestDrainAndStop lets a call go on while no other begins, and ends the
// process, well, with the last one.
func TestDrainAndStop(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, loopbackPeers)
	camera, late := b.caller("tcp", "cam-7"), b.caller("udp", "cam-8")
	relayed := camera.Allocate()
	allocate := func() int { return turntest.Code(late.Request(stun.MethodAllocate, turntest.UDPTransport)) }
	b.cli("status", "--drain")
	if code := allocate(); code != 508 {
		t.Errorf("allocate while draining: %d, want 508", code)
	}
	b.cli("status", "--no-drain")
	if code := allocate(); code != 0 {
		t.Errorf("allocate after draining: %d", code)
	}
	if said := b.cli("status", "--drain", "--stop"); !strings.Contains(said, "there are 2 allocations, and the box stops") {
		t.Errorf("--drain --stop says %q", said)
	}
	if s := b.status().Relay; !s.Draining || !s.Stopping || s.RefusedDraining != 1 || s.Allocations != 2 {
		t.Errorf("relay status %+v, want it draining with two allocations", s)
	}
	exchange(t, camera, relayed, []int{100})
	if code := late.Refresh(0); code != 0 {
		t.Errorf("refresh: %d", code)
	}
	if code := camera.Refresh(10 * time.Minute); code != 0 {
		t.Errorf("refresh while draining: %d", code)
	}
	select {
	case <-b.exited:
		t.Fatal("the box stopped with an allocation")
	case <-time.After(300 * time.Millisecond):
	}
	if code := camera.Refresh(0); code != 0 {
		t.Errorf("refresh: %d", code)
	}
	select {
	case <-b.exited:
	case <-time.After(stopTimeout):
		t.Fatal("the box goes on without an allocation")
	}
	if code := b.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
