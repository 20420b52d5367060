package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// roller writes closed hours to the stream RU while this node has the lease.
// An hour that changes later is written again.
type roller struct {
	js         jetstream.JetStream
	projection *projection.Projection
	lease      *lease
	every      time.Duration
	log        *slog.Logger
	rolled     atomic.Uint64
}

const (
	rollBatch    = 256
	rollAttempts = 4
	hourLayout   = "2006010215"
)

// errLost is returned when the lease is not this node's any more.
var errLost = errors.New("the lease is another node's")

func newRoller(cfg *Config) *roller {
	return &roller{
		js: cfg.JetStream, projection: cfg.Projection, every: cfg.RollEvery, log: cfg.Logger,
		lease: &lease{js: cfg.JetStream, key: leaseRollup, node: cfg.Node, ttl: cfg.LeaseTTL},
	}
}

func (r *roller) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { r.lease.keep(ctx); return nil })
	g.Go(func() error {
		for sleep(ctx, r.every) {
			if err := r.roll(ctx, time.Now()); err != nil && ctx.Err() == nil {
				r.log.Warn("hours are not rolled up", "err", err)
			}
		}
		return nil
	})
	return g.Wait()
}

// roll writes every closed hour that is not in the stream. A node without the
// lease only forgets what another must have written by now.
func (r *roller) roll(ctx context.Context, now time.Time) error {
	if _, ok := r.lease.held(); !ok {
		return r.projection.ForgetUnrolled(now.Add(-rollForget), 16*rollBatch)
	}
	stream, err := r.js.Stream(ctx, streamRollup)
	if err != nil {
		return err
	}
	var after *projection.Rollup
	for {
		some, err := r.projection.Unrolled(now.Add(-rollGrace), after, rollBatch)
		if err != nil || len(some) == 0 {
			return err
		}
		for i := range some {
			if err := r.write(ctx, stream, &some[i]); err != nil {
				return errors.Join(err, r.projection.Rolled(some[:i]))
			}
		}
		if err := r.projection.Rolled(some); err != nil {
			return err
		}
		after = &some[len(some)-1]
	}
}

// write puts an hour into the stream, merged with what is there: a node that
// knows less cannot take anything away, whoever holds the lease.
func (r *roller) write(ctx context.Context, stream jetstream.Stream, up *projection.Rollup) error {
	subject := rollupSubject(up)
	data, last := up.Data, uint64(0)
	for range rollAttempts {
		if _, ok := r.lease.held(); !ok {
			return errLost
		}
		_, err := r.js.Publish(ctx, subject, data, jetstream.WithExpectLastSequencePerSubject(last))
		if err == nil {
			r.rolled.Add(1)
			return nil
		}
		if !isConflict(err) {
			return fmt.Errorf("write %s: %w", subject, err)
		}
		there, err := stream.GetLastMsgForSubject(ctx, subject)
		if err != nil {
			return fmt.Errorf("read %s: %w", subject, err)
		}
		last, data = there.Sequence, projection.MergeRollups(there.Data, up.Data)
		if string(data) == string(there.Data) {
			return nil
		}
	}
	return fmt.Errorf("write %s: it changed %d times meanwhile", subject, rollAttempts)
}

// isConflict tells whether somebody else has written the subject. A replicated
// stream says it with another code.
func isConflict(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

func rollupSubject(up *projection.Rollup) string {
	return "ru." + up.Box.String() + "." + up.Start().Format(hourLayout)
}

func parseRollup(subject string, data []byte) (*projection.Rollup, error) {
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return nil, fmt.Errorf("got %.200q, want ru.TENANT.SITE.BOX.YYYYMMDDHH", subject)
	}
	box, err := wire.ParseSubject(subject[:i])
	if err != nil {
		return nil, err
	}
	start, err := time.Parse(hourLayout, subject[i+1:])
	if err != nil {
		return nil, err
	}
	return &projection.Rollup{Box: box, Hour: start.Unix() / 3600, Data: data}, nil
}
