//go:build linux && interop

package faults_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/bench/fleet"
	"signalbox/sync/wire"
)

// Environment: how many faults, from which seed, and how many times faster than
// in the field boxes and cloud wait. `make faults` takes 1,000.
const (
	countVariable = "FAULTS"
	seedVariable  = "FAULTS_SEED"
	speedVariable = "FAULTS_SPEED"

	defaultFaults = 50
	defaultSpeed  = 20
	edges         = 3
	repairWithin  = 60 * time.Second
	readyWithin   = 30 * time.Second
	maxCopies     = 4
	slowRepair    = 5 * time.Second // is told
)

func setting(t *testing.T, name string, value uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return value
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 0 {
		t.Fatalf("%s: got %q, want a number from 1", name, text)
	}
	return n
}

// world is a cloud, the way to it and edges that count all the time.
type world struct {
	t       *testing.T
	rng     *rand.Rand
	cloud   *center
	network *network
	edges   []*edge
	tally   map[string]int
	late    map[string][]time.Duration // repairs, by the last fault of the round
	lately  []string                   // faults of the round
	dupes   int                        // batches that were published again
}

// TestFaults draws faults from a seed, up to three at once, and waits after each
// round until the cloud knows exactly what every edge had committed by then.
func TestFaults(t *testing.T) {
	seed, speed := setting(t, seedVariable, 1), setting(t, speedVariable, defaultSpeed)
	w := &world{
		t: t, rng: rand.New(rand.NewPCG(seed, 4)), cloud: newCenter(t, int(speed)), tally: map[string]int{}, late: map[string][]time.Duration{},
	}
	w.begin(int(speed))
	began, all := time.Now(), int(setting(t, countVariable, defaultFaults))
	for done := 0; done < all && !t.Failed(); {
		n := min(1+w.rng.IntN(3), all-done)
		at, last := w.round(n)
		w.repaired(at, last)
		done += n
	}
	w.settle()
	w.tell(time.Since(began), seed, speed)
}

func (w *world) begin(speed int) {
	w.network = newNetwork(w.t, w.cloud.order.HTTPS)
	w.cloud.start()
	w.t.Cleanup(func() {
		w.cloud.kill()
		for _, e := range w.edges {
			_ = e.cmd.Process.Kill()
			<-e.done
		}
		if w.t.Failed() {
			w.logs()
		}
	})
	w.cloud.ready(readyWithin)
	w.startsQuietly()
	dir := w.t.TempDir()
	for i := range edges {
		e := &edge{t: w.t, order: edgeOrder{Dir: filepath.Join(dir, fmt.Sprintf("edge%d", i)), URLs: []string{w.network.url()}, Speed: speed}}
		if err := os.MkdirAll(e.order.Dir, 0o700); err != nil {
			w.t.Fatal(err)
		}
		var err error
		if e.id, err = w.cloud.admin.Join(w.t.Context(), fmt.Sprintf("site%d", i), fmt.Sprintf("box%d", i), w.network.url(), e.order.Dir); err != nil {
			w.t.Fatal(err)
		}
		e.box = e.id.Box()
		w.edges = append(w.edges, e)
	}
	w.cloud.kill()
	w.cloud.copyFolder() // knows the boxes, and no frame
	w.cloud.start()
	for _, e := range w.edges {
		e.start()
	}
	w.repaired(time.Now(), "start")
}

// startsQuietly tells whether a node that nothing has happened to has complained:
// its parts wait for each other, and none fails because it was the first.
func (w *world) startsQuietly() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(filepath.Dir(w.cloud.order.Data), "cloud.log"))
	if err != nil || strings.Contains(string(text), "level=WARN") || strings.Contains(string(text), "level=ERROR") {
		w.t.Errorf("the first start of the cloud: %v\n%s", err, text)
	}
}

func (w *world) logs() {
	for _, file := range append([]string{filepath.Join(filepath.Dir(w.cloud.order.Data), "cloud.log")}, w.edges[0].log(), w.edges[1].log(), w.edges[2].log()) {
		text, _ := os.ReadFile(file)
		w.t.Logf("%s:\n%s", filepath.Base(file), text[max(0, len(text)-6000):])
	}
}

// round makes n faults and says when the last one was made.
func (w *world) round(n int) (at time.Time, last string) {
	w.lately = nil
	for range n {
		time.Sleep(time.Duration(w.rng.IntN(300)) * time.Millisecond)
		kinds := []string{"edge killed", "cloud killed", "cut", "hole", "scrambled", "older copy", "stream wiped", "projection lost", "all killed"}
		last, at = kinds[w.rng.IntN(len(kinds))], time.Now()
		w.tally[last]++
		w.lately = append(w.lately, last)
		e := w.edges[w.rng.IntN(edges)]
		switch last {
		case "edge killed":
			e.kill()
			e.start()
		case "cut":
			w.network.cut()
		case "hole":
			w.network.swallow(time.Duration(w.rng.IntN(2000)) * time.Millisecond)
		case "scrambled":
			w.scramble(e)
		case "all killed":
			for _, e := range w.edges {
				e.kill()
			}
			w.down(last)
			for _, e := range w.edges {
				e.start()
			}
		default:
			w.down(last)
		}
	}
	return at, last
}

// down kills the cloud, with its broker, and does to its folder what the fault
// says.
func (w *world) down(fault string) {
	c := w.cloud
	c.kill()
	switch fault {
	case "older copy":
		c.restore(w.rng.IntN(len(c.old)))
	case "stream wiped":
		c.wipe()
	case "projection lost":
		c.dropProjection()
	case "cloud killed":
		if w.rng.IntN(4) == 0 {
			c.copyFolder()
			if len(c.old) > maxCopies {
				_ = os.RemoveAll(c.old[1])
				c.old = slices.Delete(c.old, 1, 2)
			}
		}
	}
	time.Sleep(time.Duration(w.rng.IntN(200)) * time.Millisecond)
	c.start()
}

// scramble kills an edge and sends its newest frames through a session of its
// own: in batches of any size, shuffled, some twice, some not at all.
func (w *world) scramble(e *edge) {
	e.kill()
	defer e.start()
	bodies := w.bodies(e)
	w.cloud.ready(readyWithin)
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	var nc *nats.Conn
	for ctx.Err() == nil {
		var err error
		d := fleet.Dialer{TLS: noProtos(e.id.TLS())}
		if nc, err = d.Connect(ctx, e.id, "https://"+w.cloud.order.HTTPS, nil); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if nc == nil {
		w.t.Errorf("%s: no session for frames out of order", e.box)
		return
	}
	defer nc.Close()
	signer, err := wire.NewSigner(e.box, e.id.Signer())
	if err != nil {
		w.t.Fatal(err)
	}
	for i, body := range bodies {
		data, err := wire.EncodeBatch(signer, body)
		if err != nil {
			w.t.Fatal(err)
		}
		m := &nats.Msg{Subject: e.box.FramesSubject(), Data: data, Header: nats.Header{}}
		m.Header.Set(nats.MsgIdHdr, fmt.Sprintf("%s-s%d.%d", e.box.MsgID(body.GetIncarnation(), body.GetFrames()[0].GetFirst()), time.Now().UnixNano(), i))
		if err := nc.PublishMsg(m); err != nil {
			w.t.Error(err)
		}
		w.dupes++
	}
	if err := nc.Flush(); err != nil {
		w.t.Error(err)
	}
}

func noProtos(cfg *tls.Config) *tls.Config {
	cfg = cfg.Clone()
	cfg.NextProtos = nil
	return cfg
}

func (w *world) bodies(e *edge) []*wire.Body {
	o := e.open()
	defer o.Close()
	st := o.Stats()
	from := st.Oldest
	if st.Newest > 12 {
		from = max(from, st.Newest-uint64(w.rng.IntN(12)))
	}
	frames, err := o.Next(from, wire.MaxBatchFrames, 200<<10)
	if err != nil {
		w.t.Fatal(err)
	}
	// A box sends none before cloud and outbox have agreed where they stand.
	frames = slices.DeleteFunc(frames, func(f *wire.Frame) bool { return f.GetLast() > st.Known })
	var bodies []*wire.Body
	for len(frames) > 0 {
		n := min(1+w.rng.IntN(3), len(frames))
		body := &wire.Body{
			Incarnation: st.Incarnation, Oldest: min(st.Oldest, frames[0].GetFirst()), SentMs: max(time.Now().UnixMilli(), 0), Boot: 1, Frames: frames[:n],
		}
		for range w.rng.IntN(4) { // none: dropped
			bodies = append(bodies, body)
		}
		frames = frames[n:]
	}
	w.rng.Shuffle(len(bodies), func(i, j int) { bodies[i], bodies[j] = bodies[j], bodies[i] })
	return bodies
}

// repaired waits until the cloud has of every edge at least what it had
// committed at that time, and never sees more than was committed since.
func (w *world) repaired(at time.Time, fault string) {
	w.t.Helper()
	if fault == "" || w.t.Failed() {
		return
	}
	want := make([]uint64, edges)
	for i, e := range w.edges {
		want[i] = e.report().Committed
	}
	var missing string
	for ; time.Since(at) < repairWithin; time.Sleep(50 * time.Millisecond) {
		if missing = w.lacks(want); missing == "" {
			took := time.Since(at)
			w.late[fault] = append(w.late[fault], took)
			if took > slowRepair {
				w.t.Logf("%v after %v", took.Round(10*time.Millisecond), w.lately)
			}
			return
		}
	}
	w.t.Errorf("%v after %s: %s", repairWithin, fault, missing)
}

// lacks says what the cloud does not know yet, "" for nothing.
func (w *world) lacks(want []uint64) string {
	totals, err := w.cloud.totals()
	if err != nil {
		return err.Error()
	}
	for i, e := range w.edges {
		has := totals[e.box.Site]
		got := has[wire.SignalingOffers]
		for id, times := range ledger {
			if has[id] != got*times {
				w.t.Errorf("%s: the cloud has %v, which is of no one moment", e.box, has)
			}
		}
		if got < want[i] {
			return fmt.Sprintf("%s: the cloud has %d of %d", e.box, got, want[i])
		}
		// The edge told of itself before the cloud did: give its word time to come.
		for end := time.Now().Add(time.Second); got > e.report().Committed; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				w.t.Errorf("%s: the cloud has %d, only %d were committed", e.box, got, e.report().Committed)
				break
			}
		}
	}
	return ""
}

// settle stops the edges' counting and compares to the last one.
func (w *world) settle() {
	for _, e := range w.edges {
		e.pause(true)
	}
	missing := "nothing was compared"
	for end := time.Now().Add(repairWithin); time.Now().Before(end) && missing != ""; time.Sleep(50 * time.Millisecond) {
		missing = ""
		for _, e := range w.edges {
			if r := e.report(); r.Committed != r.Counted {
				missing = fmt.Sprintf("%s has committed %d of %d", e.box, r.Committed, r.Counted)
			}
		}
		if missing == "" {
			missing = w.differs()
		}
	}
	if missing != "" {
		w.t.Error("at the end: " + missing)
	}
}

func (w *world) differs() string {
	totals, err := w.cloud.totals()
	if err != nil {
		return err.Error()
	}
	for _, e := range w.edges {
		for id, times := range ledger {
			if got, want := totals[e.box.Site][id], e.report().Counted*times; got != want {
				return fmt.Sprintf("%s: counter %d is %d, want %d", e.box, id, got, want)
			}
		}
	}
	return ""
}

func (w *world) tell(took time.Duration, seed, speed uint64) {
	var all []time.Duration
	var kinds []string
	faults := 0
	for kind, n := range w.tally {
		kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
		faults += n
	}
	for _, list := range w.late {
		all = append(all, list...)
	}
	slices.Sort(all)
	slices.Sort(kinds)
	counted, verdict := uint64(0), "difference 0"
	if w.t.Failed() {
		verdict = "with differences"
	}
	for _, e := range w.edges {
		counted += e.report().Counted
	}
	w.t.Logf("%d faults in %d rounds of seed %d at speed %d in %v: %s; %d batches out of order; %d counted, %s",
		faults, len(all)-1, seed, speed, took.Round(time.Second), strings.Join(kinds, ", "), w.dupes, counted, verdict)
	at := func(q float64) time.Duration { return all[int(q*float64(len(all)-1))].Round(10 * time.Millisecond) }
	w.t.Logf("repaired after: median %v, p99 %v, longest %v", at(.5), at(.99), at(1))
}
