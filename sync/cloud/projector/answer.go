package projector

import (
	"context"
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"

	"signalbox/sync/wire"
)

// maxAsks bounds the questions that wait. Boxes ask again.
const maxAsks = 4096

// Why an Ask is not answered, beside the reasons of wire.Refusal.
const (
	refusedReply = "reply"     // the answer would go to somebody else
	refusedOften = "too-often" // the box asks more often than a box has to, see allowance
)

// answer answers boxes that ask where they stand.
func (p *Projector) answer(ctx context.Context) error {
	asks := make(chan *nats.Msg, maxAsks)
	sub, err := p.cfg.Conn.ChanQueueSubscribe(wire.AllAsks, askQueue, asks)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		select {
		case m := <-asks:
			p.answerOne(m)
		case <-ctx.Done():
			return nil
		}
	}
}

func (p *Projector) answerOne(m *nats.Msg) {
	box, err := wire.ParseSubject(m.Subject)
	// Before anything is read: what is refused must cost next to nothing.
	if err == nil && !p.allowance.take(box, time.Now()) {
		p.refuse(refusedOften, m.Subject)
		return
	}
	// The answer goes out with the cloud's rights: only to the asker itself.
	if err != nil || !box.OwnsInbox(m.Reply) {
		p.refuse(refusedReply, m.Subject)
		return
	}
	ask, err := wire.ParseAsk(m.Data)
	if err != nil {
		p.refuse(wire.Reason(err), m.Subject)
		return
	}
	s, err := p.Standing(box, ask)
	if err != nil {
		p.cfg.Logger.Warn("ask not answered", "box", box.String(), "err", err)
		return
	}
	data, err := json.Marshal(s)
	if err != nil {
		p.cfg.Logger.Warn("standing cannot be written", "box", box.String(), "err", err)
		return
	}
	if m.Respond(data) == nil {
		p.asks.Add(1)
	}
}

func (p *Projector) refuse(reason, subject string) {
	p.refused.add(reason)
	p.cfg.Logger.Debug("ask refused", "reason", reason, "subject", subject)
}

// Standing is the answer to a box's question. Before Ready the projection may be
// behind, and the answer make the box send again what is on its way.
func (p *Projector) Standing(box wire.BoxID, ask *wire.Ask) (*wire.Standing, error) {
	applied, newest, err := p.cfg.Projection.Applied(box, ask.Incarnation)
	if err != nil {
		return nil, err
	}
	s := &wire.Standing{Now: time.Now().UTC(), Incarnation: ask.Incarnation, Applied: applied, Newest: newest}
	if v := p.cfg.Projection.Box(box); v != nil && v.Incarnation != 0 {
		s.Incarnation = v.Incarnation
	}
	if policy := p.cfg.Desired.PolicyFor(box); policy.Revision > ask.Policy {
		s.Policy = &policy
	}
	s.Commands = p.cfg.Desired.Pending(box)
	s.Live, s.Renew = p.cfg.Desired.Wants(box)
	return s, nil
}
