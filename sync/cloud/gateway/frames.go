package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/wire"
)

const (
	maxBatchBytes = 256 << 10
	publishWait   = 10 * time.Second
	askWait       = 5 * time.Second
	bodyWait      = 60 * time.Second // 256 KiB at 36 kbit/s
)

// serveFrames is the way for boxes that no WebSocket reaches.
func (g *Gateway) serveFrames(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		g.refuse(w, refusedMethod, 0)
		return
	}
	if r.ContentLength > maxBatchBytes {
		g.refuse(w, refusedOversize, 0)
		return
	}
	if why := g.startPost(); why != nil {
		g.refuse(w, why, 0)
		return
	}
	defer g.endPost()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyWait))
	r.Body = http.MaxBytesReader(w, r.Body, maxBatchBytes)
	c, ok := g.identify(w, r)
	if !ok {
		return
	}
	b := g.startPostOf(c.Box)
	if b == nil {
		g.refuse(w, refusedBusy, time.Second)
		return
	}
	defer g.endPostOf(b)
	answer, why, wait := g.post(r, c, b)
	if why != nil {
		g.refuse(w, why, wait)
		return
	}
	// What goes down may be commands: they are covered like the batch.
	if !c.Proof.Prove(w, answer) {
		return
	}
	g.counts.posts.Add(1)
	b.posted.Store(time.Now().UnixNano())
	g.counts.out.Add(uint64(len(answer)))
	b.out.Add(uint64(len(answer)))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeWait))
	_, _ = w.Write(answer)
}

// post stores the batch, if there is one, and asks where the box stands.
func (g *Gateway) post(r *http.Request, c Caller, b *box) (answer []byte, why *refusal, wait time.Duration) {
	ask, ok := askOf(r)
	if !ok {
		return nil, refusedAsk, 0
	}
	batch, err := io.ReadAll(r.Body)
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refusedOversize, 0
	case err != nil:
		return nil, refusedBody, 0
	case !c.Proof.Covers(batch):
		return nil, refusedDigest, 0
	}
	id := c.Box
	now := time.Now()
	b.last.Store(now.UnixNano())
	if reservation := b.limit.ReserveN(now, len(batch)); reservation.DelayFrom(now) > 0 {
		wait = reservation.DelayFrom(now)
		reservation.CancelAt(now)
		return nil, refusedRate, wait
	}
	b.in.Add(uint64(len(batch)))
	g.counts.in.Add(uint64(len(batch)))
	if len(batch) > 0 {
		if err := g.publish(r.Context(), id, batch); err != nil {
			g.log.Warn("a batch cannot be stored", "site", id.Site, "box", id.Box, "err", err)
			return nil, refusedBroker, 0
		}
	}
	if answer, err = g.ask(r.Context(), id, ask); err != nil {
		g.log.Warn("nobody answers where a box stands", "site", id.Site, "box", id.Box, "err", err)
		return nil, refusedNoAnswer, 0
	}
	return answer, nil, 0
}

// ask asks where a box stands, with an inbox of the box as if it did so itself:
// whoever answers sends to no other.
func (g *Gateway) ask(ctx context.Context, id wire.BoxID, ask []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	conn := g.cfg.Broker.Conn()
	inbox := id.InboxPrefix() + ".post." + strings.TrimPrefix(nats.NewInbox(), nats.InboxPrefix)
	sub, err := conn.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := conn.PublishRequest(id.AskSubject(), inbox, ask); err != nil {
		return nil, err
	}
	m, err := sub.NextMsgWithContext(ctx)
	if err != nil {
		return nil, err
	}
	if len(m.Data) == 0 {
		return nil, nats.ErrNoResponders // what the broker itself says to that
	}
	return m.Data, nil
}

// askOf reads the Ask and writes it anew: what goes on is a document of ours.
func askOf(r *http.Request) ([]byte, bool) {
	text := r.Header.Get(wire.AskHeader)
	var ask wire.Ask
	if len(text) > wire.MaxAskBytes || json.Unmarshal([]byte(text), &ask) != nil {
		return nil, false
	}
	out, err := json.Marshal(ask)
	return out, err == nil
}

// publish has the batch on disk when it returns nil. The same batch again, as
// after an answer that was lost, is stored once.
func (g *Gateway) publish(ctx context.Context, id wire.BoxID, batch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	sum := sha256.Sum256(batch)
	_, err := g.cfg.Broker.JetStream().Publish(ctx, id.FramesSubject(), batch, jetstream.WithMsgID(id.String()+":post:"+hex.EncodeToString(sum[:16])))
	return err
}
