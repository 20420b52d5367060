package broker_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/wire"
)

var (
	boxA = wire.BoxID{Tenant: "main", Site: "hall-1", Box: "a"}
	boxB = wire.BoxID{Tenant: "main", Site: "hall-2", Box: "b"}
)

// rightsOfABox is what must hold of embedded and external alike.
func rightsOfABox(t *testing.T, b *broker.Broker) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	denied := make(chan error, 16)
	nc, err := brokertest.Connect(b, boxA, time.Now().Add(time.Hour), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		denied <- err
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if ack, err := js.Publish(ctx, boxA.FramesSubject(), []byte("frame"), jetstream.WithMsgID(boxA.MsgID(1, 1))); err != nil || ack.Stream != broker.StreamUp {
		t.Fatalf("publishing its own frames: got %+v, %v", ack, err)
	}
	if ack, err := js.Publish(ctx, boxA.FramesSubject(), []byte("frame"), jetstream.WithMsgID(boxA.MsgID(1, 1))); err != nil || !ack.Duplicate {
		t.Errorf("publishing it again: got %+v, %v, want a duplicate", ack, err)
	}
	ownNudge := make(chan *nats.Msg, 1)
	if _, err := nc.ChanSubscribe(boxA.NudgeSubject(), ownNudge); err != nil {
		t.Fatal(err)
	}
	answer(t, b)
	if m, err := nc.Request(boxA.AskSubject(), []byte("ask"), 5*time.Second); err != nil || string(m.Data) != "standing" {
		t.Fatalf("asking: got %v, %v", m, err)
	}
	_ = b.Conn().Publish(boxA.NudgeSubject(), []byte("nudge"))
	select {
	case <-ownNudge:
	case <-ctx.Done():
		t.Fatal("the box's own nudge did not reach it")
	}

	refuse := func(what string, try func()) {
		t.Helper()
		try()
		if err := nc.FlushTimeout(5 * time.Second); err != nil {
			t.Fatalf("%s: the connection is gone: %v", what, err)
		}
		select {
		case err := <-denied:
			if !errors.Is(err, nats.ErrPermissionViolation) {
				t.Errorf("%s: got %v, want a permissions violation", what, err)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s: was not refused", what)
		}
	}
	before := count(t, b)
	for _, subject := range []string{
		boxB.FramesSubject(), boxB.AskSubject(), boxB.LiveSubject(), boxB.NudgeSubject(), boxA.NudgeSubject(),
		"$JS.API.INFO", "$JS.API.STREAM.DELETE.UP", "$KV.registry.site.main.x", "$SYS.REQ.USER.AUTH", "$SYS.REQ.SERVER.PING", "audit.x",
		"up.main.hall-1.a", "up.main.hall-1.a.f.g", boxB.InboxPrefix() + ".x",
	} {
		refuse("publishing on "+subject, func() { _ = nc.PublishRequest(subject, boxA.InboxPrefix()+".x", []byte("x")) })
	}
	for _, subject := range []string{boxB.NudgeSubject(), "nudge.>", ">", "*", "up.>", "$KV.>", "$SYS.>", boxB.InboxPrefix() + ".>", "_INBOX.>", boxA.FramesSubject()} {
		refuse("subscribing to "+subject, func() { _, _ = nc.SubscribeSync(subject) })
	}
	if after := count(t, b); after != before {
		t.Errorf("refused messages were stored: %d, then %d", before, after)
	}
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	if _, err := js.AccountInfo(short); err == nil {
		t.Error("the box can ask JetStream")
	}
	<-denied
}

// answer plays the projector.
func answer(t *testing.T, b *broker.Broker) {
	sub, err := b.Conn().Subscribe(wire.AllAsks, func(m *nats.Msg) { _ = m.Respond([]byte("standing")) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
	if err := b.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, b *broker.Broker) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stream, err := b.JetStream().Stream(ctx, broker.StreamUp)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

func badSessions(t *testing.T, b *broker.Broker) {
	for what, opt := range map[string]nats.Option{
		"a session that has ended": nats.UserInfo(b.Session(boxA, time.Now().Add(-time.Second)), ""),
		"a forged session":         nats.UserInfo(strings.Replace(b.Session(boxA, time.Now().Add(time.Hour)), "hall-1", "hall-2", 1), ""),
		"no session":               nats.UserInfo("", ""),
		"the cloud's name":         nats.UserInfo("cloud", "wrong"),
	} {
		nc, err := brokertest.Connect(b, boxA, time.Now().Add(time.Hour), opt)
		if err == nil {
			nc.Close()
			t.Errorf("%s is let in", what)
		} else if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: got %v, want an authorization violation", what, err)
		}
	}
	closed := make(chan struct{})
	nc, err := brokertest.Connect(b, boxA, time.Now().Add(2*time.Second),
		nats.ClosedHandler(func(*nats.Conn) { close(closed) }), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	select {
	case <-closed:
	case <-time.After(6 * time.Second):
		t.Error("a session goes on past its end")
	}
}

func TestEmbeddedRights(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Start(t, t.TempDir())
	if err := b.Healthy(); err != nil {
		t.Errorf("Healthy: got %v", err)
	}
	t.Run("rights", func(t *testing.T) { rightsOfABox(t, b) })
	t.Run("sessions", func(t *testing.T) { badSessions(t, b) })
	t.Run("size", func(t *testing.T) { oversize(t, b) })
	t.Run("nonsense", func(t *testing.T) { nonsense(t, b) })
}

func oversize(t *testing.T, b *broker.Broker) {
	// nats.go itself refuses what is larger than INFO says, so speak NATS by hand.
	conn := login(t, b, boxA)
	defer conn.Close()
	fmt.Fprintf(conn, "PUB %s %d\r\n", boxA.FramesSubject(), wire.MaxPayloadBytes+1)
	if rest := drain(conn); !strings.Contains(rest, "Maximum Payload Violation") {
		t.Errorf("a payload of %d bytes: got %q, want it refused", wire.MaxPayloadBytes+1, rest)
	}
}

// login opens a connection by hand, up to the first PONG.
func login(t *testing.T, b *broker.Broker, box wire.BoxID) net.Conn {
	t.Helper()
	conn, err := b.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 8<<10)
	if n, err := conn.Read(buf); err != nil || !bytes.HasPrefix(buf[:n], []byte("INFO {")) {
		t.Fatalf("first line: got %q, %v", buf[:n], err)
	}
	fmt.Fprintf(conn, "CONNECT {\"user\":%q,\"verbose\":false}\r\nPING\r\n", b.Session(box, time.Now().Add(time.Hour)))
	var got strings.Builder
	for !strings.Contains(got.String(), "PONG") {
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatalf("after CONNECT: got %q, %v", got.String(), err)
		}
		got.Write(buf[:n])
	}
	return conn
}

func drain(conn net.Conn) string {
	rest, _ := io.ReadAll(conn)
	return string(rest)
}

func nonsense(t *testing.T, b *broker.Broker) {
	good, err := brokertest.Connect(b, boxB, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 100 {
		conn, err := b.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			conn.Close()
			conn = login(t, b, boxA)
		}
		conn.SetDeadline(time.Now().Add(5 * time.Second))
		junk := make([]byte, 1+random.IntN(4<<10))
		for i := range junk {
			junk[i] = byte(random.Uint32())
		}
		done := make(chan struct{})
		go func() { defer close(done); _, _ = io.Copy(io.Discard, conn) }()
		_, _ = conn.Write(junk)
		_, _ = conn.Write([]byte("\r\n"))
		conn.Close()
		<-done
	}
	if err := good.FlushTimeout(5 * time.Second); err != nil {
		t.Errorf("another box after nonsense: %v", err)
	}
	if err := b.Healthy(); err != nil {
		t.Errorf("Healthy after nonsense: %v", err)
	}
}

// What has been acknowledged is there after a restart, as are the settings.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, stop := brokertest.Start(t, dir)
	if _, err := b.JetStream().Publish(t.Context(), boxA.FramesSubject(), []byte("frame")); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := b.Healthy(); err == nil {
		t.Error("Healthy after Run has returned: got nil")
	}
	if _, err := b.Dial(t.Context()); err == nil {
		t.Error("Dial after Run has returned: got a connection")
	}
	b, _ = brokertest.Run(t, broker.Config{Dir: dir, UpBytes: 32 << 20, RollupBytes: 16 << 20})
	if got := count(t, b); got != 1 {
		t.Errorf("frames after a restart: got %d, want 1", got)
	}
	stream, err := b.JetStream().Stream(t.Context(), broker.StreamUp)
	if err != nil {
		t.Fatal(err)
	}
	cfg := stream.CachedInfo().Config
	if cfg.MaxBytes != 32<<20 || cfg.MaxAge != 35*24*time.Hour || cfg.Duplicates != 10*time.Minute || cfg.Discard != jetstream.DiscardOld || cfg.Compression != jetstream.S2Compression {
		t.Errorf("settings of UP: got %+v", cfg)
	}
	for bucket, want := range map[string]time.Duration{broker.BucketRegistry: 0, broker.BucketLease: 10 * time.Second, broker.BucketSignin: 12 * time.Hour} {
		kv, err := b.JetStream().KeyValue(t.Context(), bucket)
		if err != nil {
			t.Fatal(err)
		}
		status, err := kv.Status(t.Context())
		if err != nil || status.TTL() != want {
			t.Errorf("bucket %s: got %v, %v, want TTL %v", bucket, status.TTL(), err, want)
		}
	}
}

// A full stream gives up its oldest messages, and takes the new.
func TestDiscardOld(t *testing.T) {
	t.Parallel()
	b, _ := brokertest.Run(t, broker.Config{Dir: t.TempDir(), UpBytes: 1 << 20, RollupBytes: 1 << 20})
	random := make([]byte, 100<<10)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	for range 20 {
		if _, err := b.JetStream().Publish(t.Context(), boxA.FramesSubject(), random); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, b); got < 5 || got > 11 {
		t.Errorf("messages of 100 KiB in 1 MiB: got %d", got)
	}
}

func TestCannotStart(t *testing.T) {
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := broker.New(broker.Config{Dir: file, SessionKey: brokertest.Key}); err == nil {
		t.Error("a folder that is a file: got no error")
	}
	b, err := broker.New(broker.Config{Dir: t.TempDir(), SessionKey: brokertest.Key})
	if err != nil {
		t.Fatal(err)
	}
	b.Close() // never run
	b.Close()
	for want, cfg := range map[string]broker.Config{
		"session key":             {Dir: t.TempDir()},
		"neither a folder":        {SessionKey: brokertest.Key},
		"nats address":            {SessionKey: brokertest.Key, NATS: []string{"http://x"}},
		"leave user and password": {SessionKey: brokertest.Key, NATS: []string{"nats://a:b@x"}},
		"callout seed":            {SessionKey: brokertest.Key, NATS: []string{"nats://x"}, CalloutSeed: "SUxx"},
	} {
		if _, err := broker.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error about %s", err, want)
		}
	}
}
