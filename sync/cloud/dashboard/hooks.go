package dashboard

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// Keys in the registry.
const (
	hookPrefix  = "webhook."
	trialPrefix = "hookstate."
)

const (
	hooksEvery = time.Second      // between looks at what is to be told
	settleFor  = time.Minute      // a problem is over when it has been so long
	retryFirst = 2 * time.Second  // after the first failure; doubled by each
	retryMost  = 5 * time.Minute  // and at most so long
	writesTurn = 200              // records written in one turn: the lease goes first
	batchMost  = 100              // events in one delivery
	stopWait   = 2 * time.Second  // to give the lease back
	tellWithin = 10 * time.Second // for a receiver to answer
)

// hook is a webhook as it is kept.
type hook struct {
	Webhook
	Secret string `json:"secret"`
}

// trial is how a webhook's deliveries go.
type trial struct {
	LastOK time.Time `json:"last_ok,omitzero"`
	Failed time.Time `json:"failed,omitzero"` // since when; zero while they arrive
	Fails  int       `json:"fails,omitempty"` // in a row
	Error  string    `json:"error,omitempty"`
	Next   time.Time `json:"next,omitzero"`
}

// opened is a problem as all nodes agree on it: since when, and who was told.
type opened struct {
	Problem
	Ended time.Time         `json:"ended,omitzero"`
	Told  map[string]Health `json:"told,omitempty"` // by id of webhook; none: nothing, or that it is over
}

// hooks tells webhooks of problems. What is to be told follows from the open
// problems and from what was told, both in the registry: no queue can grow, and
// another node goes on where this one stopped. Only the node that has the lease
// does so.
type hooks struct {
	cfg     *Config
	log     *slog.Logger
	board   *board
	metrics *metrics
	all     *kept[hook]
	trials  *kept[trial]
	goings  *goings
	retry   time.Duration // after the first failure

	missing map[string]time.Time // by problem: since when it is not there; run's own
	busy    map[string]bool      // webhooks with a delivery under way; run's own
}

func newHooks(cfg *Config, b *board, m *metrics) *hooks {
	quiet := func(string) {}
	return &hooks{
		cfg: cfg, log: cfg.Logger, board: b, metrics: m, goings: newGoings(b), retry: retryFirst,
		all: keep[hook](cfg.Bucket, hookPrefix, quiet), trials: keep[trial](cfg.Bucket, trialPrefix, quiet),
	}
}

// run takes the lease when it can and tells webhooks while it has it.
func (h *hooks) run(ctx context.Context) {
	var parts sync.WaitGroup
	defer parts.Wait()
	parts.Go(func() { h.all.run(ctx, h.log) })
	parts.Go(func() { h.trials.run(ctx, h.log) })
	for _, loaded := range []chan struct{}{h.all.loaded, h.trials.loaded, h.board.opened.loaded, h.board.goings.loaded} {
		select {
		case <-loaded:
		case <-ctx.Done():
			return
		}
	}
	l := newLease(ctx, h.cfg.Lease, "webhooks", h.cfg.Node)
	defer func() {
		stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWait)
		defer cancel()
		l.release(stop)
	}()
	for ctx.Err() == nil {
		if l.hold(ctx) {
			h.log.Info("this node tells webhooks", "node", h.cfg.Node)
			h.serve(ctx, l)
		}
		pause(ctx, l.every())
	}
}

// told is the end of a delivery.
type told struct {
	hook   string
	events []event
	err    error
}

// serve works until the lease is lost or ctx ends. Deliveries under way, and what
// is being noted of others, are then given stopWait to be noted, so that the next
// node does not repeat them.
func (h *hooks) serve(ctx context.Context, l *lease) {
	noting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var deliveries sync.WaitGroup
	defer deliveries.Wait()
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(stopWait, cancel) })()
	h.goings.begin()
	h.missing, h.busy = map[string]time.Time{}, map[string]bool{}
	done := make(chan told)
	renew, look := time.NewTicker(l.every()), time.NewTicker(hooksEvery)
	defer renew.Stop()
	defer look.Stop()
	for l.held() {
		select {
		case <-ctx.Done():
			h.settle(noting, l, done)
			return
		case <-renew.C:
			l.hold(ctx)
		case t := <-done:
			delete(h.busy, t.hook)
			h.took(noting, l, t)
		case <-look.C:
			h.turn(ctx, l, func(id string, w hook, events []event) {
				h.busy[id] = true
				deliveries.Go(func() {
					_, err := h.deliver(noting, w, events)
					select {
					case done <- told{id, events, err}:
					case <-noting.Done():
					}
				})
			})
		}
	}
	h.log.Warn("another node tells webhooks now", "node", h.cfg.Node)
}

// settle notes the deliveries under way until they are done or ctx ends.
func (h *hooks) settle(ctx context.Context, l *lease, done <-chan told) {
	for len(h.busy) > 0 {
		select {
		case t := <-done:
			delete(h.busy, t.hook)
			h.took(ctx, l, t)
		case <-ctx.Done():
			return
		}
	}
}

// turn brings the open problems up to date and starts what is due.
func (h *hooks) turn(ctx context.Context, l *lease, start func(string, hook, []event)) {
	s := h.board.current.Load()
	if _, current := h.cfg.Fleet.Position(); s == nil || !current {
		return // what this node shows is old; it would tell what has long passed
	}
	now := time.Now()
	h.reconcile(ctx, l, s.problems(), now)
	h.goings.turn(ctx, l, s, now)
	problems := h.board.opened.list()
	for id, w := range h.all.list() {
		if t, _ := h.trials.get(id); h.busy[id] || now.Before(t.Next) || !l.held() {
			continue
		}
		if events := pending(id, w, problems, now); len(events) > 0 {
			start(id, w, events)
		}
	}
	h.sweep(ctx, l, problems)
}

// reconcile makes the records say what the board says.
func (h *hooks) reconcile(ctx context.Context, l *lease, problems []Problem, now time.Time) {
	writes, there := 0, make(map[string]bool, len(problems))
	put := func(key string, o opened) {
		if writes++; writes <= writesTurn && l.held() {
			if err := h.board.opened.put(ctx, key, o); err != nil && ctx.Err() == nil {
				h.log.Warn("problem not written", "err", err)
			}
		}
	}
	for _, p := range problems {
		key := h.cfg.Tenant + "." + p.ID
		there[key] = true
		delete(h.missing, key)
		p.Acked = nil // it has a record of its own
		o, known := h.board.opened.get(key)
		switch {
		case !known || !o.Ended.IsZero():
			put(key, opened{Problem: p, Told: o.Told})
		case o.Health != p.Health:
			p.Since = o.Since
			put(key, opened{Problem: p, Told: o.Told})
		}
	}
	for key, o := range h.board.opened.list() {
		if there[key] || !o.Ended.IsZero() {
			continue
		}
		if _, seen := h.missing[key]; !seen {
			h.missing[key] = now
		}
		if now.Sub(h.missing[key]) >= h.cfg.Settle {
			o.Ended = now.UTC().Truncate(time.Second)
			put(key, o)
			h.forgetAck(ctx, key)
		}
	}
}

// forgetAck ends somebody's word with its problem.
func (h *hooks) forgetAck(ctx context.Context, key string) {
	if _, ok := h.board.acks.get(key); ok {
		if err := h.board.acks.remove(ctx, key); err != nil && ctx.Err() == nil {
			h.log.Warn("acknowledgement not removed", "err", err)
		}
	}
}

// sweep takes records away that everybody has been told of.
func (h *hooks) sweep(ctx context.Context, l *lease, problems map[string]opened) {
	removed := 0
	for key, o := range problems {
		if o.Ended.IsZero() || removed >= writesTurn || !l.held() {
			continue
		}
		waiting := false
		for id := range o.Told {
			_, there := h.all.get(id)
			waiting = waiting || there
		}
		if !waiting {
			removed++
			delete(h.missing, key)
			if err := h.board.opened.remove(ctx, key); err != nil && ctx.Err() == nil {
				h.log.Warn("problem not removed", "err", err)
			}
		}
	}
}

// took notes what a delivery came to.
func (h *hooks) took(ctx context.Context, l *lease, t told) {
	if _, there := h.all.get(t.hook); !there || !l.held() {
		return
	}
	was, _ := h.trials.get(t.hook)
	now := time.Now().UTC().Truncate(time.Second)
	next := trial{LastOK: now}
	if t.err != nil {
		h.metrics.delivered.WithLabelValues(hookFailed).Inc()
		next = trial{LastOK: was.LastOK, Failed: was.Failed, Fails: was.Fails + 1, Error: t.err.Error()}
		if next.Failed.IsZero() {
			next.Failed = now
		}
		next.Next = time.Now().Add(min(h.retry<<min(was.Fails, 20), retryMost))
		h.log.Warn("webhook not delivered", "attempt", next.Fails, "err", t.err)
	} else {
		h.metrics.delivered.WithLabelValues(hookDelivered).Inc()
	}
	if err := h.trials.put(ctx, t.hook, next); err != nil && ctx.Err() == nil {
		h.log.Warn("webhook's state not written", "err", err)
	}
	if t.err != nil {
		return
	}
	for _, e := range t.events {
		o, ok := h.board.opened.get(e.key)
		if !ok {
			continue
		}
		if err := h.board.opened.put(ctx, e.key, o.tell(t.hook, e.told)); err != nil && ctx.Err() == nil {
			h.log.Warn("problem not written", "err", err)
		}
	}
}

// tell is the record after a webhook was told; the old one stays as it is.
func (o opened) tell(hook string, health Health) opened {
	toldNow := make(map[string]Health, len(o.Told)+1)
	maps.Copy(toldNow, o.Told)
	if health == "" {
		delete(toldNow, hook)
	} else {
		toldNow[hook] = health
	}
	o.Told = toldNow
	return o
}
