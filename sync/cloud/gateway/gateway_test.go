package gateway

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/cloud/registry/registrytest"
	"signalbox/sync/wire"
)

// late is who is refused as boxes are that were off for long.
const late = "main.late."

// believer believes everybody who names a box.
type believer struct{ until atomic.Int64 }

func (i *believer) Identify(w http.ResponseWriter, r *http.Request) (Caller, bool) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Box ")
	box, err := wire.ParseBoxID(name)
	if !ok || err != nil {
		http.Error(w, "who are you", http.StatusUnauthorized)
		return Caller{Usual: name == late}, false
	}
	return Caller{Box: box, Until: time.Unix(i.until.Load(), 0), Proof: proof{}}, true
}

// proof covers every body but one, and is of a header of its own.
type proof struct{}

func (proof) Covers(body []byte) bool { return string(body) != "changed on the way" }

func (proof) Prove(w http.ResponseWriter, body []byte) bool {
	w.Header().Set("Test-Proof", "cloud"+string(body))
	return true
}

// lab is a gateway and what it needs.
type lab struct {
	*Gateway
	broker   *broker.Broker
	registry *registry.Registry
	identity *believer
	url      string
	stop     func()
}

func newLab(t *testing.T, cfg Config) *lab {
	t.Helper()
	l := &lab{identity: &believer{}}
	l.identity.until.Store(time.Now().Add(time.Hour).Unix())
	l.broker, _ = brokertest.Start(t, t.TempDir())
	l.registry = registrytest.Start(t, l.broker)
	for _, id := range []wire.BoxID{boxA, boxB} {
		if err := l.registry.AddSite(t.Context(), registry.Site{Tenant: id.Tenant, Name: id.Site}); err != nil {
			t.Fatal(err)
		}
		if err := l.registry.ChangeBox(t.Context(), id, func(*registry.Box) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Broker, cfg.Registry, cfg.Identity = l.broker, l.registry, l.identity
	cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	var err error
	if l.Gateway, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	server := httptest.NewServer(l.Gateway)
	l.url = server.URL
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		l.stop()
		server.Close()
		if s := l.Stats(); s.Tunnels != 0 || s.Posting != 0 || s.Boxes != 0 {
			t.Errorf("after the end: got %+v", s)
		}
	})
	return l
}

// open opens a tunnel by hand.
func (l *lab) open(t *testing.T, id wire.BoxID) *stream {
	t.Helper()
	s, err := dialTunnel(l.url, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// stream is a tunnel as nats.go wants it.
type stream struct {
	*websocket.Conn
	session string
	message io.Reader
}

func dialTunnel(url string, id wire.BoxID) (*stream, error) {
	d := websocket.Dialer{Subprotocols: []string{wire.TunnelSubprotocol}, ReadBufferSize: 512, WriteBufferSize: 512, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ws, answer, err := d.Dial(strings.Replace(url, "http", "ws", 1)+wire.TunnelPath, http.Header{"Authorization": {"Box " + id.String()}})
	if err != nil {
		if answer != nil {
			body, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			err = fmt.Errorf("%w: %s %s", err, answer.Status, body)
		}
		return nil, err
	}
	if answer.Header.Get("Test-Proof") != "cloud" {
		err = errors.New("the answer lacks what identity has said")
	}
	return &stream{Conn: ws, session: answer.Header.Get(wire.SessionHeader)}, err
}

func (s *stream) Read(p []byte) (int, error) {
	for {
		if s.message == nil {
			var err error
			if _, s.message, err = s.NextReader(); err != nil {
				return 0, err
			}
		}
		n, err := s.message.Read(p)
		if err == io.EOF {
			s.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (s *stream) Write(p []byte) (int, error) {
	return len(p), s.WriteMessage(websocket.BinaryMessage, p)
}

func (s *stream) SetDeadline(at time.Time) error {
	return errors.Join(s.SetReadDeadline(at), s.SetWriteDeadline(at))
}

// Dial is for nats.SetCustomDialer.
func (s *stream) Dial(_, _ string) (net.Conn, error) { return s, nil }

func (s *stream) nats(id wire.BoxID, opts ...nats.Option) (*nats.Conn, error) {
	return nats.Connect("nats://tunnel:4222", append([]nats.Option{
		nats.SetCustomDialer(s), nats.SkipHostLookup(), nats.NoReconnect(), nats.UserInfo(s.session, ""), nats.CustomInboxPrefix(id.InboxPrefix()),
	}, opts...)...)
}

// closing reads until the close frame.
func (s *stream) closing(t *testing.T) (int, string) {
	t.Helper()
	s.SetReadDeadline(time.Now().Add(5 * time.Second))
	for {
		if _, _, err := s.NextReader(); err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) {
				t.Fatalf("got %v, want a close frame", err)
			}
			return closed.Code, closed.Text
		}
	}
}

func (l *lab) projector(t *testing.T) {
	t.Helper()
	sub, err := l.broker.Conn().Subscribe(wire.AllAsks, func(m *nats.Msg) {
		var ask wire.Ask
		box, err := wire.ParseSubject(m.Subject)
		if err != nil || json.Unmarshal(m.Data, &ask) != nil || !box.OwnsInbox(m.Reply) {
			return
		}
		answer, _ := json.Marshal(wire.Standing{Incarnation: ask.Incarnation, Applied: ask.Newest})
		_ = m.Respond(answer)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := l.broker.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
}

// wait waits for what another goroutine does soon.
func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("does not come: %s", what)
		}
	}
}

func (l *lab) stored(t *testing.T) uint64 {
	t.Helper()
	s, err := l.broker.JetStream().Stream(t.Context(), broker.StreamUp)
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.Msgs
}

func TestTunnel(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	l.projector(t)
	s := l.open(t, boxA)
	nc, err := s.nats(boxA)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	frame := make([]byte, 200_000)
	for i := range uint64(20) {
		if _, err := js.Publish(t.Context(), boxA.FramesSubject(), frame, jetstream.WithMsgID(boxA.MsgID(9, i+1))); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.stored(t); got != 20 {
		t.Errorf("stored: got %d, want 20", got)
	}
	m, err := nc.Request(boxA.AskSubject(), []byte(`{"incarnation":"5","newest":3}`), 5*time.Second)
	if err != nil || !strings.Contains(string(m.Data), `"applied":3`) {
		t.Errorf("standing: got %v, %v", m, err)
	}
	// Down, something larger than every buffer.
	nudge, err := nc.SubscribeSync(boxA.NudgeSubject())
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := l.broker.Conn().Publish(boxA.NudgeSubject(), frame); err != nil {
		t.Fatal(err)
	}
	if m, err := nudge.NextMsg(5 * time.Second); err != nil || len(m.Data) != len(frame) {
		t.Errorf("down: got %v", err)
	}
	if b := l.Box(boxA); b.Tunnels != 1 || b.BytesIn < 4_000_000 || b.BytesOut < 200_000 || b.Last.IsZero() || b.Since.IsZero() {
		t.Errorf("Box: got %+v", b)
	}
	nc.Close()
	wait(t, "the end of the tunnel", func() bool { return l.Stats().Tunnels == 0 })
	if c := l.Stats().Closed; c[closedByBox]+c[closedLost] != 1 {
		t.Errorf("closed: got %v", c)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{MaxTunnels: 1})
	get := func(header http.Header, path string) (posted, string) {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, l.url+path, nil)
		if header != nil {
			r.Header = header
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		return posted{resp.Status, resp.StatusCode, resp.Header}, string(body)
	}
	upgrade := func(more ...string) http.Header {
		h := http.Header{
			"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="},
			"Sec-Websocket-Protocol": {wire.TunnelSubprotocol}, "Authorization": {"Box " + boxA.String()},
		}
		for i := 0; i < len(more); i += 2 {
			h.Set(more[i], more[i+1])
		}
		return h
	}
	stranger := wire.BoxID{Tenant: "main", Site: "hall-1", Box: "zz"}
	for _, c := range []struct {
		what   string
		header http.Header
		path   string
		status int
		reason string
	}{
		{"a browser's visit", nil, wire.TunnelPath, http.StatusUpgradeRequired, "no_websocket"},
		{"another subprotocol", upgrade("Sec-Websocket-Protocol", "mqtt"), wire.TunnelPath, http.StatusUpgradeRequired, "no_websocket"},
		{"a page", upgrade("Origin", "https://evil.example"), wire.TunnelPath, http.StatusForbidden, "origin"},
		{"nobody", upgrade("Authorization", ""), wire.TunnelPath, http.StatusUnauthorized, ""},
		{"a bad proof", upgrade("Authorization", "Bearer x"), wire.TunnelPath, http.StatusUnauthorized, ""},
		{"an unknown box", upgrade("Authorization", "Box "+stranger.String()), wire.TunnelPath, http.StatusForbidden, "revoked"},
		{"an old version", upgrade("Sec-Websocket-Version", "8"), wire.TunnelPath, http.StatusBadRequest, "handshake"},
		{"GET of frames", nil, wire.FramesPath, http.StatusMethodNotAllowed, "method"},
		{"another path", nil, wire.TunnelPath + "/x", http.StatusNotFound, ""},
	} {
		resp, body := get(c.header, c.path)
		if resp.StatusCode != c.status || c.reason != "" && !strings.Contains(body, `"error":"`+c.reason+`"`) {
			t.Errorf("%s: got %s %s, want %d %s", c.what, resp.Status, body, c.status, c.reason)
		}
		if c.reason != "" && l.Stats().Refused[c.reason] == 0 {
			t.Errorf("%s: is not counted", c.what)
		}
	}
	if s := l.Stats(); s.Refused["identity"] != 1 || s.Challenges != 1 {
		t.Errorf("counted: got %+v", s)
	}
	l.identity.until.Store(time.Now().Unix() - 1)
	if resp, body := get(upgrade(), wire.TunnelPath); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, "ended") {
		t.Errorf("a certificate that has ended: got %s %s", resp.Status, body)
	}
	l.identity.until.Store(time.Now().Add(time.Hour).Unix())
	l.open(t, boxA)
	if resp, body := get(upgrade(), wire.TunnelPath); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" || !strings.Contains(body, "full") {
		t.Errorf("one more than there may be: got %s %s", resp.Status, body)
	}
	for range int(purse) {
		get(upgrade("Authorization", "Bearer x"), wire.TunnelPath)
	}
	if resp, body := get(upgrade("Authorization", "Bearer x"), wire.TunnelPath); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("full comes first: got %s %s", resp.Status, body)
	}
}

// An address that tries proofs is turned away before they are looked at.
func TestSourceIsBounded(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	for range 2 * int(purse) {
		if _, err := dialTunnel(l.url, wire.BoxID{Tenant: "..."}); err == nil {
			t.Fatal("a box without a name is let in")
		}
	}
	s := l.Stats()
	if s.Refused["source"] == 0 || s.Refused["identity"] < uint64(purse)-2 || s.Refused["source"]+s.Refused["identity"] != 2*uint64(purse) {
		t.Errorf("refused: got %v", s.Refused)
	}
}

// Boxes that are refused as usual, a whole plant of them after a power cut, keep
// nobody behind their address out.
func TestUsualRefusalsAreCheap(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	for range 2 * int(purse) {
		if _, err := dialTunnel(l.url, wire.BoxID{Tenant: "main", Site: "late"}); err == nil {
			t.Fatal("it is let in")
		}
	}
	if s := l.Stats(); s.Refused["source"] != 0 || s.Refused["identity"] != 2*uint64(purse) {
		t.Errorf("refused: got %v, want all of them by the identity", s.Refused)
	}
	l.open(t, boxA)
}

func TestReplacedByNewer(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	first, second, other := l.open(t, boxA), l.open(t, boxA), l.open(t, boxB)
	third := l.open(t, boxA)
	if code, reason := first.closing(t); code != wire.CloseReplaced || reason != closedReplaced {
		t.Errorf("the oldest: got %d %s", code, reason)
	}
	for _, s := range []*stream{second, third} {
		nc, err := s.nats(boxA)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
	}
	nc, err := other.nats(boxB)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// The box sees the close frame before the gateway has counted the tunnel out.
	var s Stats
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if s = l.Stats(); s.Closed[closedReplaced] == 1 {
			break
		}
	}
	if s.Tunnels != 3 || s.Boxes != 2 || s.Closed[closedReplaced] != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestRevokedWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	elsewhere := registrytest.Start(t, l.broker) // another node's
	a, b := l.open(t, boxA), l.open(t, boxB)
	began := time.Now()
	if err := elsewhere.RevokeBox(t.Context(), boxA, "eve"); err != nil {
		t.Fatal(err)
	}
	if code, reason := a.closing(t); code != wire.CloseRevoked || reason != closedRevoked {
		t.Errorf("got %d %s", code, reason)
	}
	took := time.Since(began)
	t.Logf("cut off after %v", took.Round(100*time.Microsecond))
	if took > 2*time.Second {
		t.Errorf("cut off after %v, want within 2s", took)
	}
	if _, err := dialTunnel(l.url, boxA); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("again: got %v", err)
	}
	// A change of a box that stays is none of the tunnel's business.
	if err := elsewhere.ChangeBox(t.Context(), boxB, func(b *registry.Box) error { b.Name = "x"; return nil }); err != nil {
		t.Fatal(err)
	}
	nc, err := b.nats(boxB)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	// The site with all its boxes.
	b = l.open(t, boxB)
	if err := elsewhere.RemoveSite(t.Context(), boxB.Tenant, boxB.Site, "eve"); err != nil {
		t.Fatal(err)
	}
	if code, _ := b.closing(t); code != wire.CloseRevoked {
		t.Errorf("a box of a site that is gone: got %d", code)
	}
}

func TestEndsWithTheCertificate(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	l.identity.until.Store(time.Now().Unix() + 2)
	s := l.open(t, boxA)
	if code, reason := s.closing(t); code != wire.CloseEnded || reason != closedEnded {
		t.Errorf("got %d %s", code, reason)
	}
}

func TestSilentTunnelEnds(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{PingEvery: 500 * time.Millisecond, PongWait: 500 * time.Millisecond})
	alive, dead := l.open(t, boxA), l.open(t, boxB)
	nc, err := alive.nats(boxA) // it reads, so that pings are answered
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	began := time.Now()
	wait(t, "the end of the silent one", func() bool { return l.Stats().Closed[closedSilent] == 1 })
	if took := time.Since(began); took > 4*time.Second {
		t.Errorf("ended after %v", took)
	}
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		t.Errorf("the live one: %v", err)
	}
	if l.Box(boxA).Tunnels != 1 || l.Box(boxB).Tunnels != 0 {
		t.Errorf("got %+v and %+v", l.Box(boxA), l.Box(boxB))
	}
	dead.Close()
}

// Each sends what it may not, and ends only itself.
func TestHostileBox(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	l.projector(t)
	bystander, err := l.open(t, boxB).nats(boxB)
	if err != nil {
		t.Fatal(err)
	}
	defer bystander.Close()
	before := l.stored(t)
	for _, c := range []struct{ what, bytes, reason string }{
		{"nonsense", "\x16\x03\x01\r\n", "line"},
		{"another's frames", "PUB " + boxB.FramesSubject() + " 1\r\nx\r\n", "subject"},
		{"answers to the interface", "PUB " + boxA.AskSubject() + " $JS.API.STREAM.PURGE.UP 2\r\n{}\r\n", "reply"},
		{"another's id", hpub(boxA.FramesSubject(), boxA.InboxPrefix()+".x", "Nats-Msg-Id: "+boxB.MsgID(1, 1), "x"), "msg_id"},
		{"too much at once", fmt.Sprintf("PUB %s 600000\r\n", boxA.FramesSubject()), "size"},
	} {
		s := l.open(t, boxA)
		fmt.Fprintf(s, "CONNECT {\"user\":%q}\r\nPING\r\n%s", s.session, c.bytes)
		if code, reason := s.closing(t); code != wire.CloseProtocol || reason != c.reason {
			t.Errorf("%s: got %d %s, want %d %s", c.what, code, reason, wire.CloseProtocol, c.reason)
		}
	}
	stolen := l.open(t, boxB).session
	s := l.open(t, boxA)
	fmt.Fprintf(s, "CONNECT {\"user\":%q}\r\n", stolen)
	if code, reason := s.closing(t); code != wire.CloseProtocol || reason != "session" {
		t.Errorf("another's session: got %d %s", code, reason)
	}
	text := l.open(t, boxA)
	_ = text.WriteMessage(websocket.TextMessage, []byte("PING\r\n"))
	if code, _ := text.closing(t); code != websocket.CloseUnsupportedData {
		t.Errorf("text: got %d", code)
	}
	long := l.open(t, boxA)
	_ = long.WriteMessage(websocket.BinaryMessage, []byte(hello+strings.Repeat("PING\r\n", wire.MaxTunnelMessage/6)))
	if code, _ := long.closing(t); code != websocket.CloseMessageTooBig && code != wire.CloseProtocol {
		t.Errorf("a long message: got %d", code)
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		s := l.open(t, boxA)
		junk := make([]byte, 1+random.IntN(20_000))
		for i := range junk {
			junk[i] = byte(random.Uint32())
		}
		_ = s.WriteMessage(websocket.BinaryMessage, junk)
		_ = s.WriteMessage(websocket.BinaryMessage, []byte("\r\n\r\n"))
		if code, _ := s.closing(t); code != wire.CloseProtocol {
			t.Errorf("nonsense: got %d", code)
		}
	}
	if err := bystander.FlushTimeout(5 * time.Second); err != nil {
		t.Errorf("the other box: %v", err)
	}
	if after := l.stored(t); after != before {
		t.Errorf("stored: %d, then %d", before, after)
	}
	c := l.Stats().Closed
	for _, reason := range []string{"line", "subject", "reply", "msg_id", "size", "session", closedMessage} {
		if c[reason] == 0 {
			t.Errorf("%s is not counted: %v", reason, c)
		}
	}
}

// A box that floods is slowed down, not cut off, and others are not.
func TestFloodIsPaced(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{BoxBytes: 64 << 10, BoxRate: 1 << 20})
	nc, err := l.open(t, boxA).nats(boxA)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	began := time.Now()
	for range 10 {
		if err := nc.Publish(boxA.LiveSubject(), make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("1,000 KiB at 1 MiB/s, 64 KiB ahead: took %v", took)
	}
}

// So is one that floods with messages of next to nothing: each would cost the
// broker as much as a large one.
func TestFloodOfSmallMessagesIsPaced(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{BoxLines: 50, BoxLineRate: 100})
	nc, err := l.open(t, boxA).nats(boxA)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	began := time.Now()
	for range 150 {
		if err := nc.Publish(boxA.LiveSubject(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 800*time.Millisecond {
		t.Errorf("150 messages at 100 a second, 50 ahead: took %v", took)
	}
	other, err := l.open(t, boxB).nats(boxB)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	began = time.Now()
	if err := other.FlushTimeout(10 * time.Second); err != nil || time.Since(began) > 500*time.Millisecond {
		t.Errorf("another box: %v after %v", err, time.Since(began))
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	s := l.open(t, boxA)
	go l.stop()
	if code, _ := s.closing(t); code != wire.CloseRestart {
		t.Errorf("got %d, want %d", code, wire.CloseRestart)
	}
	wait(t, "refusals", func() bool {
		_, err := dialTunnel(l.url, boxA)
		return err != nil && strings.Contains(err.Error(), "stopping")
	})
}
