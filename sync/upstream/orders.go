package upstream

import (
	"context"
	"errors"
	"runtime/debug"
	"sync"
	"time"

	"signalbox/sync/outbox"
	"signalbox/sync/wire"
)

// orders carries out the commands of the cloud, one after the other and each at
// most once: that it is begun is on disk before it begins. What is dropped here
// comes again with the next Standing, until its result has arrived.
type orders struct {
	*member
	waiting chan wire.Command

	mu     sync.Mutex
	ended  []ended         // not in a frame yet
	queued map[string]bool // in waiting, or being carried out
}

// ended is the result of a command.
type ended struct {
	id      string
	outcome wire.Outcome
	at      time.Time
}

const maxWaiting = 16

// commandTimeout bounds one command.
const commandTimeout = 5 * time.Minute

// restartCommand is the one that is done when the process has started again.
const restartCommand = "restart"

// newOrders tells the outcome of commands that the end of the process cut short.
func newOrders(m *member, s outbox.State) *orders {
	o := &orders{member: m, waiting: make(chan wire.Command, maxWaiting), queued: map[string]bool{}}
	for id, c := range s.Commands {
		if !c.Done {
			o.ended = append(o.ended, ended{id, wire.OutcomeInterrupted, time.Now()})
		}
	}
	return o
}

// take queues commands that are not known yet. It never blocks.
func (o *orders) take(list []wire.Command) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range list {
		if o.queued[c.ID] {
			continue
		}
		select {
		case o.waiting <- c:
			o.queued[c.ID] = true
		default:
			return
		}
	}
}

func (o *orders) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-o.waiting:
			o.carryOut(ctx, c)
			o.mu.Lock()
			delete(o.queued, c.ID)
			o.mu.Unlock()
		}
	}
}

// errKnown says that a command was begun before.
var errKnown = errors.New("known")

// begin notes on disk that a command is begun.
func (o *orders) begin(c wire.Command) error {
	return o.outbox.Update(func(s *outbox.State) error {
		if _, known := s.Commands[c.ID]; known {
			return errKnown
		}
		s.Commands[c.ID] = outbox.Command{Expires: c.Expires}
		return nil
	})
}

func (o *orders) carryOut(ctx context.Context, c wire.Command) {
	switch err := o.begin(c); {
	case errors.Is(err, errKnown):
		return
	case err != nil:
		o.trouble(err)
		return
	}
	outcome := wire.OutcomeUnavailable
	switch {
	case !o.now().Before(c.Expires):
		outcome = wire.OutcomeExpired
	case o.cfg.Commands != nil:
		outcome = o.try(ctx, c)
	}
	o.log.Info("command of the cloud", "reason", c.Name+" "+c.ID+": "+string(outcome))
	o.mu.Lock()
	o.ended = append(o.ended, ended{c.ID, outcome, time.Now()})
	o.mu.Unlock()
	poke(o.hurry)
}

// try survives a command that panics: the box must not go down with it.
func (o *orders) try(ctx context.Context, c wire.Command) (outcome wire.Outcome) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			o.log.Error("command of the cloud panicked", "err", v, "reason", string(debug.Stack()))
			outcome = wire.OutcomeFailed
		}
	}()
	return o.cfg.Commands.Run(ctx, c.Name, c.Args)
}

// now is the cloud's clock as far as it is known: expiry is by it.
func (o *orders) now() time.Time {
	skew, _ := o.identity.Skew()
	return time.Now().Add(-skew)
}

// results are those that no frame has yet. told forgets them.
func (o *orders) results() []ended {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended[:min(len(o.ended), wire.MaxResults)]
}

func (o *orders) told(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = o.ended[n:]
}
