package signaling_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"signalbox/appliance/auth"
	"signalbox/appliance/loadgen"
	"signalbox/appliance/room"
	"signalbox/appliance/signaling"
)

// enter says hello on a socket of its own and gives the welcome.
func (b *box) enter(token string) (raw, loadgen.Frame) {
	b.t.Helper()
	r := b.raw()
	r.say(fmt.Sprintf(`{"type":"hello","token":%q}`, token))
	return r, r.hear()
}

// resume continues a session on another socket and gives the welcome.
func (b *box) resume(w loadgen.Frame, ack uint64) (raw, loadgen.Frame) {
	b.t.Helper()
	r := b.raw()
	r.say(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"ack":%d}}`, w.Session, w.Resume, ack))
	return r, r.hear()
}

// memberOf is the member id in a welcome.
func memberOf(w loadgen.Frame) string { return strings.Trim(string(w.Member), `"`) }

// joinRoom joins and reads on to the end of the snapshot.
func (r raw) joinRoom(seq int, name string) {
	r.t.Helper()
	r.say(fmt.Sprintf(`{"type":"join","seq":%d,"room":%q}`, seq, name))
	r.snapshot()
}

func (r raw) snapshot() {
	r.t.Helper()
	for f := r.hear(); f.Type != "room" || !f.Last; {
		f = r.hear()
	}
}

// alive fails the test unless the socket answers a ping; it gives the types
// of the frames before the answer.
func (r raw) alive() (before []string) {
	r.t.Helper()
	r.say(`{"type":"ping","t":1}`)
	for {
		f := r.hear()
		if f.Type == "pong" {
			return before
		}
		before = append(before, f.Type)
	}
}

// stored is how many bytes the disk holds of sessions.
func (d *disk) stored() (bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, record := range d.sessions {
		bytes += len(record)
	}
	return bytes
}

// A resume may say any ack after a kill, for the journal may be behind; none
// keeps the box from serving others.
func TestHugeAckAfterAKillHarmsNobody(t *testing.T) {
	for _, ack := range []uint64{1<<53 - 1, 1<<64 - 1} {
		t.Run(fmt.Sprint(ack), func(t *testing.T) {
			b := start(t, nil)
			evil, w := b.enter(b.token("evil", auth.DeviceRights))
			evil.joinRoom(1, "r")
			a, z := b.device("a"), b.device("z")
			join(t, a, "r")
			join(t, z, "r")
			waitFor(t, "everything to be safe", func() bool { return a.Unacked() == 0 && z.Unacked() == 0 })
			addr := b.listener.Addr().String()
			b.kill()
			b.boot(addr)
			evil = b.raw()
			evil.say(fmt.Sprintf(`{"type":"hello","resume":{"session":%q,"token":%q,"ack":%d}}`, w.Session, w.Resume, ack))
			evil.hear()
			send(t, a, loadgen.Send{Type: "message", ID: 9, Room: "r", Data: jsonOf("1")})
			await(t, z, "message")
			awaitThat(t, a, "the receipt", func(f loadgen.Frame) bool { return f.Type == "sent" && f.ID == 9 })
		})
	}
}

// A member that acknowledges as PROTOCOL.md §2 asks, over a slow network, keeps
// its session through a burst within every limit; the senders are asked to wait.
// Until one of them has been, an acknowledgement takes a second and the burst goes
// on: how long a message takes is the machine's business.
func TestBurstDoesNotEndAHealthyReceiver(t *testing.T) {
	b := start(t, nil)
	z := b.raw().hello(b.token("z", auth.DeviceRights))
	z.joinRoom(1, "r")
	var got, last atomic.Uint64
	var ends sync.WaitGroup
	ends.Go(func() {
		for {
			f, err := z.next()
			if err != nil {
				return
			}
			last.Store(max(last.Load(), f.Seq))
			if f.Type == "message" {
				got.Add(1)
			}
		}
	})
	refusals := func() uint64 { return b.Stats().Refused["recipient_full"] }
	ends.Go(func() {
		for z.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"ack","ack":%d}`, last.Load())) == nil {
			delay := 350 * time.Millisecond // 200 and a round trip
			if refusals() == 0 {
				delay = time.Second
			}
			time.Sleep(delay)
		}
	})
	defer ends.Wait()
	defer z.Close()

	const rounds = 5
	payload := jsonOf("%q", strings.Repeat("x", 60<<10))
	var senders []*loadgen.Client
	for i := range 3 {
		a := b.device(fmt.Sprint("sender-", i))
		senders = append(senders, a)
		join(t, a, "r")
	}
	taken := func() {
		for _, a := range senders {
			waitFor(t, "every message to be taken or refused", func() bool { return a.Unacked() == 0 })
		}
	}
	sent := uint64(0)
	for round := 0; round < rounds || refusals() == 0 && round < 10*rounds; round++ {
		for _, a := range senders {
			send(t, a, loadgen.Send{Type: "message", Room: "r", Data: payload})
			sent++
		}
		switch {
		case refusals() > 0:
			time.Sleep(110 * time.Millisecond) // as recipient_full asks
		case round%rounds == rounds-1:
			taken()
		}
	}
	taken()
	st := b.Stats()
	refused := st.Refused["recipient_full"]
	if refused == 0 || refused == sent || st.Dropped["overflow"] != 0 || st.Conns != len(senders)+1 {
		t.Errorf("%d of %d messages refused, %d sessions ended, %d sockets; want some, none, all",
			refused, sent, st.Dropped["overflow"], st.Conns)
	}
	waitFor(t, "the messages that were not refused", func() bool { return got.Load() == sent-refused })
}

// Only the socket that carries a session can end it: the close 1000 of one
// that was replaced says nothing about it.
func TestCloseOfAReplacedSocketEndsNothing(t *testing.T) {
	b := start(t, nil)
	old, w := b.enter(b.token("x", auth.DeviceRights))
	now, again := b.resume(w, 0)
	if !again.Resumed {
		t.Fatalf("not resumed: %s", again.Reason)
	}
	_ = old.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	waitFor(t, "the old socket to end", func() bool { return b.Stats().Conns == 1 })
	if n := b.Stats().Sessions; n != 1 {
		t.Errorf("%d sessions, want the one that was resumed", n)
	}
	now.alive()
}

// Acknowledging what comes is no sign of better conduct: a flood ends with
// 4005, and what was not answered is not acknowledged.
func TestFloodThatAcknowledgesIsClosed(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.ControlRate = 1 })
	r, w := b.enter(b.token("flood", auth.DeviceRights))
	last, answered := uint64(0), uint64(0)
	code := 0
	for seq := 1; seq < 400 && code == 0; {
		for range 40 {
			r.say(fmt.Sprintf(`{"type":"join","seq":%d,"room":"r"}`, seq))
			seq++
		}
		for heard := 0; heard < 40; {
			f, err := r.next()
			if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
				code = closed.Code
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Seq > 0 {
				heard, last = heard+1, f.Seq
				answered++
			}
		}
		if code == 0 {
			r.say(fmt.Sprintf(`{"type":"ack","ack":%d}`, last))
		}
	}
	if code != 4005 {
		t.Fatalf("closed with %d, want 4005", code)
	}
	_, again := b.resume(w, last)
	if !again.Resumed || again.Ack > answered {
		t.Errorf("resumed %v with ack %d, want at most the %d answered", again.Resumed, again.Ack, answered)
	}
}

// The name in hello is what rooms show when join has none.
func TestHelloNameIsTheDefaultForJoin(t *testing.T) {
	b := start(t, nil)
	r := b.raw()
	r.say(fmt.Sprintf(`{"type":"hello","name":"Camera 7","token":%q}`, b.token("x", auth.DeviceRights)))
	r.hear()
	r.joinRoom(1, "plain")
	r.say(`{"type":"join","seq":2,"room":"named","name":"Lens"}`)
	r.snapshot()
	for name, want := range map[string]string{"plain": "Camera 7", "named": "Lens"} {
		if v, _ := b.Room(name); len(v.Members) != 1 || v.Members[0].Name != want {
			t.Errorf("room %s shows %+v, want %q", name, v.Members, want)
		}
	}
}

// A join that fails leaves the room as it was, which an administrator may
// have made a moment ago.
func TestFailedJoinKeepsAnEmptyRoom(t *testing.T) {
	b := start(t, nil)
	if _, err := b.CreateRoom(t.Context(), room.Info{Name: "line-1", Description: "press"}); err != nil {
		t.Fatal(err)
	}
	r := b.raw().hello(b.token("x", auth.DeviceRights))
	r.say(`{"type":"join","seq":1,"room":"line-1","name":"\u0001"}`)
	r.say(`{"type":"join","seq":2,"room":"line-2","name":"\u0001"}`)
	for range 2 {
		if got := r.hearCode(); got != "limit" {
			t.Errorf("join with a name of control characters: %s, want limit", got)
		}
	}
	if v, ok := b.Room("line-1"); !ok || v.Description != "press" {
		t.Errorf("the room is %+v (%v), want it as it was made", v, ok)
	}
	if _, ok := b.Room("line-2"); ok {
		t.Error("a join that failed has made a room")
	}
}

// A key whose frame was refused is free: the frame may come again with it.
func TestRefusedFrameFreesItsKey(t *testing.T) {
	b := start(t, nil)
	a, z := b.device("a"), b.device("z")
	join(t, a, "r")
	join(t, z, "r")
	keyed := loadgen.Send{Type: "candidate", ID: 5, Key: "k", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf(`"keyed"`)}
	for range 64 {
		send(t, a, loadgen.Send{Type: "candidate", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf("{}")})
	}
	send(t, a, keyed)
	if e := await(t, a, "error"); e.ErrorCode() != "held_full" {
		t.Fatalf("65th candidate: %s, want held_full", e.ErrorCode())
	}
	send(t, a, loadgen.Send{Type: "offer", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf("{}")})
	send(t, a, keyed)
	send(t, a, loadgen.Send{Type: "bye", Room: "r", To: z.Member(), Gen: 3})
	f := awaitThat(t, z, "the keyed candidate or what follows it", func(f loadgen.Frame) bool {
		return f.Type == "bye" || string(f.Data) == `"keyed"`
	})
	if f.Type == "bye" {
		t.Error("the candidate sent again under its key has not come")
	}
}

// Candidates held for a member that left go with it, out of the sender's
// records on disk, too.
func TestHeldCandidatesGoWithTheirReceiver(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.ControlRate, c.JournalEvery = 1e5, time.Millisecond })
	a, z := b.device("a"), b.device("z")
	join(t, a, "r")
	join(t, z, "r")
	big := strings.Repeat("c", 7<<10)
	for round := range 20 {
		for range 8 {
			send(t, a, loadgen.Send{Type: "candidate", Room: "r", To: z.Member(), Gen: 3, Data: jsonOf("%q", big)})
		}
		waitFor(t, "the candidates to be safe", func() bool { return a.Unacked() == 0 })
		if n := b.disk.stored(); n < 56<<10 || n > 128<<10 {
			t.Fatalf("round %d: %d KiB on disk, want 56 of candidates and little more", round, n>>10)
		}
		send(t, z, loadgen.Send{Type: "leave", ID: 2, Room: "r"})
		await(t, z, "ok")
		join(t, z, "r")
	}
	waitFor(t, "the candidates to leave the disk", func() bool { return b.disk.stored() < 8<<10 })
	if n := b.Stats().Refused["held_full"]; n != 0 {
		t.Errorf("%d candidates were refused, want none", n)
	}
}

// JSON leaves as it came: not one byte of a value is escaped anew, or a frame
// of 60 KiB would go out with six times as much.
func TestStateIsNotEscapedAnew(t *testing.T) {
	b := start(t, nil)
	var largest atomic.Int64
	traced := func(o *loadgen.Options) {
		check := o.Trace
		o.Trace = func(out bool, frame []byte) {
			if check(out, frame); !out {
				largest.Store(max(largest.Load(), int64(len(frame))))
			}
		}
	}
	a := b.raw().hello(b.token("a", auth.DeviceRights|auth.RightManage))
	a.joinRoom(1, "r")
	z := b.device("z", traced)
	join(t, z, "r")
	frame := `{"type":"set","seq":2,"room":"r","key":"k","data":"` + strings.Repeat("<", 60<<10) + `"}`
	a.say(frame)
	await(t, z, "state")
	join(t, b.device("late", traced), "r")
	if n := int(largest.Load()); n < 60<<10 || n > len(frame)+1<<10 {
		t.Errorf("a frame of %d bytes went out as one of %d, want at most 1 KiB more", len(frame), n)
	}
}

// A socket closed because nothing was heard is counted under its code.
func TestDeadSocketIsCounted(t *testing.T) {
	b := start(t, nil)
	r, w := b.enter(b.token("x", auth.DeviceRights))
	b.TickAt(memberOf(w), time.Now().Add(time.Minute))
	if got := r.closeCode(); got != 4002 {
		t.Errorf("silent socket closed with %d, want 4002", got)
	}
	if n := b.Stats().Closed[4002]; n != 1 {
		t.Errorf("%d sockets counted as closed with 4002, want 1", n)
	}
}

// crowd counts the members of a snapshot that is too large to decode in a test.
func (r raw) crowd() (members int) {
	r.t.Helper()
	for {
		_, b, err := r.ReadMessage()
		if err != nil {
			r.t.Fatalf("after %d members: %v", members, err)
		}
		if !bytes.Contains(b, []byte(`"type":"room"`)) {
			continue
		}
		if members += bytes.Count(b, []byte(`{"member":`)); bytes.Contains(b, []byte(`"last":true`)) {
			return members
		}
	}
}

// However large a room's snapshot is, the room can be joined and resumed.
func TestBigRoomCanBeJoinedAndResumed(t *testing.T) {
	b := start(t, nil)
	if _, err := b.CreateRoom(t.Context(), room.Info{Name: "r"}); err != nil {
		t.Fatal(err)
	}
	const crowd = 640 // times 7 KiB is more than the soft lane otherwise takes
	if err := b.FillRoom("r", crowd, jsonOf("%q", strings.Repeat("m", 7<<10))); err != nil {
		t.Fatal(err)
	}
	r, w := b.enter(b.token("x", auth.DeviceRights))
	r.say(`{"type":"join","seq":1,"room":"r"}`)
	if n := r.crowd(); n != crowd+1 {
		t.Errorf("snapshot of %d members, want %d", n, crowd+1)
	}
	r, again := b.resume(w, 1)
	if !again.Resumed {
		t.Fatalf("not resumed: %s", again.Reason)
	}
	if n := r.crowd(); n != crowd+1 {
		t.Errorf("snapshot of %d members after the resume, want %d", n, crowd+1)
	}
}

// A leave that a kick has overtaken is about a room that is no more, not
// about one of the same name that another has made since.
func TestLeaveAfterAKickSparesANewRoom(t *testing.T) {
	b := start(t, nil)
	x, y := b.device("x"), b.device("y")
	join(t, x, "r")
	kicked := make(chan error, 1)
	inTurn := func() { time.Sleep(20 * time.Millisecond) } // the mutex is taken in the order it was asked for
	b.LockRooms()
	go func() { kicked <- b.Kick(context.Background(), "r", x.Member()) }()
	inTurn()
	send(t, y, loadgen.Send{Type: "join", ID: 1, Room: "r"})
	inTurn()
	send(t, x, loadgen.Send{Type: "leave", ID: 2, Room: "r"})
	inTurn()
	b.UnlockRooms()
	if err := <-kicked; err != nil {
		t.Errorf("kick: %v", err)
	}
	await(t, y, "joined")
	awaitThat(t, x, "an answer to leave", func(f loadgen.Frame) bool { return f.Type == "ok" || f.Type == "error" })
	if v, ok := b.Room("r"); !ok || len(v.Members) != 1 || v.Members[0].ID != y.Member() {
		t.Errorf("the room is %+v (%v), want y in it", v, ok)
	}
}

// A session that ends while its join is carried out is a member of nothing.
func TestJoinDuringTheEndLeavesNoGhost(t *testing.T) {
	b := start(t, nil)
	r, w := b.enter(b.token("x", auth.DeviceRights))
	if err := b.JoinTooLate(memberOf(w), "r"); err == nil {
		t.Error("an ended session has joined")
	}
	if v, ok := b.Room("r"); ok {
		t.Errorf("the room is there with %d members, want none", len(v.Members))
	}
	if got := r.closeCode(); got != 4504 {
		t.Errorf("closed with %d, want 4504", got)
	}
}

// meter counts the bytes given to a journal.
type meter struct {
	signaling.Journal
	bytes atomic.Int64
}

func (m *meter) PutSessions(ctx context.Context, changed map[string][]byte) error {
	for key, record := range changed {
		m.bytes.Add(int64(len(key) + len(record)))
	}
	return m.Journal.PutSessions(ctx, changed)
}

// A frame is written to disk once for each receiver, however many commits
// pass before it is acknowledged: flash wears out.
func TestJournalWritesEachFrameOnce(t *testing.T) {
	const receivers, messages, size = 8, 40, 4 << 10
	var m *meter
	b := start(t, func(c *signaling.Config) {
		m = &meter{Journal: c.Journal}
		c.Journal, c.JournalEvery = m, time.Millisecond
	})
	a := b.device("a")
	join(t, a, "r")
	for i := range receivers {
		r := b.raw().hello(b.token(fmt.Sprint("suspended-", i), auth.DeviceRights))
		r.joinRoom(1, "r")
		_ = r.NetConn().Close()
	}
	waitFor(t, "all to be suspended", func() bool { return b.Stats().Suspended == receivers })
	before := m.bytes.Load()
	for range messages {
		send(t, a, loadgen.Send{Type: "message", Room: "r", Data: jsonOf("%q", strings.Repeat("x", size))})
		waitFor(t, "a commit", func() bool { return a.Unacked() == 0 })
	}
	wrote, payload := m.bytes.Load()-before, int64(receivers*messages*size)
	if wrote < payload || wrote > 2*payload {
		t.Errorf("%d KiB written for %d KiB of messages, want no more than twice that", wrote>>10, payload>>10)
	}
}

// The word that a token runs out may be lost with a socket; the next one
// brings it again.
func TestExpiringIsSaidAgainAfterAResume(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.PingEvery = 5 * time.Minute })
	token, _, err := b.authority.Issue(auth.Grant{Subject: "x", Rooms: []string{"*"}, Rights: auth.DeviceRights, TTL: 8 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	r, w := b.enter(token)
	for _, socket := range []string{"first", "second"} {
		b.TickAt(memberOf(w), time.Now().Add(7*time.Minute))
		if said := r.alive(); !strings.Contains(fmt.Sprint(said), "auth.expiring") {
			t.Errorf("%s socket heard %v, want auth.expiring", socket, said)
		}
		_ = r.NetConn().Close()
		waitFor(t, "the cut", func() bool { return b.Stats().Suspended == 1 })
		r, w = b.resume(w, 0)
	}
}

// gateLog holds up the log line about a detached session until it is opened.
type gateLog struct {
	slog.Handler
	open chan struct{}
}

func (g gateLog) Enabled(context.Context, slog.Level) bool { return true }

func (g gateLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "session detached" {
		<-g.open
	}
	return nil
}

// A member that is back is shown so, however late the work on its old socket
// comes to an end.
func TestResumedMemberIsShownOnline(t *testing.T) {
	open := make(chan struct{})
	b := start(t, func(c *signaling.Config) { c.Logger = slog.New(gateLog{slog.DiscardHandler, open}) })
	release := sync.OnceFunc(func() { close(open) })
	t.Cleanup(release) // before the box stops, whatever fails
	r, w := b.enter(b.token("x", auth.DeviceRights))
	r.joinRoom(1, "r")
	_ = r.NetConn().Close()
	waitFor(t, "the cut", func() bool { return b.Stats().Suspended == 1 })
	if _, again := b.resume(w, 1); !again.Resumed {
		t.Fatalf("not resumed: %s", again.Reason)
	}
	release()
	waitFor(t, "the old socket's end", func() bool { return b.Stats().Conns == 1 })
	if v, _ := b.Room("r"); v.Members[0].State != room.Online {
		t.Errorf("a resumed member is shown %v, want online", v.Members[0].State)
	}
}

// slowRooms takes longer for a room than the journal does for a commit.
type slowRooms struct{ signaling.RoomStore }

func (s slowRooms) PutRoom(ctx context.Context, e room.Entry, v room.Vector) error {
	time.Sleep(100 * time.Millisecond)
	return s.RoomStore.PutRoom(ctx, e, v)
}

// A frame that takes longer than a commit is acknowledged by a later one.
func TestSlowFrameIsAcknowledged(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.Rooms = slowRooms{c.Rooms} })
	a := b.device("a")
	join(t, a, "r")
	send(t, a, loadgen.Send{Type: "set", Room: "r", Key: "k", Data: jsonOf("1")})
	waitFor(t, "the acknowledgement of set", func() bool { return a.Unacked() == 0 })
}
