package signaling_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"signalbox/appliance/auth"
	"signalbox/appliance/loadgen"
	"signalbox/appliance/room"
	"signalbox/appliance/signaling"
	"signalbox/appliance/signaling/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schema = sync.OnceValues(spec.NewValidator)

// disk keeps what a box writes, so that another start of it can read it back.
// Frozen, it loses every write, as it does in the instant the power goes.
type disk struct {
	mu       sync.Mutex
	sessions map[string][]byte
	rooms    map[string]room.Entry
	vector   room.Vector
	frozen   chan struct{} // not nil: every write hangs until it is closed, and is lost
	writes   int
}

// hang is what a write meets once the disk is frozen.
func (d *disk) hang() error {
	d.mu.Lock()
	frozen := d.frozen
	d.mu.Unlock()
	if frozen == nil {
		return nil
	}
	<-frozen
	return errPowerCut
}

var errPowerCut = errors.New("power cut")

func (d *disk) PutSessions(_ context.Context, changed map[string][]byte) error {
	if err := d.hang(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writes++
	for id, record := range changed {
		if record == nil {
			delete(d.sessions, id)
		} else {
			d.sessions[id] = record
		}
	}
	return nil
}

func (d *disk) Sessions(each func(string, []byte) error) error {
	d.mu.Lock()
	all := maps.Clone(d.sessions)
	d.mu.Unlock()
	for id, record := range all {
		if err := each(id, record); err != nil {
			return err
		}
	}
	return nil
}

func (d *disk) Rooms() ([]room.Entry, room.Vector, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []room.Entry
	for _, e := range d.rooms {
		all = append(all, e)
	}
	return all, d.vector, nil
}

func (d *disk) PutRoom(_ context.Context, e room.Entry, v room.Vector) error {
	if err := d.hang(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.Deleted() {
		delete(d.rooms, e.Name)
	} else {
		d.rooms[e.Name] = e
	}
	d.vector = v
	return nil
}

// box is a signaling server on a loopback port.
type box struct {
	*signaling.Server
	t         *testing.T
	authority *auth.Authority
	disk      *disk
	key       ed25519.PrivateKey
	change    func(*signaling.Config)
	epoch     uint64

	listener net.Listener
	http     *http.Server
	stop     context.CancelFunc
	done     chan struct{}
	conns    *connSet
}

// start runs a box until the test ends.
func start(t *testing.T, change func(*signaling.Config)) *box {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &box{t: t, key: key, change: change, disk: &disk{sessions: map[string][]byte{}, rooms: map[string]room.Entry{}}}
	b.authority, err = auth.New(auth.Config{}, key, "testbox")
	if err != nil {
		t.Fatal(err)
	}
	b.boot("127.0.0.1:0")
	t.Cleanup(b.shutdown)
	return b
}

func (b *box) boot(addr string) {
	b.t.Helper()
	b.epoch++
	cfg := signaling.DefaultConfig()
	cfg.JournalEvery = 20 * time.Millisecond
	cfg.ConnectRate, cfg.MessageRate, cfg.NegotiationRate, cfg.ByteRate = 1e5, 1e6, 1e6, 1e9
	cfg.Authority, cfg.Journal, cfg.Rooms = b.authority, b.disk, b.disk
	cfg.ResumeKey, cfg.Box, cfg.Epoch = []byte(strings.Repeat("k", 32)), "testbox", b.epoch
	cfg.ICE = func(local netip.Addr, id auth.Identity) signaling.ICE {
		return signaling.ICE{
			Servers: []signaling.ICEServer{{URLs: []string{"turn:" + local.String() + ":3478"}, Username: id.Subject, Credential: "c"}},
			Expires: time.Now().Add(time.Hour).UnixMilli(),
		}
	}
	if b.change != nil {
		b.change(&cfg)
	}
	srv, err := signaling.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Server = srv
	for range 50 { // the port of a box that was just killed may linger
		if b.listener, err = net.Listen("tcp", addr); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.conns = &connSet{all: map[net.Conn]bool{}}
	b.http = &http.Server{Handler: srv, ConnState: b.conns.note}
	ctx, stop := context.WithCancel(context.Background())
	b.stop, b.done = stop, make(chan struct{})
	go func() { _ = b.http.Serve(b.listener) }()
	done := b.done
	go func() { defer close(done); _ = srv.Run(ctx) }()
}

// connSet knows every socket, so that a kill can cut them all.
type connSet struct {
	mu   sync.Mutex
	all  map[net.Conn]bool
	dead bool

	small atomic.Bool // give new sockets small send buffers
}

func (c *connSet) note(nc net.Conn, _ http.ConnState) {
	if c.small.Load() {
		_ = nc.(*net.TCPConn).SetWriteBuffer(8 << 10)
	}
	c.mu.Lock()
	c.all[nc] = true
	if c.dead {
		_ = nc.Close()
	}
	c.mu.Unlock()
}

func (c *connSet) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for nc := range c.all {
		_ = nc.Close()
	}
}

func (b *box) shutdown() {
	b.stop()
	<-b.done
	_ = b.http.Close()
}

// kill ends the box as kill -9 would: nothing more is written, and no socket
// hears another word. boot starts it again on the same port and disk.
func (b *box) kill() {
	frozen := make(chan struct{})
	b.disk.mu.Lock()
	b.disk.frozen = frozen
	b.disk.mu.Unlock()
	_ = b.http.Close()
	b.conns.cut()
	close(frozen)
	b.shutdown()
	b.disk.mu.Lock()
	b.disk.frozen = nil
	b.disk.mu.Unlock()
}

func (b *box) url() string { return "ws://" + b.listener.Addr().String() + "/v1/signal" }

func (b *box) token(subject string, rights auth.Rights, rooms ...string) string {
	b.t.Helper()
	if len(rooms) == 0 {
		rooms = []string{"*"}
	}
	token, _, err := b.authority.Issue(auth.Grant{Subject: subject, Rooms: rooms, Rights: rights, TTL: time.Hour})
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// check holds every frame against the schema.
func check(t *testing.T) func(bool, []byte) {
	v, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	return func(out bool, frame []byte) {
		if err := v.Check(out, frame); err != nil {
			t.Error(err)
		}
	}
}

// device connects a careful client and waits for its welcome.
func (b *box) device(subject string, change ...func(*loadgen.Options)) *loadgen.Client {
	b.t.Helper()
	opts := loadgen.Options{
		URL: b.url(), Token: b.token(subject, auth.DeviceRights|auth.RightManage), Name: subject,
		Trace: check(b.t), MaxBackoff: 50 * time.Millisecond,
	}
	for _, f := range change {
		f(&opts)
	}
	c := loadgen.New(opts)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	b.t.Cleanup(func() { stop(); <-done })
	await(b.t, c, "welcome")
	return c
}

func await(t *testing.T, c *loadgen.Client, kind string) loadgen.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	f, err := c.AwaitType(ctx, kind)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func awaitThat(t *testing.T, c *loadgen.Client, what string, want func(loadgen.Frame) bool) loadgen.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	f, err := c.Await(ctx, want)
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
	return f
}

func send(t *testing.T, c *loadgen.Client, s loadgen.Send) uint64 {
	t.Helper()
	seq, err := c.Send(s)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// join joins and waits for the snapshot.
func join(t *testing.T, c *loadgen.Client, name string) loadgen.Frame {
	t.Helper()
	send(t, c, loadgen.Send{Type: "join", ID: 1, Room: name})
	f := await(t, c, "joined")
	awaitThat(t, c, "the snapshot", func(f loadgen.Frame) bool { return f.Type == "room" && f.Last })
	return f
}

func jsonOf(format string, args ...any) json.RawMessage { return fmt.Appendf(nil, format, args...) }

// raw is a socket that says what it likes.
type raw struct {
	t *testing.T
	*websocket.Conn
}

func (b *box) raw() raw {
	b.t.Helper()
	d := websocket.Dialer{Subprotocols: []string{signaling.Subprotocol}, HandshakeTimeout: 5 * time.Second}
	ws, resp, err := d.Dial(b.url(), nil)
	if err != nil {
		b.t.Fatalf("dial: %v %v", err, resp)
	}
	_ = resp.Body.Close()
	b.t.Cleanup(func() { _ = ws.Close() })
	return raw{b.t, ws}
}

// hello says hello and swallows the welcome.
func (r raw) hello(token string) raw {
	r.t.Helper()
	r.say(fmt.Sprintf(`{"type":"hello","token":%q}`, token))
	if f := r.hear(); f.Type != "welcome" {
		r.t.Fatalf("got %s, want welcome", f.Type)
	}
	return r
}

func (r raw) say(frame string) {
	r.t.Helper()
	if err := r.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		r.t.Fatal(err)
	}
}

func (r raw) hear() loadgen.Frame {
	r.t.Helper()
	f, err := r.next()
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

func (r raw) next() (f loadgen.Frame, err error) {
	_ = r.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, b, err := r.ReadMessage()
	if err != nil {
		return f, err
	}
	check(r.t)(false, b)
	return f, json.Unmarshal(b, &f)
}

// hearCode reads on to an error frame and gives its code.
func (r raw) hearCode() string {
	r.t.Helper()
	for {
		if f := r.hear(); f.Type == "error" {
			return f.ErrorCode()
		}
	}
}

// closeCode reads on to the end of the socket and gives the code of its close
// frame and of the closing frame before it, which must agree.
func (r raw) closeCode() int {
	r.t.Helper()
	said := 0
	for {
		f, err := r.next()
		if f.Type == "closing" {
			_ = json.Unmarshal(f.Code, &said)
		}
		if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
			if said != 0 && said != closed.Code {
				r.t.Errorf("closing frame said %d, close frame %d", said, closed.Code)
			}
			return closed.Code
		}
		if err != nil {
			r.t.Fatalf("socket ended without a close frame: %v", err)
		}
	}
}
