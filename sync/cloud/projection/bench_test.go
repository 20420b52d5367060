package projection_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/wire"
)

// BenchmarkApply is a fleet whose boxes send a frame a minute, in transactions
// of 84 messages: what 10,000 boxes send in half a second.
func BenchmarkApply(b *testing.B) {
	for _, boxes := range []int{200, 2000, 10000} {
		b.Run(name(boxes), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), projection.FileName)
			p := openAt(b, path)
			before := heap()
			stream := steady(boxes, (b.N+boxes-1)/boxes)
			own := heap() - before
			busy := cpu()
			b.ResetTimer()
			feed(b, p, stream, 84)
			b.StopTimer()
			b.ReportMetric(float64((cpu()-busy).Nanoseconds())/float64(len(stream))/1e3, "cpu-µs/frame")
			b.ReportMetric(float64(len(stream))/b.Elapsed().Seconds(), "frames/s")
			after := heap()
			b.ReportMetric(float64(int64(after)-int64(before)-int64(own))/1e3/float64(boxes), "kB/box")
			if info, err := os.Stat(path); err == nil {
				b.ReportMetric(float64(info.Size())/float64(len(stream)), "file-B/frame")
			}
			b.ReportMetric(float64(p.Written())/float64(len(stream)), "written-B/frame")
			runtime.KeepAlive(stream)
		})
	}
}

func name(n int) string { return map[int]string{200: "200", 2000: "2000", 10000: "10000"}[n] }

// steady is the stream of boxes that each send one frame a minute.
func steady(boxes, minutes int) []projection.Message {
	plants := fleet(1, boxes)
	// Each sends at its own second of the minute.
	rng := rand.New(rand.NewPCG(1, 1))
	rng.Shuffle(len(plants), func(i, j int) { plants[i], plants[j] = plants[j], plants[i] })
	stream := make([]projection.Message, 0, boxes*minutes)
	for range minutes {
		for _, p := range plants {
			p.Minute()
			f := p.Frames[0]
			if p.Seq%60 != 0 {
				f.Sketches = nil
			}
			f.Rooms = f.Rooms[:min(len(f.Rooms), 1)]
			m := projection.Message{Box: p.ID, Body: p.Body(1), Time: p.Now.Add(20 * time.Millisecond)}
			p.Sent = nil
			m.Seq = uint64(len(stream) + 1)
			stream = append(stream, m)
		}
	}
	return stream
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkOverview is what a dashboard asks for when it opens.
func BenchmarkOverview(b *testing.B) {
	p := open(b)
	feed(b, p, steady(2000, 2), 512)
	for b.Loop() {
		all := p.Overview()
		now, bad := projectiontest.Epoch.Add(time.Hour), 0
		for _, v := range all {
			for _, c := range v.Strip(now) {
				if c.State() == projection.CellBad {
					bad++
				}
			}
			_, _ = v.Gauge(wire.UpstreamQueueFrames)
		}
		if len(projection.Totals(all)) == 0 || len(all) != 2000 {
			b.Fatal("nothing to see")
		}
	}
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
