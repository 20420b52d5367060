package projector_test

import (
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/cloud/projector"
	"signalbox/sync/wire"
)

// BenchmarkCatchUp reads a stream of batches with one frame each, of 2,000
// boxes: signatures, decompression and transactions, beside the broker.
func BenchmarkCatchUp(b *testing.B) {
	js, conn := memoryBroker(b)
	const boxes = 2000
	plants := make([]*projectiontest.Plant, boxes)
	signers := make([]*wire.Signer, boxes)
	for i := range plants {
		plants[i] = projectiontest.NewPlant(1, i)
		var err error
		if signers[i], err = wire.NewSigner(plants[i].ID, private(plants[i].ID)); err != nil {
			b.Fatal(err)
		}
	}
	bytes := 0
	for n := range b.N {
		p := plants[n%boxes]
		p.Minute()
		p.Frames[0].Sketches, p.Sent = nil, nil
		data, err := wire.EncodeBatch(signers[n%boxes], p.Body(1))
		if err != nil {
			b.Fatal(err)
		}
		bytes += len(data)
		if _, err := js.PublishAsync(p.ID.FramesSubject(), data); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	p, err := projection.Open(file(b))
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	r := newRegister()
	// Keys are derived once, as a registry has them in memory.
	known := &memory{register: r, keys: map[wire.BoxID][]projector.Key{}}
	for _, plant := range plants {
		known.keys[plant.ID] = r.Keys(plant.ID)
	}
	pr, err := projector.New(projector.Config{Projection: p, JetStream: js, Conn: conn, Keys: known, Desired: r, Results: r, Node: "n"})
	if err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	busy := cpu()
	b.ResetTimer()
	done := make(chan error, 1)
	go func() { done <- pr.Run(b.Context()) }()
	<-pr.Ready()
	b.StopTimer()
	b.ReportMetric(float64((cpu()-busy).Nanoseconds())/float64(b.N)/1e3, "cpu-µs/frame")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "frames/s")
	b.ReportMetric(float64(bytes)/float64(b.N), "wire-B/frame")
}

type memory struct {
	*register
	keys map[wire.BoxID][]projector.Key
}

func (m *memory) Keys(box wire.BoxID) []projector.Key { return m.keys[box] }

// memoryBroker is a broker whose streams cost no disk.
func memoryBroker(b *testing.B) (jetstream.JetStream, *nats.Conn) {
	b.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: b.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		b.Fatal(err)
	}
	srv.Start()
	b.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		b.Fatal("the broker does not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	for name, subjects := range map[string][]string{"UP": {"up.*.*.*.f"}, "RU": {"ru.*.*.*.*"}} {
		_, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: name, Subjects: subjects, Storage: jetstream.MemoryStorage})
		if err != nil {
			b.Fatal(err)
		}
	}
	return js, conn
}

// cpu is what the process has used of all cores: on a busy machine it says more
// than the clock.
func cpu() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
