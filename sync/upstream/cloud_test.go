package upstream

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/wire"
)

// cloud is a test's cloud node: a broker with a stream, a gateway that asks who
// is there, and a projection that applies frames in their order.
type cloud struct {
	t      *testing.T
	root   *authority
	broker *server.Server
	nc     *nats.Conn
	js     jetstream.JetStream
	box    *person
	web    *http.Server

	tunnels, posts, asks atomic.Int64
	noSockets            atomic.Bool // WebSockets do not come through
	deaf                 atomic.Bool // nothing is projected or answered
	sessions             sync.Map

	mu       sync.Mutex
	conns    map[net.Conn]bool
	applied  map[uint64]uint64 // by incarnation
	frames   []*wire.Frame     // in the order they were applied
	dated    []*wire.Body
	ids      []string
	lives    []wire.Live
	policy   *wire.Policy
	commands []wire.Command
	live     wire.Seconds
	changed  chan struct{} // closed at each change
}

func (c *cloud) wake() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// newCloud starts a cloud that serves on l.
func newCloud(t *testing.T, l net.Listener, secure bool) *cloud {
	t.Helper()
	c := &cloud{t: t, root: newAuthority(t), conns: map[net.Conn]bool{}, applied: map[uint64]uint64{}, changed: make(chan struct{})}
	scheme := "http://"
	if secure {
		scheme = "https://"
	}
	c.box = newPerson(t, c.root, scheme+l.Addr().String())
	c.startBroker(t.TempDir())
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+wire.TunnelPath, c.serveTunnel)
	mux.HandleFunc("POST "+wire.FramesPath, c.servePost)
	c.web = &http.Server{Handler: mux, ConnState: c.note, ErrorLog: log.New(io.Discard, "", 0)}
	if secure {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{c.root.der}, PrivateKey: c.root.key}}, MinVersion: tls.VersionTLS12})
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = c.web.Serve(l) }()
	t.Cleanup(func() {
		_ = c.web.Close()
		<-served
		c.cut()
		c.stopBroker()
	})
	return c
}

// check lets in whoever has a session of the gateway.
func (c *cloud) Check(client server.ClientAuthentication) bool {
	user := client.GetOpts().Username
	if _, ok := c.sessions.Load(user); !ok && user != "inside" {
		return false
	}
	client.RegisterUser(&server.User{Username: user})
	return true
}

func (c *cloud) startBroker(dir string) {
	c.t.Helper()
	var err error
	c.broker, err = server.NewServer(&server.Options{
		DontListen: true, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, CustomClientAuthentication: c, PingInterval: 10 * time.Minute,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.broker.Start()
	if !c.broker.ReadyForConnections(10 * time.Second) {
		c.t.Fatal("the broker does not start")
	}
	if c.nc, err = nats.Connect("", nats.InProcessServer(c.broker), nats.UserInfo("inside", ""), nats.NoReconnect()); err != nil {
		c.t.Fatal(err)
	}
	if c.js, err = jetstream.New(c.nc); err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := c.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: "UP", Subjects: []string{wire.AllFrames}, Storage: jetstream.MemoryStorage, Duplicates: 10 * time.Minute,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	_ = stream
	for subject, handle := range map[string]nats.MsgHandler{
		wire.AllFrames: c.project, wire.AllAsks: c.answerAsk, wire.AllLive: c.watch,
	} {
		if _, err := c.nc.Subscribe(subject, handle); err != nil {
			c.t.Fatal(err)
		}
	}
	if err := c.nc.Flush(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cloud) stopBroker() {
	c.nc.Close()
	c.broker.Shutdown()
	c.broker.WaitForShutdown()
}

// note keeps the sockets, so that they can be cut.
func (c *cloud) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.conns[conn] = true
	case http.StateClosed:
		delete(c.conns, conn)
	}
}

// cut ends every connection as a pulled cable would, seen from here.
func (c *cloud) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.conns {
		_ = conn.Close()
	}
	clear(c.conns)
}

// authenticate asks for a proof and answers it.
func (c *cloud) authenticate(w http.ResponseWriter, r *http.Request, body []byte) (*wire.Proof, bool) {
	p, err := wire.ParseProof(r.Header.Get("Authorization"))
	if err != nil {
		w.Header().Set("WWW-Authenticate", wire.Challenge("nonce-of-the-cloud"))
		http.Error(w, "prove it", http.StatusUnauthorized)
		return nil, false
	}
	if !p.Verify(c.box.key.Public(), r.Method, wire.Target(r.URL)) || body != nil && !p.Covers(body) {
		http.Error(w, "that is no proof", http.StatusForbidden)
		return nil, false
	}
	return p, true
}

func (c *cloud) sign(p *wire.Proof, body []byte) string {
	proof, err := wire.NewCloudProof(c.root.key, [][]byte{c.root.der}, time.Now(), p, body)
	if err != nil {
		c.t.Error(err)
	}
	return proof.Header()
}

func (c *cloud) serveTunnel(w http.ResponseWriter, r *http.Request) {
	if c.noSockets.Load() {
		http.Error(w, "upgrades are not for you", http.StatusForbidden)
		return
	}
	p, ok := c.authenticate(w, r, nil)
	if !ok {
		return
	}
	session := fmt.Sprint("session-", c.tunnels.Add(1))
	c.sessions.Store(session, true)
	up := websocket.Upgrader{Subprotocols: []string{wire.TunnelSubprotocol}}
	ws, err := up.Upgrade(w, r, http.Header{wire.SessionHeader: {session}, wire.CloudProofHeader: {c.sign(p, nil)}})
	if err != nil {
		return
	}
	defer ws.Close()
	inside, err := c.broker.InProcessConn()
	if err != nil {
		return
	}
	defer inside.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 32<<10)
		for {
			n, err := inside.Read(buf)
			if err != nil || ws.WriteMessage(websocket.BinaryMessage, buf[:n]) != nil {
				_ = ws.Close()
				return
			}
		}
	}()
	for {
		_, message, err := ws.ReadMessage()
		if err != nil {
			break
		}
		if _, err := inside.Write(message); err != nil {
			break
		}
	}
	_ = inside.Close()
	<-done
}

func (c *cloud) servePost(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	p, ok := c.authenticate(w, r, body)
	if !ok {
		return
	}
	c.posts.Add(1)
	if len(body) > 0 {
		if _, err := c.js.Publish(r.Context(), c.box.box.FramesSubject(), body); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		c.take(body)
	}
	var ask wire.Ask
	if err := json.Unmarshal([]byte(r.Header.Get(wire.AskHeader)), &ask); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answer, _ := json.Marshal(c.standing(&ask))
	w.Header().Set(wire.CloudProofHeader, c.sign(p, answer))
	_, _ = w.Write(answer)
}

// project applies what comes, as the stream has it too.
func (c *cloud) project(m *nats.Msg) {
	c.mu.Lock()
	c.ids = append(c.ids, m.Header.Get(nats.MsgIdHdr))
	c.mu.Unlock()
	if n := c.take(m.Data); n != nil {
		data, _ := json.Marshal(n)
		_ = c.nc.Publish(c.box.box.NudgeSubject(), data)
	}
}

// take applies a batch, in order and each frame once.
func (c *cloud) take(data []byte) *wire.Nudge {
	if c.deaf.Load() {
		return nil
	}
	batch, err := wire.DecodeBatch(data, c.box.box)
	if err == nil {
		err = batch.Verify(c.box.key.Public())
	}
	if err != nil {
		c.t.Error(err)
		return nil
	}
	body, err := batch.Decode()
	if err != nil {
		c.t.Error(err)
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dated = append(c.dated, body)
	inc := body.GetIncarnation()
	for _, f := range body.GetFrames() {
		if f.GetFirst() > c.applied[inc]+1 && f.GetFirst() > body.GetOldest() {
			return &wire.Nudge{Incarnation: inc, Applied: c.applied[inc], Resync: c.applied[inc] + 1}
		}
		if f.GetLast() > c.applied[inc] {
			c.applied[inc] = f.GetLast()
			c.frames = append(c.frames, f)
		}
	}
	c.wake()
	return &wire.Nudge{Incarnation: inc, Applied: c.applied[inc]}
}

func (c *cloud) answerAsk(m *nats.Msg) {
	c.asks.Add(1)
	if c.deaf.Load() {
		return
	}
	ask, err := wire.ParseAsk(m.Data)
	if err != nil {
		c.t.Error(err)
		return
	}
	data, _ := json.Marshal(c.standing(ask))
	_ = m.Respond(data)
}

func (c *cloud) standing(ask *wire.Ask) *wire.Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &wire.Standing{Now: time.Now(), Incarnation: ask.Incarnation, Applied: c.applied[ask.Incarnation], Commands: c.commands, Live: c.live}
	if c.policy != nil && c.policy.Revision > ask.Policy {
		s.Policy = c.policy
	}
	return s
}

func (c *cloud) watch(m *nats.Msg) {
	l, err := wire.ParseLive(m.Data)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives = append(c.lives, *l)
	c.wake()
}

// nudge tells the box something.
func (c *cloud) nudge(n wire.Nudge) {
	data, _ := json.Marshal(n)
	if err := c.nc.Publish(c.box.box.NudgeSubject(), data); err != nil {
		c.t.Error(err)
	}
}

// with does something to the cloud's state.
func (c *cloud) with(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	do()
	c.wake()
}

// await waits until the cloud's state is as wanted.
func (c *cloud) await(what string, ok func() bool) {
	c.t.Helper()
	late := time.After(30 * time.Second)
	for {
		c.mu.Lock()
		done, changed := ok(), c.changed
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			c.t.Fatalf("waiting for %s", what)
		}
	}
}

// totals is the newest counter of each incarnation, added up.
func (c *cloud) total(id wire.MetricID) (sum uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	byInc := map[uint64]uint64{}
	for _, b := range c.dated {
		for _, f := range b.GetFrames() {
			if i := slices.Index(f.GetCounterIds(), id); i >= 0 {
				byInc[b.GetIncarnation()] = max(byInc[b.GetIncarnation()], f.GetCounterValues()[i])
			}
		}
	}
	for _, n := range byInc {
		sum += n
	}
	return sum
}
