package projector_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projector"
)

// Environment of the child process of TestKilled: the broker's URL and the file.
const (
	childOf   = "SIGNALBOX_TEST_BROKER"
	childFile = "SIGNALBOX_TEST_FILE"
)

// runChild projects in small transactions until it is killed.
func runChild() int {
	conn, err := nats.Connect(os.Getenv(childOf))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	js, err := jetstream.New(conn)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := projection.Open(os.Getenv(childFile))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	r := newRegister()
	pr, err := projector.New(projector.Config{
		Projection: p, JetStream: js, Conn: conn, Keys: r, Desired: r, Results: r, Node: "child", Linger: time.Microsecond,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := pr.Run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestKilled kills a projector again and again while it works through a stream.
// In the end its file equals that of one that was left alone.
func TestKilled(t *testing.T) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	conn, err := nats.Connect(srv.ClientURL())
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
	plants := fleet(6, 250)
	for i := 0; len(plants[0].Frames) > 0; i++ {
		for _, p := range plants {
			if i%40 == 39 {
				p.Merge()
			}
			if _, err := js.PublishAsync(p.ID.FramesSubject(), encode(t, p.ID, p.Body(1))); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-js.PublishAsyncComplete()
	stream, err := js.Stream(t.Context(), "UP")
	if err != nil {
		t.Fatal(err)
	}
	last := stream.CachedInfo().State.LastSeq

	path := file(t)
	rng := rand.New(rand.NewPCG(9, 9))
	var at projection.Position
	kills := 0
	for ; at.Seq < last && kills < 60; kills++ {
		killOne(t, srv.ClientURL(), path, time.Duration(60+rng.IntN(60))*time.Millisecond)
		p, err := projection.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if p.Damage() != nil || p.Position().Seq < at.Seq {
			t.Errorf("after a kill the file is at %d, was at %d (%v)", p.Position().Seq, at.Seq, p.Damage())
		}
		at = p.Position()
		p.Close()
	}
	t.Logf("%d messages, %d kills", last, kills)
	killed, alone := settle(t, js, conn, path, last), settle(t, js, conn, file(t), last)
	if killed.Hash() != alone.Hash() {
		t.Errorf("hashes are %v and %v", killed.Hash(), alone.Hash())
	}
	if err := killed.Check(); err != nil {
		t.Error(err)
	}
	checkTotals(t, killed, plants...)
}

func killOne(t *testing.T, url, path string, after time.Duration) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childOf+"="+url, childFile+"="+path)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	_ = cmd.Process.Signal(syscall.SIGKILL)
	_ = cmd.Wait()
}

// settle runs a projector to the end of the stream.
func settle(t *testing.T, js jetstream.JetStream, conn *nats.Conn, path string, last uint64) *projection.Projection {
	t.Helper()
	p, err := projection.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	r := newRegister()
	pr, err := projector.New(projector.Config{Projection: p, JetStream: js, Conn: conn, Keys: r, Desired: r, Results: r, Node: "parent", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- pr.Run(ctx) }()
	eventually(t, "the projection reaches the end", func() bool { return p.Position().Seq == last })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return p
}
