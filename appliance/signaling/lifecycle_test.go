package signaling_test

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/loadgen"
	"signalbox/appliance/room"
	"signalbox/appliance/signaling"
)

// A member without a socket keeps what is sent to it until its window ends;
// then its last will is carried out.
func TestStoredExpiredAndWill(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.ResumeWindow = time.Second })
	a := b.device("a")
	join(t, a, "r")
	z := b.raw().hello(b.token("z", auth.DeviceRights))
	z.say(`{"type":"join","seq":1,"room":"r","will":{"gone":true}}`)
	awaitThat(t, a, "z", func(f loadgen.Frame) bool { return f.Type == "presence" })
	_ = z.NetConn().Close()
	f := awaitThat(t, a, "z to be suspended", func(f loadgen.Frame) bool {
		return f.Type == "presence" && strings.Contains(string(f.Member), "suspended")
	})
	v, _ := b.Room("r")
	send(t, a, loadgen.Send{Type: "message", ID: 5, Room: "r", To: v.Members[1].ID, Data: jsonOf("1")})
	if s := await(t, a, "sent"); s.Status != "stored" {
		t.Errorf("to a suspended member: %s, want stored", s.Status)
	}
	if f = await(t, a, "message"); !f.Will || string(f.Data) != `{"gone":true}` {
		t.Errorf("got %+v, want the last will", f)
	}
	awaitThat(t, a, "z to leave", func(f loadgen.Frame) bool {
		return f.Type == "presence" && strings.Contains(string(f.Member), `"reason":"expired"`)
	})
	if s := await(t, a, "sent"); s.Status != "expired" || s.ID != 5 {
		t.Errorf("after the window: %+v, want 5 expired", s)
	}
}

// A newer socket takes the session over; the old one is told.
func TestReplaced(t *testing.T) {
	b := start(t, nil)
	token := b.token("x", auth.DeviceRights)
	old := b.raw()
	old.say(fmt.Sprintf(`{"type":"hello","token":%q}`, token))
	w := old.hear()
	now := b.raw()
	now.say(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"ack":0}}`, w.Session, w.Resume))
	if f := now.hear(); !f.Resumed || f.Session != w.Session {
		t.Errorf("welcome %+v, want the session resumed, without a token", f)
	}
	if got := old.closeCode(); got != 4501 {
		t.Errorf("old socket closed with %d, want 4501", got)
	}
	// The first resume token is spent once the newer one has been used.
	now.say(`{"type":"ping","t":1}`)
	for now.hear().Type != "pong" {
	}
	late := b.raw()
	late.say(fmt.Sprintf(`{"type":"hello","token":%q,"resume":{"session":%q,"token":%q,"ack":0}}`, token, w.Session, w.Resume))
	if f := late.hear(); f.Resumed || f.Reason != "token" {
		t.Errorf("spent resume token: resumed %v, reason %q, want refused for the token", f.Resumed, f.Reason)
	}
}

func TestDrainSpreadsReconnects(t *testing.T) {
	b := start(t, nil)
	var socks []raw
	for i := range 5 {
		socks = append(socks, b.raw().hello(b.token(fmt.Sprint("d", i), auth.DeviceRights)))
	}
	go b.stop()
	after := map[int64]bool{}
	for _, r := range socks {
		f := r.hear()
		if f.Type != "closing" || string(f.Code) != "1012" || !f.Temporary {
			t.Errorf("got %+v, want closing 1012", f)
		}
		after[f.RetryAfterMS] = true
		if got := r.closeCode(); got != 1012 {
			t.Errorf("closed with %d, want 1012", got)
		}
	}
	if len(after) != 5 {
		t.Errorf("retry times %v, want five different ones", after)
	}
}

// A client that comes back from another address has its calls restarted, by
// one side only.
func TestRestartHint(t *testing.T) {
	b := start(t, nil)
	from := netip.MustParseAddr("127.0.0.1")
	a := b.device("a")
	z := b.device("z", func(o *loadgen.Options) {
		o.NetDial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
			from = netip.MustParseAddr("127.0.0.2")
			return d.DialContext(ctx, network, addr)
		}
	})
	join(t, a, "r")
	join(t, z, "r")
	send(t, a, loadgen.Send{Type: "offer", Room: "r", To: z.Member(), Data: jsonOf("{}")})
	if f := await(t, z, "offer"); f.Gen != 3 {
		t.Errorf("offer without gen got %d, want 3 from the impolite side", f.Gen)
	}
	z.Cut()
	f := await(t, a, "restart")
	if f.Reason != "address_changed" || string(f.Member) != fmt.Sprintf("%q", z.Member()) {
		t.Errorf("restart %+v, want address_changed about z, to the impolite a", f)
	}
}

func TestICERenewal(t *testing.T) {
	b := start(t, func(c *signaling.Config) {
		c.PingEvery = time.Second
		c.ICE = func(netip.Addr, auth.Identity) signaling.ICE {
			return signaling.ICE{Servers: []signaling.ICEServer{{URLs: []string{"turn:x"}}}, Expires: time.Now().Add(2 * time.Second).UnixMilli()}
		}
	})
	r := b.raw()
	r.say(fmt.Sprintf(`{"type":"hello","token":%q}`, b.token("x", auth.DeviceRights)))
	w := r.hear()
	for {
		f := r.hear()
		if f.Type == "ping" {
			r.say(fmt.Sprintf(`{"type":"pong","t":%d}`, f.T))
		}
		if f.Type == "ice" {
			if f.Expires <= w.ICE.Expires || len(f.Servers) != 1 {
				t.Errorf("renewed ICE %+v, want servers that last longer", f)
			}
			return
		}
	}
}

// An idle box writes nothing, connected clients or not.
func TestIdleWritesNothing(t *testing.T) {
	b := start(t, nil)
	join(t, b.device("a"), "r")
	before := -1
	waitFor(t, "what the join has to write", func() bool {
		last := before
		b.disk.mu.Lock()
		before = b.disk.writes
		b.disk.mu.Unlock()
		if before != last {
			time.Sleep(500 * time.Millisecond)
		}
		return before == last
	})
	time.Sleep(time.Second)
	b.disk.mu.Lock()
	defer b.disk.mu.Unlock()
	if b.disk.writes != before {
		t.Errorf("%d commits in an idle second, want none", b.disk.writes-before)
	}
}

// Rooms made by an administrator are there after a kill, with what was set.
func TestRoomsSurviveAKill(t *testing.T) {
	b := start(t, nil)
	for i := range 20 {
		if _, err := b.CreateRoom(t.Context(), room.Info{Name: fmt.Sprint("line-", i), Pinned: i%2 == 0, Capacity: i + 1, Description: "d"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.SetMetadata(t.Context(), "line-4", "layout", jsonOf(`[1]`), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteRoom(t.Context(), "line-5"); err != nil {
		t.Fatal(err)
	}
	addr := b.listener.Addr().String()
	b.kill()
	b.boot(addr)
	rooms := b.Rooms()
	if len(rooms) != 19 {
		t.Fatalf("%d rooms after the kill, want 19", len(rooms))
	}
	v, ok := b.Room("line-4")
	if !ok || !v.Pinned || v.Capacity != 5 || string(v.Metadata["layout"].Data) != "[1]" {
		t.Errorf("line-4 after the kill: %+v", v)
	}
}

func TestKickAndDelete(t *testing.T) {
	b := start(t, nil)
	a, z := b.device("a"), b.device("z")
	join(t, a, "r")
	join(t, z, "r")
	if err := b.Kick(t.Context(), "r", z.Member()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*loadgen.Client{a, z} {
		awaitThat(t, c, "the kick", func(f loadgen.Frame) bool {
			return f.Type == "presence" && strings.Contains(string(f.Member), `"kicked"`) && strings.Contains(string(f.Member), z.Member())
		})
	}
	send(t, z, loadgen.Send{Type: "message", Room: "r", Data: jsonOf("1")})
	if e := await(t, z, "error"); e.ErrorCode() != "not_joined" {
		t.Errorf("after the kick: %s, want not_joined", e.ErrorCode())
	}
	if err := b.DeleteRoom(t.Context(), "r"); err != nil {
		t.Fatal(err)
	}
	awaitThat(t, a, "the end of the room", func(f loadgen.Frame) bool {
		return f.Type == "presence" && strings.Contains(string(f.Member), `"deleted"`)
	})
	if _, ok := b.Room("r"); ok {
		t.Error("the deleted room is still there")
	}
}

// Candidates without a description are held up to a bound.
func TestHeldCandidatesAreBounded(t *testing.T) {
	b := start(t, nil)
	a, z := b.device("a"), b.device("z")
	join(t, a, "r")
	join(t, z, "r")
	for range 65 {
		send(t, a, loadgen.Send{Type: "candidate", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf("{}")})
	}
	if e := await(t, a, "error"); e.ErrorCode() != "held_full" {
		t.Errorf("65th candidate: %s, want held_full", e.ErrorCode())
	}
	if e := await(t, a, "error"); e.ErrorCode() != "held_expired" {
		t.Errorf("10 s later: %s, want held_expired", e.ErrorCode())
	}
}

// A negotiation goes on over a kill of the box: candidates follow the
// description that went before, and held ones are still held.
func TestNegotiationSurvivesAKill(t *testing.T) {
	b := start(t, nil)
	a, z := b.device("a"), b.device("z")
	join(t, a, "r")
	join(t, z, "r")
	send(t, a, loadgen.Send{Type: "offer", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf("{}")})
	await(t, z, "offer")
	send(t, z, loadgen.Send{Type: "candidate", Room: "r", To: a.Member(), Gen: 3, Data: jsonOf(`"early"`)})
	waitFor(t, "everything to be safe", func() bool { return a.Unacked() == 0 && z.Unacked() == 0 })
	addr := b.listener.Addr().String()
	b.kill()
	b.boot(addr)
	send(t, a, loadgen.Send{Type: "candidate", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf(`"late"`)})
	if f := await(t, z, "candidate"); string(f.Data) != `"late"` {
		t.Errorf("candidate after the kill: %s", f.Data)
	}
	send(t, z, loadgen.Send{Type: "answer", Room: "r", To: a.Member(), Gen: 3, Data: jsonOf("{}")})
	await(t, a, "answer")
	if f := await(t, a, "candidate"); string(f.Data) != `"early"` {
		t.Errorf("held candidate after the kill: %s", f.Data)
	}
	send(t, z, loadgen.Send{Type: "offer", Room: "r", To: a.Member(), Gen: 2, Data: jsonOf("{}")})
	if e := await(t, z, "error"); e.ErrorCode() != "stale_generation" {
		t.Errorf("old offer after the kill: %s, want stale_generation", e.ErrorCode())
	}
}
