package presence_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"signalbox/sync/cloud/presence"
	"signalbox/sync/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func broker(t *testing.T) func() *nats.Conn {
	t.Helper()
	s, err := server.NewServer(&server.Options{DontListen: true, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	return func() *nats.Conn {
		conn, err := nats.Connect("", nats.InProcessServer(s))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
}

func box(i int) wire.BoxID {
	return wire.BoxID{Tenant: "main", Site: "hall", Box: fmt.Sprintf("b%d", i)}
}

// member is a cloud node as far as presence goes.
type member struct {
	*presence.Presence
	mu    sync.Mutex
	boxes []wire.BoxID
	looks int // at boxes, since they were set
	stop  func()
}

func (m *member) set(boxes ...wire.BoxID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boxes, m.looks = boxes, 0
}

// noticed tells whether it has taken note of what was set.
func (m *member) noticed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.looks > 1
}

func start(t *testing.T, conn *nats.Conn, name string) *member {
	t.Helper()
	m := &member{}
	var err error
	m.Presence, err = presence.New(presence.Config{
		Conn: conn, Node: name, LookEvery: 10 * time.Millisecond, SayEvery: 100 * time.Millisecond, Forget: 2 * time.Second,
		Local: func() []wire.BoxID {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.looks++
			return append([]wire.BoxID{}, m.boxes...)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(m.stop)
	return m
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s still not: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAllNodesKnow(t *testing.T) {
	dial := broker(t)
	a, b := start(t, dial(), "a"), start(t, dial(), "b")
	var mu sync.Mutex
	told := map[wire.BoxID]int{}
	defer b.Watch(func(id wire.BoxID) {
		mu.Lock()
		defer mu.Unlock()
		told[id]++
	})()
	a.set(box(1))
	until(t, "b knows of a's box", func() bool { return b.Online(box(1)) && a.Online(box(1)) })
	if b.Online(box(2)) {
		t.Error("a box that nobody has is online")
	}
	b.set(box(1)) // it moves; it is never away
	until(t, "b notices", b.noticed)
	a.set()
	until(t, "a has it from b", func() bool { return a.Online(box(1)) })
	time.Sleep(100 * time.Millisecond)
	mu.Lock()
	if told[box(1)] != 1 {
		t.Errorf("told %d times of a box that came once and moved", told[box(1)])
	}
	mu.Unlock()
	b.stop()
	until(t, "a node that stops has nobody", func() bool { return !a.Online(box(1)) })
}

func TestSilentNodeIsForgotten(t *testing.T) {
	dial := broker(t)
	conn := dial()
	a, b := start(t, dial(), "a"), start(t, conn, "b")
	b.set(box(7))
	until(t, "a knows", func() bool { return a.Online(box(7)) })
	conn.Close() // as if b had been killed
	until(t, "a forgets", func() bool { return !a.Online(box(7)) })
}

func TestManyBoxesComeInParts(t *testing.T) {
	dial := broker(t)
	a, b := start(t, dial(), "a"), start(t, dial(), "b")
	all := make([]wire.BoxID, 12000)
	for i := range all {
		all[i] = box(i)
	}
	a.set(all...)
	until(t, "all are known", func() bool { return b.Online(box(0)) && b.Online(box(5000)) && b.Online(box(11999)) })
}

func TestNonsenseIsLeftAlone(t *testing.T) {
	dial := broker(t)
	conn := dial()
	a := start(t, dial(), "a")
	for _, text := range []string{"", "{", `{"node":"x","parts":-1}`, `{"node":"x","parts":1,"part":3}`, `{"node":"","parts":1}`} {
		if err := conn.Publish("here", []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	b := start(t, dial(), "b")
	b.set(box(3))
	until(t, "what comes after it is heard", func() bool { return a.Online(box(3)) })
}
