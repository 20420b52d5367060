package broker_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/broker/brokertest"
)

// One external server grants what the embedded one does.
func TestExternalRights(t *testing.T) {
	t.Parallel()
	c := brokertest.StartCluster(t, 1, "")
	b, _ := brokertest.Run(t, c.Config())
	t.Run("rights", func(t *testing.T) { rightsOfABox(t, b) })
	t.Run("sessions", func(t *testing.T) { badSessions(t, b) })
	t.Run("size", func(t *testing.T) { oversize(t, b) })
	t.Run("nonsense", func(t *testing.T) { nonsense(t, b) })
	// Of the bad sessions the one with the cloud's own name does not come to us.
	if s := b.Stats(); s.Granted < 50 || s.Refused != 3 || s.Mistaken != 0 {
		t.Errorf("callout: got %+v", s)
	}
	if got := replicas(t, b); got != 1 {
		t.Errorf("replicas with one server: got %d, want 1", got)
	}
}

func replicas(t *testing.T, b *broker.Broker) int {
	t.Helper()
	stream, err := b.JetStream().Stream(t.Context(), broker.StreamUp)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config.Replicas
}

// What a box sees of a server is not where the servers are.
func TestInfoForBox(t *testing.T) {
	t.Parallel()
	c := brokertest.StartCluster(t, 1, "")
	b, _ := brokertest.Run(t, c.Config())
	conn, err := b.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 8<<10)
	n, err := conn.Read(buf)
	if line := string(buf[:n]); err != nil || !strings.HasPrefix(line, "INFO {") || strings.Contains(line, "127.0.0.1") || !strings.Contains(line, `"max_payload":524288`) {
		t.Errorf("INFO: got %q, %v", line, err)
	}
}

// Two cloud nodes, three servers: with the server gone that leads the stream,
// publishing goes on and nothing that was acknowledged is lost.
func TestClusterLosesAServer(t *testing.T) {
	t.Parallel()
	c := brokertest.StartCluster(t, 3, "")
	first, _ := brokertest.Run(t, c.Config())
	second, _ := brokertest.Run(t, c.Config())
	if got := replicas(t, first); got != 3 {
		t.Fatalf("replicas with three servers: got %d, want 3", got)
	}
	nc := box(t, second)
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var acked uint64
	for range 5 {
		acked = publish(t, js, acked)
	}
	victim := leader(t, first)
	c.Kill(victim)
	killed := time.Now()
	for range 5 {
		acked = publish(t, js, acked)
	}
	t.Logf("the leader killed: 5 publishes acknowledged after %v", time.Since(killed).Round(10*time.Millisecond))
	c.Start(t, victim)
	for _, b := range []*broker.Broker{first, second} {
		wait(t, b)
		if got := count(t, b); got < acked {
			t.Errorf("acknowledged %d, the stream has %d", acked, got)
		}
	}
}

// leader is the number of the server that leads UP.
func leader(t *testing.T, b *broker.Broker) int {
	t.Helper()
	stream, err := b.JetStream().Stream(t.Context(), broker.StreamUp)
	if err != nil || stream.CachedInfo().Cluster == nil {
		t.Fatalf("who leads UP: %v", err)
	}
	return int(stream.CachedInfo().Cluster.Leader[1] - '0')
}

// box connects and comes again by itself, as a real one does.
func box(t *testing.T, b *broker.Broker) *nats.Conn {
	t.Helper()
	nc, err := brokertest.Connect(b, boxA, time.Now().Add(time.Hour), func(o *nats.Options) error {
		o.AllowReconnect, o.MaxReconnect, o.ReconnectWait = true, -1, 50*time.Millisecond
		return nil
	}, nats.IgnoreAuthErrorAbort(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	return nc
}

// publish publishes one more frame, as often as it takes.
func publish(t *testing.T, js jetstream.JetStream, n uint64) uint64 {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := js.Publish(ctx, boxA.FramesSubject(), []byte("frame"), jetstream.WithMsgID(boxA.MsgID(1, n+1)))
		cancel()
		if err == nil {
			return n + 1
		}
		if time.Now().After(end) {
			t.Fatalf("publishing with a server gone: %v", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A cloud that starts before its cluster waits for it; streams that somebody
// has removed are made again.
func TestExternalComesAndGoes(t *testing.T) {
	t.Parallel()
	c := brokertest.StartCluster(t, 1, "")
	c.Kill(0)
	cfg := c.Config()
	cfg.SessionKey = brokertest.Key
	b, err := broker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	if err := b.Healthy(); err == nil {
		t.Error("Healthy without a server: got nil")
	}
	if _, err := b.Dial(t.Context()); err == nil {
		t.Error("Dial without a server: got a connection")
	}
	c.Start(t, 0)
	wait(t, b)
	if err := b.JetStream().DeleteStream(t.Context(), broker.StreamUp); err != nil {
		t.Fatal(err)
	}
	c.Kill(0)
	c.Start(t, 0)
	wait(t, b)
	if got := count(t, b); got != 0 {
		t.Errorf("a stream made again: got %d messages", got)
	}
}

func wait(t *testing.T, b *broker.Broker) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if b.Healthy() == nil {
			if _, err := b.JetStream().Stream(t.Context(), broker.StreamUp); err == nil {
				return
			}
		}
		if time.Now().After(end) {
			t.Fatalf("the streams do not come: %v", b.Healthy())
		}
	}
}
