package projector

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/projection"
)

// load reads the stream RU into an empty projection: hours of which UP has
// nothing any more. Once it is done it is not done again.
func (p *Projector) load(ctx context.Context) error {
	done, err := p.cfg.Projection.Loaded()
	if err != nil || done {
		return err
	}
	n := 0
	if p.cfg.Projection.Position().Seq == 0 {
		if n, err = loadRollups(ctx, p.cfg.JetStream, p.cfg.Projection, p.cfg.Logger); err != nil {
			return err
		}
	}
	_, err = p.cfg.Projection.Update(func(tx *projection.Tx) error { return tx.SetLoaded(n > 0) })
	if err == nil && n > 0 {
		p.cfg.Logger.Info("projection begun from closed hours", "hours", n)
	}
	return err
}

// loadRollups reads what the stream RU holds now.
func loadRollups(ctx context.Context, js jetstream.JetStream, into *projection.Projection, log *slog.Logger) (n int, err error) {
	err = readAll(ctx, js, streamRollup, ^uint64(0), func(batch []jetstream.Msg) error {
		_, err := into.Update(func(tx *projection.Tx) error {
			for _, m := range batch {
				up, err := parseRollup(m.Subject(), m.Data())
				if err == nil {
					err = tx.Load(up)
				}
				if errors.Is(err, projection.ErrRollup) {
					// Of a newer version, perhaps: what is in UP is still read.
					log.Warn("closed hour cannot be read", "subject", m.Subject(), "err", err)
					continue
				}
				if err != nil {
					return err
				}
				n++
			}
			return nil
		})
		return err
	})
	return n, err
}

// readAll calls with the messages of a stream in order, up to until or to what
// was its end when it began.
func readAll(ctx context.Context, js jetstream.JetStream, name string, until uint64, with func([]jetstream.Msg) error) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State
	until = min(until, state.LastSeq)
	if state.Msgs == 0 || state.FirstSeq > until {
		return nil
	}
	consumer, err := js.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverAllPolicy, MaxResetAttempts: 3, InactiveThreshold: time.Minute,
	})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(pullBytes))
	if err != nil {
		return err
	}
	defer messages.Stop()
	var batch []jetstream.Msg
	bytes := 0
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if meta.Sequence.Stream <= until {
			batch, bytes = append(batch, m), bytes+len(m.Data())
		}
		end := meta.Sequence.Stream >= until || meta.NumPending == 0
		if len(batch) > 0 && (end || len(batch) >= maxBatch || bytes >= maxBatchBytes) {
			if err := with(batch); err != nil {
				return err
			}
			batch, bytes = nil, 0
		}
		if end {
			return nil
		}
	}
}
