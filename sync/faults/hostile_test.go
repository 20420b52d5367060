//go:build linux && interop

package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"io/fs"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/wire"
)

const (
	hostileVariable = "HOSTILE" // how long, 1h for the whole of it
	defaultHostile  = 20 * time.Second
	countedWithin   = 20 * time.Second // a refusal shows at the node
	attackEvery     = 50 * time.Millisecond
	flushEvery      = 64 // messages

	// Bounds of the node meanwhile. What a box may put into the stream is in
	// gateway.Config: 96 MiB at once and 128 KiB a second after that.
	mostMemory   = 512 << 20 // held by the process itself, without pages of files
	mostAtOnce   = 96 << 20
	mostASecond  = 128 << 10
	mostBeside   = 96 << 20 // of the folder: block files, projection, log
	mostStale    = 10 * time.Second
	mostStaleP99 = 3 * time.Second
)

// TestHostileBox has a box that joined do everything but what it is for, beside
// two honest ones: each kind of attack once, and held against the counter that
// has to show it; then all of them, and floods, for as long as HOSTILE says.
func TestHostileBox(t *testing.T) {
	length := defaultHostile
	if text := os.Getenv(hostileVariable); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || length <= 0 {
			t.Fatalf("%s: got %q, want a length of time like 1h", hostileVariable, text)
		}
	}
	w := &world{t: t, cloud: newCenter(t, clusterSpeed), late: map[string][]time.Duration{}}
	w.cloud.start()
	t.Cleanup(func() {
		w.cloud.kill()
		for _, e := range w.edges {
			_ = e.cmd.Process.Kill()
			<-e.done
		}
		if t.Failed() {
			w.hostileLogs()
		}
	})
	w.cloud.ready(readyWithin)
	w.startHonest()
	h := newHostile(t, w.cloud, w.edges[0])
	looks := w.look()
	w.eachOnce(h)
	began := time.Now()
	done := w.flood(h, length)
	looks.end()
	w.settle()
	w.tellHostile(looks, done, time.Since(began))
}

func (w *world) hostileLogs() {
	for _, file := range append([]string{w.cloud.log()}, w.edges[0].log(), w.edges[1].log()) {
		text, _ := os.ReadFile(file)
		w.t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-6000):])
	}
}

func (c *center) log() string {
	return filepath.Join(filepath.Dir(c.order.Data), filepath.Base(c.order.Data)+".log")
}

// startHonest starts two boxes that count, and waits until the cloud knows them.
func (w *world) startHonest() {
	w.t.Helper()
	dir := w.t.TempDir()
	for i := range 2 {
		e := &edge{t: w.t, order: edgeOrder{Dir: filepath.Join(dir, fmt.Sprintf("edge%d", i)), URLs: []string{"https://" + w.cloud.order.HTTPS}, Speed: clusterSpeed}}
		if err := os.MkdirAll(e.order.Dir, 0o700); err != nil {
			w.t.Fatal(err)
		}
		var err error
		if e.id, err = w.cloud.admin.Join(w.t.Context(), fmt.Sprintf("site%d", i), fmt.Sprintf("box%d", i), e.order.URLs[0], e.order.Dir); err != nil {
			w.t.Fatal(err)
		}
		e.box = e.id.Box()
		e.start()
		w.edges = append(w.edges, e)
	}
	w.fresh(readyWithin)
}

// fresh waits until the cloud has what the honest boxes have committed by now,
// and returns how long that took.
func (w *world) fresh(within time.Duration) time.Duration {
	began, want := time.Now(), make([]uint64, len(w.edges))
	for i, e := range w.edges {
		want[i] = e.report().Committed
	}
	missing := ""
	for time.Since(began) < within {
		if missing = w.lacks(want); missing == "" {
			return time.Since(began)
		}
		time.Sleep(50 * time.Millisecond)
	}
	w.t.Errorf("%v later: %s", within, missing)
	return time.Since(began)
}

// looks are what was seen of the node and of the honest boxes meanwhile.
type looks struct {
	stop  context.CancelFunc
	g     sync.WaitGroup
	stale []time.Duration
	most  uint64        // bytes of memory
	cpu   time.Duration // of the node
	began time.Time
	took  time.Duration
	pid   int
}

// look begins to measure, until end is called.
func (w *world) look() *looks {
	ctx, stop := context.WithCancel(w.t.Context())
	l := &looks{stop: stop, began: time.Now(), pid: w.cloud.cmd.Process.Pid}
	l.cpu = -cpuOf(l.pid)
	l.g.Go(func() {
		for last := uint64(0); pause(ctx, 50*time.Millisecond); {
			if now := w.edges[0].report().Newest + w.edges[1].report().Newest; now != last {
				last = now
				l.stale = append(l.stale, w.fresh(repairWithin))
				l.most = max(l.most, memoryOf(l.pid))
			}
		}
	})
	return l
}

func (l *looks) end() {
	l.stop()
	l.g.Wait()
	l.took = time.Since(l.began)
	l.cpu += cpuOf(l.pid)
}

// memoryOf is what a process holds for itself, in bytes.
func memoryOf(pid int) uint64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kib, _ := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// cpuOf is the processor time of a process; the kernel counts it in hundredths of a second.
func cpuOf(pid int) time.Duration {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// bytesIn is the size of a folder.
func bytesIn(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil // a file may go while its folder is read
	})
	return n
}

// counters are the node's own samples, with labels as they are written.
func (c *center) counters(t *testing.T) map[string]float64 {
	t.Helper()
	counts := map[string]float64{}
	answer, err := c.admin.Client.Get(c.admin.URL + "/metrics")
	if err != nil {
		t.Errorf("metrics: %v", err)
		return counts
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Errorf("metrics: %s", answer.Status)
	}
	for in := bufio.NewScanner(answer.Body); in.Scan(); {
		name, value, ok := strings.Cut(in.Text(), " ")
		if n, err := strconv.ParseFloat(value, 64); ok && err == nil && strings.HasPrefix(name, "signalbox_cloud_") {
			counts[name] = n
		}
	}
	return counts
}

// eachOnce makes every attack once: the counter with its reason has to grow.
func (w *world) eachOnce(h *hostile) {
	for _, a := range slices.Concat(inTunnel, inStream, atDoor) {
		before := w.cloud.counters(w.t)[a.counter()]
		ctx, cancel := context.WithTimeout(w.t.Context(), countedWithin)
		if err := a.do(ctx, h); err != nil {
			w.t.Errorf("%s: %v", a.name, err)
		}
		cancel()
		counted := false
		for end := time.Now().Add(countedWithin); !counted && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			counted = w.cloud.counters(w.t)[a.counter()] > before
		}
		if !counted {
			w.t.Errorf("%s: %s does not count it", a.name, a.counter())
		}
	}
}

// tried counts what the hostile box has done.
type tried struct{ attacks, messages, bytes, posts, opened, failed atomic.Int64 }

// flood does all at once until length has passed. In the middle an honest box is
// killed: it has to come back through it.
func (w *world) flood(h *hostile, length time.Duration) *tried {
	ctx, cancel := context.WithTimeout(w.t.Context(), length)
	defer cancel()
	done := &tried{}
	var g sync.WaitGroup
	for _, some := range [][]attack{slices.Concat(inTunnel, inStream), atDoor} {
		one := *h // each counts frames of its own
		g.Go(func() { one.any(ctx, done, some) })
	}
	g.Go(func() { h.floodFrames(ctx, done) })
	g.Go(func() { h.floodAsks(ctx, done) })
	for range 4 {
		g.Go(func() { h.floodPosts(ctx, done) })
	}
	if pause(ctx, length/2) {
		w.edges[1].kill()
		w.edges[1].start()
	}
	g.Wait()
	return done
}

// attacking tells whether it is time for attacks rather than floods: a box has two
// tunnels, and each new one would end another.
func attacking() bool { return time.Now().Unix()%6 < 3 }

// any makes one attack after another.
func (h *hostile) any(ctx context.Context, done *tried, some []attack) {
	for pause(ctx, attackEvery) {
		if !attacking() {
			continue
		}
		one, cancel := context.WithTimeout(ctx, countedWithin)
		if some[mathrand.IntN(len(some))].do(one, h) != nil && ctx.Err() == nil {
			done.failed.Add(1) // it was not let in, or thrown out on the way
		}
		cancel()
		done.attacks.Add(1)
	}
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// pour publishes what message makes for as long as it is let.
func (h *hostile) pour(ctx context.Context, done *tried, message func() *nats.Msg) {
	for pause(ctx, attackEvery) {
		if attacking() {
			continue
		}
		closed := make(chan struct{})
		nc, err := h.dialer().Connect(ctx, h.id, h.url, func() { close(closed) })
		if err != nil {
			continue
		}
		done.opened.Add(1)
		for n, open := 0, true; open && !attacking() && ctx.Err() == nil; n++ {
			select {
			case <-closed:
				open = false
			default:
				m := message()
				if nc.PublishMsg(m) != nil || n%flushEvery == 0 && nc.FlushTimeout(countedWithin) != nil {
					open = false
					break
				}
				done.messages.Add(1)
				done.bytes.Add(int64(len(m.Data)))
			}
		}
		nc.Close()
	}
}

// floodFrames sends noise of every size, small ones most often.
func (h *hostile) floodFrames(ctx context.Context, done *tried) {
	h.pour(ctx, done, func() *nats.Msg { return h.frames(random(mathrand.IntN(wire.MaxPayloadBytes >> mathrand.IntN(18)))) })
}

func (h *hostile) floodAsks(ctx context.Context, done *tried) {
	text := h.askText()
	h.pour(ctx, done, func() *nats.Msg {
		return &nats.Msg{Subject: h.box.AskSubject(), Reply: h.box.InboxPrefix() + ".x", Data: text}
	})
}

func (h *hostile) floodPosts(ctx context.Context, done *tried) {
	ask := askHeader(string(h.askText()))
	for pause(ctx, attackEvery) {
		body := random(mathrand.IntN(64 << 10))
		if _, err := h.request(ctx, fromPosts, http.MethodPost, wire.FramesPath, ask, body, h.good(body)); err == nil {
			done.posts.Add(1)
		}
	}
}

// tellHostile holds what was seen against the bounds and tells it.
func (w *world) tellHostile(l *looks, done *tried, took time.Duration) {
	counts := w.cloud.counters(w.t)
	var refused []string
	for name, n := range counts {
		metric, reason, _ := strings.Cut(strings.TrimPrefix(name, "signalbox_cloud_"), "{")
		if n > 0 && slices.Contains([]string{atGateway, atIdentity, atTunnel, atBatch, atAsk}, metric) {
			refused = append(refused, fmt.Sprintf("%s %s %.0f", strings.TrimSuffix(metric, "_total"), strings.TrimSuffix(strings.TrimPrefix(reason, `reason="`), `"}`), n))
		}
		if n > 0 && strings.Contains(reason, `"other"`) {
			w.t.Errorf("%s is %.0f: refused without a reason", name, n)
		}
	}
	slices.Sort(refused)
	slices.Sort(l.stale)
	at := func(q float64) time.Duration {
		return l.stale[int(q*float64(len(l.stale)-1))].Round(10 * time.Millisecond)
	}
	disk, log := bytesIn(w.cloud.order.Data), bytesIn(w.cloud.log())
	mostDisk := int64(mostAtOnce + mostBeside + mostASecond*int64(l.took.Seconds()))
	w.t.Logf("%v of a hostile box: %d attacks of %d kinds (%d not let in), %d tunnels with %d messages of %d MiB, %d posts",
		took.Round(time.Second), done.attacks.Load(), len(inTunnel)+len(inStream)+len(atDoor), done.failed.Load(), done.opened.Load(), done.messages.Load(), done.bytes.Load()>>20, done.posts.Load())
	w.t.Logf("refused: %s", strings.Join(refused, ", "))
	w.t.Logf("news of honest boxes after: median %v, p99 %v, longest %v (%d looks)", at(.5), at(.99), at(1), len(l.stale))
	w.t.Logf("the node: at most %d MiB of memory (bound %d), %d MiB on disk (bound %d), log %d KiB, %.0f %% of a processor",
		l.most>>20, mostMemory>>20, disk>>20, mostDisk>>20, log>>10, 100*l.cpu.Seconds()/l.took.Seconds())
	switch {
	case l.most > mostMemory:
		w.t.Error("the node took more memory than that")
	case disk > mostDisk:
		w.t.Error("the node took more of the disk than that")
	case at(.99) > mostStaleP99 || at(1) > mostStale:
		w.t.Errorf("news of honest boxes came late: want 99 %% within %v and all within %v", mostStaleP99, mostStale)
	}
}
