package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/sync/outbox"
	"signalbox/sync/wire"
)

// member is the agent of a box that has joined: from then on until it joins
// elsewhere or stops.
type member struct {
	*Agent
	identity Identity
	box      wire.BoxID // under which the outbox counts
	outbox   *outbox.Outbox
	frames   frames
	dialer   *dialer
	policy   *policies
	orders   *orders
	news     chan struct{} // holds one when there are new frames
	hurry    chan struct{} // holds one when a frame is wanted now
	renewal  chan struct{} // holds one when a new certificate is wanted now
	resting  atomic.Bool   // the box is idle
	renewed  atomic.Bool   // the outbox counts anew, because the cloud was ahead
}

// newMember opens the outbox, and goes on trying while that fails; nil when ctx
// ends before.
func (a *Agent) newMember(ctx context.Context, id Identity) *member {
	m := &member{
		Agent: a, identity: id, box: id.Box(),
		dialer: &dialer{identity: id, proxy: a.cfg.Proxy, meter: a.meter, sessions: tls.NewLRUClientSessionCache(maxURLs)},
		news:   make(chan struct{}, 1), hurry: make(chan struct{}, 1), renewal: make(chan struct{}, 1),
	}
	var wait backoff
	for ctx.Err() == nil {
		err := m.open()
		if err == nil {
			return m
		}
		a.fault(err)
		a.log.Error("the outbox cannot be opened; nothing is kept for the cloud until it can", "err", err)
		sleep(ctx, wait.next())
	}
	return nil
}

func (m *member) open() (err error) {
	hard := m.cfg.OutboxBytes
	m.outbox, err = outbox.Open(outbox.Config{Dir: m.cfg.Dir, SoftBytes: hard / 8 * 3, HardBytes: hard, Logger: m.log})
	if err != nil {
		return err
	}
	m.frames = carried{m.outbox}
	if err := m.adopt(); err != nil {
		return errors.Join(err, m.outbox.Close())
	}
	return nil
}

// adopt takes over what was in force when the process ended.
func (m *member) adopt() error {
	state, err := m.outbox.Adopt(m.box.String())
	if err != nil {
		return err
	}
	m.policy, m.orders = newPolicies(m, state), newOrders(m, state)
	return nil
}

// run works until ctx ends or the box has joined elsewhere.
func (m *member) run(ctx context.Context) {
	m.log.Info("joined", "site", m.box.Site, "node", m.box.Box)
	m.observed.begin()
	defer m.observed.end()
	work, stop := context.WithCancel(ctx)
	defer stop()
	var g sync.WaitGroup
	g.Go(func() { m.orders.run(work) })
	g.Go(func() { m.renew(work) })
	g.Go(func() { m.connect(work) })
	g.Go(func() { m.keepBackups(work) })
	c := m.collect(work)
	stop()
	g.Wait()
	c.look()
	c.frame() // has what the others did last
	m.Agent.counted = c.toldUpTo()
	if ctx.Err() == nil {
		m.policy.release()
	}
	if err := m.outbox.Close(); err != nil {
		m.log.Warn("outbox closed with an error", "err", err)
	}
}

// signer signs with the key in force.
func (m *member) signer() (*wire.Signer, error) {
	return wire.NewSigner(m.box, m.identity.Signer())
}

// body is a message with frames.
func (m *member) body(p position, list []*wire.Frame, now time.Time) *wire.Body {
	return &wire.Body{
		Incarnation: p.incarnation, Oldest: min(p.oldest, list[0].GetFirst()), SentMs: max(now.UnixMilli(), 0), Boot: bootID(),
		MonoMs: uint64(sinceBoot().Milliseconds()), Frames: list,
	}
}

// poke puts one into a channel that holds at most one.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// carried is the outbox as the courier sees it.
type carried struct{ *outbox.Outbox }

func (c carried) Position() position {
	st := c.Stats()
	return position{incarnation: st.Incarnation, oldest: st.Oldest, newest: st.Newest, applied: st.Applied, known: st.Known}
}

func (c carried) After(seq uint64, count, bytes int) ([]*wire.Frame, error) {
	return c.Next(seq+1, count, bytes)
}

func (c carried) Renew() error {
	return c.NewIncarnation("the cloud knows of more than the outbox does")
}
