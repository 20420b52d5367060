package projector_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/cloud/broker/brokertest"
	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projection/projectiontest"
	"signalbox/sync/cloud/projector"
	"signalbox/sync/wire"
)

// listen takes the nudges of a box.
func listen(t testing.TB, conn *nats.Conn, box wire.BoxID) <-chan *wire.Nudge {
	t.Helper()
	nudges := make(chan *wire.Nudge, 1000)
	sub, err := conn.Subscribe(box.NudgeSubject(), func(m *nats.Msg) {
		n, err := wire.ParseNudge(m.Data)
		if err != nil {
			t.Errorf("nudge: %v", err)
			return
		}
		nudges <- n
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Unsubscribe() })
	return nudges
}

func await(t testing.TB, nudges <-chan *wire.Nudge, what string, ok func(*wire.Nudge) bool) *wire.Nudge {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		select {
		case n := <-nudges:
			if ok(n) {
				return n
			}
		case <-timeout:
			t.Fatalf("no nudge that says %s", what)
		}
	}
}

// TestFollow: what boxes send is in the totals, they are told so, and a node
// that starts later is equal.
func TestFollow(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	r := newRegister()
	n := startNode(t, b, r, file(t), nil)
	plants := fleet(3, 150)
	nudges := listen(t, b.Conn(), plants[0].ID)
	plants[0].Frames[9].Results = []*wire.Result{{Id: "c1", Ok: true, Text: string(wire.OutcomeDone), AtMs: 5}}
	for _, p := range plants {
		sendAll(t, b, p, 17)
	}
	n.wait(t, b)
	checkTotals(t, n.p, plants...)
	await(t, nudges, "that all is applied", func(n *wire.Nudge) bool { return n.Applied == plants[0].Seq && n.Incarnation == plants[0].Inc })
	eventually(t, "the command's result is handed on", func() bool { return len(r.heard()) == 1 })
	if got := r.heard()[0]; got.ID != "c1" || !got.OK || got.Box != plants[0].ID {
		t.Errorf("result is %+v", got)
	}
	late := startNode(t, b, r, file(t), nil)
	late.wait(t, b)
	if late.p.Hash() != n.p.Hash() {
		t.Errorf("hashes are %v and %v", n.p.Hash(), late.p.Hash())
	}
	report, err := projector.Verify(t.Context(), b.JetStream(), r, n.p, t.TempDir())
	if err != nil || !report.Whole || !report.Equal() {
		t.Errorf("verify says %+v, %v", report, err)
	}
}

// TestVerifyFindsADifference: a node that has applied something which is not in
// the stream.
func TestVerifyFindsADifference(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	r := newRegister()
	n := startNode(t, b, r, file(t), nil)
	plants := fleet(2, 20)
	sendAll(t, b, plants[0], 20)
	n.wait(t, b)
	at := n.p.Position()
	_, err := n.p.Update(func(tx *projection.Tx) error {
		return tx.Apply(&projection.Message{Seq: at.Seq, Time: at.Time, Box: plants[1].ID, Body: plants[1].Body(20)})
	})
	if err != nil {
		t.Fatal(err)
	}
	report, err := projector.Verify(t.Context(), b.JetStream(), r, n.p, t.TempDir())
	if err != nil || report.Equal() {
		t.Errorf("verify says %+v, %v", report, err)
	}
}

// TestStuckResult: the outcome of a command that cannot be handed on holds up
// those of its own box alone, however many wait, and is not lost.
func TestStuckResult(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	r := newRegister()
	boxes := fleet(2, 43)
	r.stuck = map[wire.BoxID]bool{boxes[0].ID: true}
	for i := range wire.MaxResults {
		for _, f := range boxes[0].Frames[:3] {
			f.Results = append(f.Results, &wire.Result{Id: fmt.Sprintf("c%d-%d", f.GetFirst(), i), Ok: true, AtMs: 5})
		}
	}
	boxes[1].Frames[9].Results = []*wire.Result{{Id: "c1", Ok: true, AtMs: 5}}
	n := startNode(t, b, r, file(t), nil)
	sendAll(t, b, boxes[0], 60)
	sendAll(t, b, boxes[1], 60)
	n.wait(t, b)
	eventually(t, "the other box's result is handed on", func() bool { return len(r.heard()) == 1 })
	if got := r.heard()[0]; got.Box != boxes[1].ID {
		t.Errorf("the first result is %+v, want the other box's", got)
	}
	r.mu.Lock()
	clear(r.stuck)
	r.mu.Unlock()
	eventually(t, "the rest comes", func() bool { return len(r.heard()) == 1+3*wire.MaxResults })
}

// TestSweep: folders of a Verify that was killed go, and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"verify-1", "verify-2", "streams"} {
		if err := os.MkdirAll(filepath.Join(dir, name, "x"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := projector.Sweep(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "streams" {
		t.Errorf("left are %v, %v", left, err)
	}
}

// TestAsk: a box learns where it stands, at its own inbox and nowhere else.
func TestAsk(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	n := startNode(t, b, newRegister(), file(t), nil)
	p := fleet(1, 40)[0]
	sendAll(t, b, p, 7)
	n.wait(t, b)
	conn, err := brokertest.Connect(b, p.ID, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	<-n.Ready()
	ask, err := json.Marshal(wire.Ask{Version: "v1", Incarnation: p.Inc, Oldest: 1, Newest: p.Seq, Policy: 3, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	var s *wire.Standing
	eventually(t, "the node answers", func() bool {
		m, err := conn.Request(p.ID.AskSubject(), ask, time.Second)
		if err != nil {
			return false
		}
		s, err = wire.ParseStanding(m.Data)
		return err == nil
	})
	if s.Incarnation != p.Inc || s.Applied != p.Seq || s.Policy == nil || s.Policy.Revision != 7 || len(s.Commands) != 1 || s.Live != 30 {
		t.Errorf("standing is %+v", s)
	}
	before := n.Stats()
	other := listenAny(t, b.Conn(), "up.main.other.box.f", "_INBOX.main.other.box.1")
	for _, m := range []nats.Msg{
		{Subject: p.ID.AskSubject(), Reply: "_INBOX.main.other.box.1", Data: ask},
		{Subject: p.ID.AskSubject(), Reply: "up.main.other.box.f", Data: ask},
		{Subject: p.ID.AskSubject(), Data: ask},
		{Subject: p.ID.AskSubject(), Reply: p.ID.InboxPrefix() + ".1", Data: []byte(`{"incarnation":"nonsense"}`)},
	} {
		if err := b.Conn().PublishMsg(&m); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "four asks are refused", func() bool {
		now := n.Stats().AsksRefused
		return now["reply"] == before.AsksRefused["reply"]+3 && now["malformed"] == before.AsksRefused["malformed"]+1
	})
	if after := n.Stats(); after.Asks != before.Asks || len(other) > 0 {
		t.Errorf("%d asks answered, %d messages to others", after.Asks-before.Asks, len(other))
	}
}

// TestAskTooOften: a box that asks all the time is answered as often as a box
// has to be, and keeps nobody else from an answer.
func TestAskTooOften(t *testing.T) {
	const asks, answered = 500, 64
	b, _ := brokertest.Start(t, t.TempDir())
	n := startNode(t, b, newRegister(), file(t), func(cfg *projector.Config) { cfg.AskEvery = time.Hour })
	boxes := fleet(2, 41)
	<-n.Ready()
	ask, err := json.Marshal(wire.Ask{Version: "v1", Incarnation: 9, Oldest: 1, Now: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := brokertest.Connect(b, boxes[1].ID, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	other := func() error { _, err := conn.Request(boxes[1].ID.AskSubject(), ask, 5*time.Second); return err }
	eventually(t, "the node answers", func() bool { return other() == nil })
	before := n.Stats().Asks
	for range asks {
		if err := b.Conn().PublishRequest(boxes[0].ID.AskSubject(), boxes[0].ID.InboxPrefix()+".1", ask); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "every ask is answered or refused", func() bool {
		now := n.Stats()
		return now.Asks-before+now.AsksRefused["too-often"] == asks
	})
	if now := n.Stats(); now.Asks-before != answered {
		t.Errorf("%d asks were answered, %v refused; want %d answered", now.Asks-before, now.AsksRefused, answered)
	}
	if err := other(); err != nil {
		t.Errorf("the other box: %v", err)
	}
}

func listenAny(t testing.TB, conn *nats.Conn, subjects ...string) <-chan *nats.Msg {
	t.Helper()
	got := make(chan *nats.Msg, 16)
	for _, s := range subjects {
		sub, err := conn.ChanSubscribe(s, got)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { sub.Unsubscribe() })
	}
	return got
}

// TestRefusals: what is not signed by its box, or not a batch, is counted under
// its reason and changes nothing else.
func TestRefusals(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	r := newRegister()
	n := startNode(t, b, r, file(t), nil)
	plants := fleet(4, 60)
	good, bad, revoked, stranger := plants[0], plants[1], plants[2], plants[3]
	r.hidden[good.ID] = true // enrolled a moment ago
	r.strangers[stranger.ID] = true
	sendAll(t, b, good, 60)
	publish(t, b, bad.ID, encode(t, bad.ID, bad.Body(10)))
	publish(t, b, revoked.ID, encode(t, revoked.ID, revoked.Body(10)))
	n.wait(t, b)
	clean := n.p.Box(bad.ID)

	r.mu.Lock()
	r.revoked[revoked.ID] = time.Now().Add(-time.Millisecond)
	r.mu.Unlock()
	publish(t, b, revoked.ID, encode(t, revoked.ID, revoked.Body(10)))
	publish(t, b, stranger.ID, encode(t, stranger.ID, stranger.Body(10)))
	forged := encode(t, bad.ID, bad.Body(10))
	forged[len(forged)-1] ^= 1
	publish(t, b, bad.ID, forged)
	publish(t, b, bad.ID, encode(t, good.ID, bad.Body(10)))
	publish(t, b, bad.ID, []byte("nonsense"))
	publish(t, b, bad.ID, make([]byte, wire.MaxBatchBytes+1))
	n.wait(t, b)

	checkTotals(t, n.p, good)
	after := n.p.Box(bad.ID)
	if !slices.Equal(after.Totals, clean.Totals) || after.Applied != clean.Applied {
		t.Errorf("refused batches have changed %+v to %+v", clean, after)
	}
	for _, want := range []struct {
		box    wire.BoxID
		reason string
	}{{bad.ID, "signature"}, {bad.ID, "foreign"}, {bad.ID, "malformed"}, {bad.ID, "oversize"}, {revoked.ID, "key-ended"}} {
		if !slices.ContainsFunc(n.p.Box(want.box).Refused, func(c projection.Refused) bool { return c.Reason == want.reason && c.Count == 1 }) {
			t.Errorf("%s: refused are %+v, want one for %q", want.box, n.p.Box(want.box).Refused, want.reason)
		}
	}
	if v := n.p.Box(stranger.ID); v != nil {
		t.Errorf("a stranger has a record: %+v", v)
	}
	if unknown, err := n.p.Refused(); err != nil || unknown["unknown"] != 1 {
		t.Errorf("refused of nobody are %v, %v", unknown, err)
	}
}

// TestGapIsAskedFor: a batch that the broker has lost.
func TestGapIsAskedFor(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	n := startNode(t, b, newRegister(), file(t), nil)
	p := fleet(1, 30)[0]
	nudges := listen(t, b.Conn(), p.ID)
	publish(t, b, p.ID, encode(t, p.ID, p.Body(10)))
	lost := p.Body(10)
	publish(t, b, p.ID, encode(t, p.ID, p.Body(10)))
	got := await(t, nudges, "to send again", func(n *wire.Nudge) bool { return n.Resync > 0 })
	if got.Resync != 11 || got.Applied != 10 {
		t.Errorf("nudge is %+v, want from 11 on", got)
	}
	publish(t, b, p.ID, encode(t, p.ID, lost))
	await(t, nudges, "that all is applied", func(n *wire.Nudge) bool { return n.Applied == 30 })
	n.wait(t, b)
	checkTotals(t, n.p, p)
}

// TestStreamWiped: the stream is made anew, and what it had acknowledged since
// the projection last read is lost. Boxes are asked, and totals come out exact.
func TestStreamWiped(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	path := file(t)
	r := newRegister()
	n := startNode(t, b, r, path, nil)
	plants := fleet(2, 60)
	for _, p := range plants {
		publish(t, b, p.ID, encode(t, p.ID, p.Body(20)))
	}
	n.wait(t, b)
	n.stop()
	var lost []*wire.Body
	for _, p := range plants {
		lost = append(lost, p.Body(20))
		publish(t, b, p.ID, encode(t, p.ID, lost[len(lost)-1]))
	}
	nudges := listen(t, b.Conn(), plants[0].ID)
	remake(t, b)
	n = startNode(t, b, r, path, nil)
	got := await(t, nudges, "to send again", func(n *wire.Nudge) bool { return n.Resync > 0 })
	if got.Resync != 21 {
		t.Errorf("nudge is %+v, want from 21 on", got)
	}
	for i, p := range plants {
		publish(t, b, p.ID, encode(t, p.ID, lost[i]))
	}
	n.wait(t, b)
	// Once more, while the node reads it.
	remake(t, b)
	for _, p := range plants {
		sendAll(t, b, p, 20)
	}
	n.wait(t, b)
	checkTotals(t, n.p, plants...)
	for _, p := range plants {
		if v := n.p.Box(p.ID); v.Applied != p.Seq || v.Jumped != 0 {
			t.Errorf("%s: applied %d of %d, %d jumped", p.ID, v.Applied, p.Seq, v.Jumped)
		}
	}
	if n.Stats().Resets != 2 {
		t.Errorf("%d resets, want 2", n.Stats().Resets)
	}
}

// TestOlderProjection: a file restored from a copy goes on where the copy was.
func TestOlderProjection(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	r := newRegister()
	path, copied := file(t), file(t)
	n := startNode(t, b, r, path, nil)
	plants := fleet(3, 90)
	for _, p := range plants {
		publish(t, b, p.ID, encode(t, p.ID, p.Body(30)))
	}
	n.wait(t, b)
	n.stop()
	copyFile(t, path, copied)
	n = startNode(t, b, r, path, nil)
	for _, p := range plants {
		sendAll(t, b, p, 13)
	}
	n.wait(t, b)
	old := startNode(t, b, r, copied, nil)
	old.wait(t, b)
	if old.p.Hash() != n.p.Hash() {
		t.Errorf("hashes are %v and %v", old.p.Hash(), n.p.Hash())
	}
	checkTotals(t, old.p, plants...)
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFreshness: at 40 frames a second, the time from the box's publishing to
// the view.
func TestFreshness(t *testing.T) {
	b, _ := brokertest.Start(t, t.TempDir())
	n := startNode(t, b, newRegister(), file(t), func(c *projector.Config) { c.Linger = 0 })
	plants := fleet(80, 1)
	feed := n.p.Subscribe()
	defer feed.Close()
	sent := map[wire.BoxID]time.Time{}
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	done := make(chan []time.Duration, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() {
		seen := map[wire.BoxID]time.Time{}
		for len(seen) < len(plants) {
			c, err := feed.Next(ctx)
			if err != nil {
				break
			}
			for _, id := range c.Boxes {
				if n.p.Box(id) != nil {
					seen[id] = time.Now()
				}
			}
		}
		var took []time.Duration
		for id, at := range seen {
			took = append(took, at.Sub(sentAt(plants, id)))
		}
		done <- took
	}()
	for _, p := range plants {
		<-tick.C
		p.Now = time.Now() // for sentAt
		sent[p.ID] = p.Now
		publish(t, b, p.ID, encode(t, p.ID, p.Body(1)))
	}
	took := <-done
	if len(took) != len(plants) {
		t.Fatalf("%d of %d boxes were seen", len(took), len(plants))
	}
	slices.Sort(took)
	p99 := took[len(took)*99/100]
	t.Logf("median %v, p99 %v", took[len(took)/2], p99)
	if p99 > time.Second {
		t.Errorf("p99 is %v, want less than 1 s", p99)
	}
}

func sentAt(plants []*projectiontest.Plant, id wire.BoxID) time.Time {
	for _, p := range plants {
		if p.ID == id {
			return p.Now
		}
	}
	return time.Time{}
}
