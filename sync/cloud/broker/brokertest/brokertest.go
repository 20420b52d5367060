// Package brokertest runs brokers for tests.
package brokertest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/wire"
)

// Key is the session key of every broker of this package.
var Key = bytes.Repeat([]byte{7}, broker.SessionKeyBytes)

// Start runs an embedded broker in dir until the test ends or the returned
// function is called, which may be done more than once.
func Start(t testing.TB, dir string) (*broker.Broker, func()) {
	return Run(t, broker.Config{Dir: dir, UpBytes: 64 << 20, RollupBytes: 16 << 20})
}

// Run runs the broker of cfg likewise.
func Run(t testing.TB, cfg broker.Config) (*broker.Broker, func()) {
	t.Helper()
	cfg.SessionKey = Key
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	b, err := broker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stopped := false
	stop := func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("broker: %v", err)
		}
	}
	t.Cleanup(stop)
	select {
	case <-b.Ready():
	case err := <-done:
		stopped = true
		t.Fatalf("broker: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatalf("broker is not ready: %v", b.Healthy())
	}
	return b, stop
}

// dialer has nats.go use Dial of a broker. Between them are two sockets and two
// goroutines, as the gateway is: an in-process connection holds no byte that
// nobody reads yet, and nats.go reads nothing while it writes CONNECT.
type dialer struct{ *broker.Broker }

func (d dialer) Dial(_, _ string) (net.Conn, error) {
	far, err := d.Broker.Dial(context.Background())
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	mid, err := l.Accept()
	if err != nil {
		return nil, err
	}
	go func() {
		_, _ = io.Copy(far, mid)
		far.Close()
	}()
	go func() {
		_, _ = io.Copy(mid, far)
		mid.Close()
	}()
	return near, nil
}

// Connect connects as a box does, without the tunnel.
func Connect(b *broker.Broker, box wire.BoxID, until time.Time, opts ...nats.Option) (*nats.Conn, error) {
	opts = append([]nats.Option{
		nats.SetCustomDialer(dialer{b}), nats.SkipHostLookup(), nats.IgnoreDiscoveredServers(),
		nats.UserInfo(b.Session(box, until), ""), nats.CustomInboxPrefix(box.InboxPrefix()), nats.NoReconnect(), nats.Timeout(5 * time.Second),
	}, opts...)
	return nats.Connect("nats://broker:4222", opts...)
}
