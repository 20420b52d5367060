package projector_test

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projector"
)

// TestBrokerRestarts: the broker goes away with the consumer, and comes back.
func TestBrokerRestarts(t *testing.T) {
	dir := t.TempDir()
	start := func(port int) *server.Server {
		srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
		if err != nil {
			t.Fatal(err)
		}
		srv.Start()
		if !srv.ReadyForConnections(10 * time.Second) {
			t.Fatal("the broker does not start")
		}
		return srv
	}
	srv := start(-1)
	conn, err := nats.Connect(srv.ClientURL(), nats.ReconnectWait(20*time.Millisecond), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for name, subjects := range map[string][]string{"UP": {"up.*.*.*.f"}, "RU": {"ru.*.*.*.*"}} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := projection.Open(file(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	r := newRegister()
	pr, err := projector.New(projector.Config{
		Projection: p, JetStream: js, Conn: conn, Keys: r, Desired: r, Results: r, Node: "n",
		Logger: slog.New(slog.DiscardHandler), Linger: time.Millisecond, CheckEvery: 100 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- pr.Run(ctx) }()
	plant := fleet(1, 60)[0]
	// As a box does: again until it is acknowledged, under one id.
	send := func() {
		body := plant.Body(10)
		data, id := encode(t, plant.ID, body), plant.ID.MsgID(body.GetIncarnation(), body.GetFrames()[0].GetFirst())
		eventually(t, "the broker takes a batch", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := js.Publish(ctx, plant.ID.FramesSubject(), data, jetstream.WithMsgID(id))
			return err == nil
		})
	}
	send()
	eventually(t, "the first batch is applied", func() bool { return p.Position().Seq == 1 })
	for i := range uint64(3) {
		port := srv.Addr().(*net.TCPAddr).Port
		srv.Shutdown()
		srv.WaitForShutdown()
		srv = start(port)
		send()
		began := time.Now()
		eventually(t, "the next batch is applied", func() bool { return p.Position().Seq == i+2 })
		t.Logf("applied after %v", time.Since(began))
	}
	if pr.Stats().Resets > 0 {
		t.Error("a broker that came back was taken for another")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	conn.Close()
	srv.Shutdown()
	srv.WaitForShutdown()
	if v := p.Box(plant.ID); v.Applied != 40 {
		t.Errorf("%d frames are applied, want 40", v.Applied)
	}
}
