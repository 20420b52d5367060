package projector

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"signalbox/sync/cloud/projection"
)

// errMoved is returned when the stream is not the one that is being read,
// errSkipped when a message did not arrive, errStalled when none does.
var (
	errMoved   = errors.New("the stream has changed")
	errSkipped = errors.New("messages of the stream were lost on the way")
	errStalled = errors.New("the stream has messages that its consumer does not hand on")
)

// Waits of a reader. While a cluster elects who leads the stream it answers
// nothing at all: who asks then has to ask again soon rather than wait.
const (
	beatEvery    = 1500 * time.Millisecond // the broker says that the consumer lives; twice without: it does not
	answerSoon   = time.Second             // for a call, at first
	answerMost   = 2 * time.Second
	againSoon    = 250 * time.Millisecond
	againMost    = time.Second
	consumerIdle = time.Minute // until the broker forgets one that nobody reads
	stalledAfter = 3 * time.Second
)

// item is a message on its way to the projection.
type item struct {
	message projection.Message
	bytes   int
	pending uint64 // messages behind it in the stream
}

// follow reads the stream, again from where the projection is after any fault
// of the broker or the disk. Only a damaged projection ends it.
func (p *Projector) follow(ctx context.Context) error {
	for failed := 0; ctx.Err() == nil; {
		reading, err := p.session(ctx, min(answerSoon<<failed, answerMost))
		if reading {
			failed = 0
		}
		switch {
		case ctx.Err() != nil:
			continue
		case errors.Is(err, projection.ErrDamaged):
			return err
		case errors.Is(err, errMoved):
			continue
		}
		level := slog.LevelDebug // one consumer that went with its server is not worth a word
		if failed = min(failed+1, 8); failed > 1 || errors.Is(err, errStalled) {
			level = slog.LevelWarn
			p.health.Store(&err)
		}
		p.cfg.Logger.Log(ctx, level, "stream cannot be read, trying again", "err", err)
		sleep(ctx, min(againSoon<<failed, againMost))
	}
	return nil
}

// session reads with one consumer until something fails, and tells whether it
// came so far. The broker has that long to answer each call before.
func (p *Projector) session(ctx context.Context, within time.Duration) (reading bool, err error) {
	if err := p.load(ctx); err != nil {
		return false, err
	}
	consumer, err := p.consumer(ctx, within)
	if err != nil {
		return false, err
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(pullBytes), jetstream.PullHeartbeat(beatEvery))
	if err != nil {
		return false, err
	}
	p.health.Store(nil)
	items := make(chan item, 64)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.pump(ctx, messages, items) })
	g.Go(func() error { return p.apply(ctx, items) })
	g.Go(func() error { return p.watch(ctx) })
	g.Go(func() error {
		// Stopping may wait for a call that the consumer makes to the broker.
		<-ctx.Done()
		messages.Stop()
		return nil
	})
	return true, g.Wait()
}

// consumer makes one that begins behind the projection's position. The library's
// ordered consumer would do, but for the ten seconds that it waits for a new one
// when the server has died that had the old one.
func (p *Projector) consumer(ctx context.Context, within time.Duration) (jetstream.Consumer, error) {
	each, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	stream, err := p.cfg.JetStream.Stream(each, streamUp)
	if err != nil {
		return nil, err
	}
	info := stream.CachedInfo()
	if err := p.take(each, stream, info); err != nil {
		return nil, err
	}
	at := p.cfg.Projection.Position()
	if at.Seq >= info.State.LastSeq || info.State.Msgs == 0 {
		p.caughtUp(0)
	}
	each, cancel = context.WithTimeout(ctx, within)
	defer cancel()
	return stream.CreateConsumer(each, jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: at.Seq + 1, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerIdle,
	})
}

// take makes sure that the projection's position is one in this stream, and
// begins at its start if not.
func (p *Projector) take(ctx context.Context, stream jetstream.Stream, info *jetstream.StreamInfo) error {
	at := p.cfg.Projection.Position()
	same, err := p.same(ctx, stream, info, at)
	if err != nil || same {
		return err
	}
	_, err = p.cfg.Projection.Update(func(tx *projection.Tx) error {
		return tx.Restart(info.Created, info.State.FirstSeq <= 1)
	})
	if err != nil {
		return err
	}
	if !at.Stream.IsZero() {
		p.cfg.Logger.Warn("stream is another than before, reading it from the start", "seq", at.Seq)
		p.resets.Add(1)
		p.nudger.resyncAll()
	}
	return nil
}

// same tells whether at is a position in the stream. The stream may have been
// made anew, or have been restored from a copy and gone on from there: then
// another message, or none, has the number of the last one applied.
func (p *Projector) same(ctx context.Context, stream jetstream.Stream, info *jetstream.StreamInfo, at projection.Position) (bool, error) {
	if !at.Stream.Equal(info.Created) || at.Seq > info.State.LastSeq {
		return false, nil
	}
	if at.Seq == 0 || at.Seq < info.State.FirstSeq {
		return true, nil
	}
	m, err := stream.GetMsg(ctx, at.Seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return true, nil // it went by age or by hand
	}
	if err != nil {
		return false, err
	}
	return m.Time.Equal(at.Time), nil
}

// watch looks whether the stream is still the one that is being read. A consumer
// would wait for ever behind the end of one that was made anew, and one on a
// server whose copy of the stream lags for that to catch up, which can take until
// the next message: a new one may be on another server.
func (p *Projector) watch(ctx context.Context) error {
	var s stall
	for sleep(ctx, p.cfg.CheckEvery) {
		stream, err := p.cfg.JetStream.Stream(ctx, streamUp)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		if err != nil {
			continue // the broker is away; the consumer goes on when it is back
		}
		info, at := stream.CachedInfo(), p.cfg.Projection.Position()
		if !at.Stream.Equal(info.Created) || at.Seq > info.State.LastSeq {
			return errMoved
		}
		p.lag.Store(info.State.LastSeq - at.Seq)
		if last := info.State.LastSeq; info.State.Msgs > 0 && s.look(at.Seq, last, time.Now()) {
			return errStalled
		}
	}
	return nil
}

// stall tells when nothing was applied for stalledAfter though there is more.
type stall struct {
	at    uint64
	since time.Time
}

func (s *stall) look(at, last uint64, now time.Time) (stalled bool) {
	if at != s.at || at >= last || s.since.IsZero() {
		s.at, s.since = at, now
	}
	return now.Sub(s.since) >= stalledAfter
}

// pump reads and judges messages.
func (p *Projector) pump(ctx context.Context, messages jetstream.MessagesContext, items chan<- item) error {
	for n := uint64(1); ; n++ {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Consumer != n {
			return errSkipped
		}
		if p.ahead != nil {
			p.ahead.brought(m.Subject(), m.Data())
		}
		i := item{p.judge.message(ctx, m.Subject(), m.Data(), meta), len(m.Data()), meta.NumPending}
		if i.message.Body == nil {
			p.spurned.add(i.message.Refused)
		}
		select {
		case items <- i:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// apply gathers messages and applies them in one transaction.
func (p *Projector) apply(ctx context.Context, items <-chan item) error {
	for {
		batch, err := p.gather(ctx, items)
		if err != nil {
			return err
		}
		results := false
		changed, err := p.cfg.Projection.Update(func(tx *projection.Tx) error {
			for i := range batch {
				if err := tx.Apply(&batch[i].message); err != nil {
					return err
				}
				results = results || hasResults(&batch[i].message)
			}
			return nil
		})
		if err != nil {
			return err
		}
		p.applied.Add(uint64(len(batch)))
		if results {
			p.wakeResults()
		}
		p.caughtUp(batch[len(batch)-1].pending)
		if p.isReady() {
			p.nudger.tell(changed)
		}
	}
}

// gather waits for a message, and then a little for more.
func (p *Projector) gather(ctx context.Context, items <-chan item) ([]item, error) {
	var batch []item
	bytes := 0
	var linger <-chan time.Time
	for len(batch) < maxBatch && bytes < maxBatchBytes {
		select {
		case i := <-items:
			if linger == nil {
				t := time.NewTimer(p.cfg.Linger)
				defer t.Stop()
				linger = t.C
			}
			batch, bytes = append(batch, i), bytes+i.bytes
		case <-linger:
			return batch, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return batch, nil
}

func hasResults(m *projection.Message) bool {
	for _, f := range m.Body.GetFrames() {
		if len(f.GetResults()) > 0 {
			return true
		}
	}
	return false
}

// caughtUp notes how many messages wait; with none the node is ready for the
// first time. Called by the goroutine that applies, or before it begins.
func (p *Projector) caughtUp(pending uint64) {
	p.lag.Store(pending)
	if pending == 0 && !p.isReady() {
		close(p.ready)
		p.nudger.begin()
	}
}

func (p *Projector) isReady() bool {
	select {
	case <-p.ready:
		return true
	default:
		return false
	}
}
