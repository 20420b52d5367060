package signaling_test

import (
	"crypto/ed25519"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"signalbox/appliance/auth"
	"signalbox/appliance/loadgen"
	"signalbox/appliance/room"
	"signalbox/appliance/signaling"
)

// What a hostile device may send on an open session, and what it gets.
func TestBadFrames(t *testing.T) {
	b := start(t, nil)
	token := b.token("hostile", auth.DeviceRights)
	deep := strings.Repeat("[", 200) + strings.Repeat("]", 200)
	for _, c := range []struct {
		name, frame string
		code        string // of the error, "" when the socket closes
		close       int
	}{
		{"not JSON", `hello?`, "", 4500},
		{"cut off", `{"type":"join","seq":1`, "", 4500},
		{"an array", `[]`, "", 4500},
		{"trailing text", `{"type":"ack","ack":0} x`, "", 4500},
		{"too deep", `{"type":"message","seq":1,"room":"r","data":` + deep + `}`, "", 4500},
		{"bad UTF-8", "{\"type\":\"message\",\"seq\":1,\"room\":\"r\",\"data\":\"\xff\"}", "", 1007},
		{"no seq", `{"type":"join","room":"r"}`, "", 4500},
		{"seq of a wrong type", `{"type":"join","seq":"1","room":"r"}`, "", 4500},
		{"a gap", `{"type":"join","seq":5,"room":"r"}`, "", 4006},
		{"ack from the future", `{"type":"ack","ack":77}`, "", 4500},
		{"a second hello", `{"type":"hello","token":"x"}`, "", 4500},
		{"no type", `{"seq":1,"room":"r"}`, "bad_frame", 0},
		{"type of a wrong type", `{"type":7,"seq":1}`, "bad_frame", 0},
		{"unknown type", `{"type":"teleport","seq":1}`, "unknown_type", 0},
		{"room of a wrong type", `{"type":"join","seq":1,"room":5}`, "bad_frame", 0},
		{"room missing", `{"type":"join","seq":1}`, "bad_frame", 0},
		{"room name", `{"type":"join","seq":1,"room":"a b\u0000c"}`, "limit", 0},
		{"room name too long", `{"type":"join","seq":1,"room":"` + strings.Repeat("r", 65) + `"}`, "limit", 0},
		{"meta too large", `{"type":"join","seq":1,"room":"r","meta":"` + strings.Repeat("m", 5000) + `"}`, "bad_frame", 0},
		{"negative gen", `{"type":"offer","seq":1,"room":"r","to":"x","gen":-1,"data":1}`, "bad_frame", 0},
		{"not joined", `{"type":"message","seq":1,"room":"elsewhere","data":1}`, "not_joined", 0},
		{"leave what was not joined", `{"type":"leave","seq":1,"room":"elsewhere"}`, "not_joined", 0},
		{"refresh with rubbish", `{"type":"refresh","id":1,"token":"rubbish"}`, "token_malformed", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.raw()
			r.t = t
			r.hello(token)
			r.say(c.frame)
			if c.close != 0 {
				if got := r.closeCode(); got != c.close {
					t.Errorf("closed with %d, want %d", got, c.close)
				}
				return
			}
			if got := r.hearCode(); got != c.code {
				t.Errorf("error %q, want %q", got, c.code)
			}
			r.say(`{"type":"ping","t":1}`) // the session goes on
			for r.hear().Type != "pong" {
			}
		})
	}
}

func TestBadHello(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.HelloTimeout = 300 * time.Millisecond })
	_, strange, _ := ed25519.GenerateKey(nil)
	issue := func(key ed25519.PrivateKey, box string, ttl time.Duration) string {
		a, err := auth.New(auth.Config{}, key, box)
		if err != nil {
			t.Fatal(err)
		}
		token, _, err := a.Issue(auth.Grant{Subject: "x", Rooms: []string{"*"}, Rights: auth.DeviceRights, TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := b.token("x", auth.DeviceRights)
	for _, c := range []struct {
		name, frame string
		code        int
	}{
		{"silence", "", 4001},
		{"rubbish", `rubbish`, 4500},
		{"another frame first", `{"type":"ack","ack":1}`, 4500},
		{"wrong type", `{"type":"hello","token":7}`, 4500},
		{"no token", `{"type":"hello"}`, 4503},
		{"not a token", `{"type":"hello","token":"abc"}`, 4502},
		{"forged", fmt.Sprintf(`{"type":"hello","token":%q}`, issue(strange, "testbox", time.Hour)), 4502},
		{"another box's", fmt.Sprintf(`{"type":"hello","token":%q}`, issue(b.key, "otherbox", time.Hour)), 4502},
		{"damaged", fmt.Sprintf(`{"type":"hello","token":%q}`, good[:len(good)-4]+"AAAA"), 4502},
		{"huge client name", fmt.Sprintf(`{"type":"hello","token":%q,"client":%q}`, good, strings.Repeat("c", 65)), 4500},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := b.raw()
			r.t = t
			if c.frame != "" {
				r.say(c.frame)
			}
			if got := r.closeCode(); got != c.code {
				t.Errorf("closed with %d, want %d", got, c.code)
			}
		})
	}
}

// A token that runs out ends the socket in time, and refresh prevents it.
func TestTokenExpires(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.PingEvery = time.Second })
	short := func() string {
		token, _, err := b.authority.Issue(auth.Grant{Subject: "x", Rooms: []string{"*"}, Rights: auth.DeviceRights, TTL: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	if _, err := b.authority.Verify(short()); err != nil {
		t.Skipf("the authority grants no such short tokens: %v", err)
	}
	r := b.raw().hello(short())
	for r.hear().Type != "auth.expiring" {
	}
	r.say(fmt.Sprintf(`{"type":"refresh","id":3,"token":%q}`, b.token("x", auth.DeviceRights)))
	for {
		if f := r.hear(); f.Type == "refreshed" {
			if f.ID != 3 || f.Expires < time.Now().Add(time.Minute).UnixMilli() {
				t.Errorf("refreshed %+v, want id 3 and a later expiry", f)
			}
			break
		}
	}
	r.say(fmt.Sprintf(`{"type":"refresh","token":%q}`, b.token("somebody-else", auth.DeviceRights)))
	if got := r.hearCode(); got != "token_subject" {
		t.Errorf("refresh for another subject: %s, want token_subject", got)
	}
}

func TestHandshakeRefusals(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.Origins = []string{"https://hmi.example"} })
	url := "http://" + b.listener.Addr().String() + "/v1/signal"
	for _, c := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"plain HTTP", http.Header{}, http.StatusUpgradeRequired},
		{"no subprotocol", upgrade("", ""), http.StatusBadRequest},
		{"another subprotocol", upgrade("graphql-ws", ""), http.StatusBadRequest},
		{"foreign origin", upgrade(signaling.Subprotocol, "https://evil.example"), http.StatusForbidden},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		req.Header = c.header
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.status {
			t.Errorf("%s: HTTP %d, want %d", c.name, resp.StatusCode, c.status)
		}
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

func upgrade(protocol, origin string) http.Header {
	h := http.Header{
		"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
		"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
	}
	if protocol != "" {
		h.Set("Sec-Websocket-Protocol", protocol)
	}
	if origin != "" {
		h.Set("Origin", origin)
	}
	return h
}

func TestSizesAndFragments(t *testing.T) {
	b := start(t, nil)
	token := b.token("x", auth.DeviceRights)

	r := b.raw().hello(token)
	r.say(`{"type":"ping","t":1,"pad":"` + strings.Repeat("p", 64<<10) + `"}`)
	if got := r.closeCode(); got != 1009 {
		t.Errorf("one large frame: closed with %d, want 1009", got)
	}

	r = b.raw().hello(token)
	w, _ := r.NextWriter(websocket.TextMessage)
	for _, part := range []string{`{"ty`, `pe":"pi`, `ng","t":42`, `}`} { // fragments of one message
		_, _ = w.Write([]byte(part))
		_ = r.NetConn().(*net.TCPConn).SetNoDelay(true)
	}
	_ = w.Close()
	for {
		if f := r.hear(); f.Type == "pong" {
			if f.T != 42 {
				t.Errorf("pong of %d, want 42", f.T)
			}
			break
		}
	}
	// A message without end, in fragments, costs no more than a large one.
	_ = r.SetWriteDeadline(time.Now().Add(5 * time.Second))
	nc := r.NetConn()
	go func() {
		chunk := make([]byte, 4+4+16<<10) // header, mask of zeros, payload
		for i := range 1000 {
			chunk[0] = 0x00
			if i == 0 {
				chunk[0] = 0x01
			}
			chunk[1], chunk[2], chunk[3] = 0x80|126, 0x40, 0x00
			if _, err := nc.Write(chunk); err != nil {
				return
			}
		}
	}()
	if got := r.closeCode(); got != 1009 {
		t.Errorf("endless fragments: closed with %d, want 1009", got)
	}

	r = b.raw().hello(token)
	_ = r.WriteMessage(websocket.BinaryMessage, []byte{1, 2, 3})
	if got := r.closeCode(); got != 1003 {
		t.Errorf("binary: closed with %d, want 1003", got)
	}
}

func TestFullAndForbiddenRooms(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.RoomsPerSession = 2 })
	for _, info := range []room.Info{{Name: "pair", Capacity: 1, Pinned: true}, {Name: "guests", Allow: []string{"guest-*"}, Pinned: true}} {
		if _, err := b.CreateRoom(t.Context(), info); err != nil {
			t.Fatal(err)
		}
	}
	join(t, b.device("first"), "pair")
	r := b.raw().hello(b.token("second", auth.RightJoin, "pair", "guests", "own-*", "new"))
	for i, c := range []struct{ room, code string }{
		{"pair", "room_full"}, {"guests", "forbidden"}, {"secret", "forbidden"}, {"new", "room_not_found"},
	} {
		r.say(fmt.Sprintf(`{"type":"join","seq":%d,"id":%d,"room":%q}`, i+1, i+1, c.room))
		if got := r.hearCode(); got != c.code {
			t.Errorf("join %s: %s, want %s", c.room, got, c.code)
		}
	}
	many := b.raw().hello(b.token("many", auth.DeviceRights))
	for i := range 3 {
		many.say(fmt.Sprintf(`{"type":"join","seq":%d,"room":"r%d"}`, i+1, i))
	}
	if got := many.hearCode(); got != "too_many_rooms" {
		t.Errorf("third room of two: %s, want too_many_rooms", got)
	}
	mute := b.raw().hello(b.token("mute", auth.RightJoin|auth.RightCreate))
	mute.say(`{"type":"join","seq":1,"room":"r"}`)
	mute.say(`{"type":"message","seq":2,"room":"r","data":1}`)
	if got := mute.hearCode(); got != "forbidden" {
		t.Errorf("message without the right to send: %s, want forbidden", got)
	}
}

// heap is the live heap after a collection.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// One client joins as fast as it can, another never reads; the talk of two
// others goes on, and memory stays bounded.
func TestHostileNeighbours(t *testing.T) {
	b := start(t, func(c *signaling.Config) {
		d := signaling.DefaultConfig()
		c.ControlRate, c.MessageRate = d.ControlRate, 1e6
		c.PingEvery, c.WriteTimeout = time.Second, 500*time.Millisecond
	})
	a, z := b.device("a"), b.device("z")
	join(t, a, "floor")
	join(t, z, "floor")
	before := heap()

	flood := b.raw().hello(b.token("flood", auth.DeviceRights))
	go func() {
		for i := range 10_000 {
			if flood.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"type":"join","seq":%d,"room":"f%d"}`, i+1, i%8)) != nil {
				return
			}
		}
	}()
	deaf := b.raw().hello(b.token("deaf", auth.DeviceRights))
	deaf.say(`{"type":"join","seq":1,"room":"deaf"}`)
	waitFor(t, "the deaf one's join", func() bool { v, ok := b.Room("deaf"); return ok && len(v.Members) == 1 })
	v, _ := b.Room("deaf")
	talker := b.raw().hello(b.token("talker", auth.DeviceRights))
	talker.say(`{"type":"join","seq":1,"room":"deaf"}`)
	go func() {
		payload := strings.Repeat("x", 32<<10)
		for i := range 200 {
			frame := fmt.Appendf(nil, `{"type":"message","seq":%d,"room":"deaf","to":%q,"data":%q}`, i+2, v.Members[0].ID, payload)
			if talker.WriteMessage(websocket.TextMessage, frame) != nil {
				return
			}
		}
	}()

	worst := time.Duration(0)
	for i := range 200 {
		start := time.Now()
		send(t, a, loadgen.Send{Type: "message", Room: "floor", To: z.Member(), Data: jsonOf("%d", i)})
		await(t, z, "message")
		worst = max(worst, time.Since(start))
		time.Sleep(5 * time.Millisecond)
	}
	t.Logf("worst of 200 messages beside a flood and a deaf client: %v", worst)
	if worst > 2*time.Second {
		t.Errorf("a message took %v beside hostile neighbours", worst)
	}
	if got := flood.closeCode(); got != 4005 {
		t.Errorf("flood of joins closed with %d, want 4005", got)
	}
	if got := talker.hearCode(); got != "recipient_full" {
		t.Errorf("talking to the deaf: %s, want recipient_full", got)
	}
	// The deaf one answers no ping either: it is dead after two.
	waitFor(t, "the deaf one to be suspended", func() bool {
		v, ok := b.Room("deaf")
		return ok && len(v.Members) > 0 && v.Members[0].State == room.Suspended
	})
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("heap grew by %d KiB, want less than 16 MiB", grown>>10)
	}
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A socket whose peer has silently gone is found, shown as suspended, closed,
// and its session resumes on another socket with nothing lost.
func TestHalfOpenSocket(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.PingEvery = time.Second })
	a := b.device("a")
	join(t, a, "r")
	hole := newHole(t, b.listener.Addr().String())
	z := b.device("z", func(o *loadgen.Options) { o.NetDial = hole.dial })
	join(t, z, "r")
	await(t, a, "presence")

	hole.open(false)
	start := time.Now()
	send(t, a, loadgen.Send{Type: "message", ID: 7, Room: "r", To: z.Member(), Data: jsonOf(`"into the void"`)})
	awaitThat(t, a, "z to be suspended", func(f loadgen.Frame) bool {
		return f.Type == "presence" && strings.Contains(string(f.Member), `"suspended"`)
	})
	t.Logf("half-open socket found after %v", time.Since(start))
	hole.open(true)
	if f := await(t, z, "message"); string(f.Data) != `"into the void"` {
		t.Errorf("after the resume z got %s", f.Data)
	}
	if c := z.Counts(); c.Resumes == 0 || c.Gaps != 0 || c.Reset != 0 {
		t.Errorf("z: %+v, want a resume and nothing lost", c)
	}
	awaitThat(t, a, "the receipt", func(f loadgen.Frame) bool { return f.Type == "sent" && f.ID == 7 && f.Status == "delivered" })
}

// A slow reader whose socket takes nothing is cut off and may resume.
func TestSlowReaderIsCut(t *testing.T) {
	b := start(t, func(c *signaling.Config) { c.WriteTimeout = 300 * time.Millisecond })
	b.conns.small.Store(true)
	a := b.device("a")
	slow := b.raw().hello(b.token("slow", auth.DeviceRights))
	_ = slow.NetConn().(*net.TCPConn).SetReadBuffer(4096)
	slow.say(`{"type":"join","seq":1,"room":"r"}`)
	waitFor(t, "the slow one's join", func() bool { v, ok := b.Room("r"); return ok && len(v.Members) == 1 })
	join(t, a, "r")
	v, _ := b.Room("r")
	payload := strings.Repeat("x", 60<<10)
	for range 8 {
		send(t, a, loadgen.Send{Type: "message", Room: "r", To: v.Members[0].ID, Data: jsonOf("%q", payload)})
	}
	waitFor(t, "the slow socket to be cut", func() bool { return b.Stats().Dropped["slow"] == 1 })
	waitFor(t, "its member to be suspended", func() bool {
		v, _ := b.Room("r")
		return v.Members[0].State == room.Suspended
	})
}
