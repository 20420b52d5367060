package upstream

import (
	"log/slog"
	"sync"
	"time"

	"signalbox/sync/outbox"
	"signalbox/sync/wire"
)

// policies keeps the policy in force: what the central team wants, over what
// the box's own configuration says. It holds while the cloud is away and over
// restarts.
type policies struct {
	*member

	mu      sync.Mutex
	taken   *wire.Policy // in force, nil for none
	doc     wire.PolicyDoc
	refused uint64 // newest revision that is not in force
	fault   wire.PolicyFault
	drained bool // the relay drains because a policy said so
}

// newPolicies puts the policy of before the restart in force again.
func newPolicies(m *member, s outbox.State) *policies {
	p := &policies{member: m, refused: s.Refused, fault: s.PolicyFault}
	var doc wire.PolicyDoc
	if s.Policy != nil {
		var fault wire.PolicyFault
		if doc, fault = readPolicy(s.Policy); fault == wire.PolicyFaultNone {
			p.taken = s.Policy
		} else { // an older version of the program took more
			p.refused, p.fault, doc = s.Policy.Revision, fault, wire.PolicyDoc{}
		}
	}
	if fault := p.apply(doc); fault != wire.PolicyFaultNone && p.taken != nil {
		p.refused, p.fault = p.taken.Revision, fault
	}
	return p
}

// readPolicy joins what is for the site with what is for the box.
func readPolicy(p *wire.Policy) (wire.PolicyDoc, wire.PolicyFault) {
	site, fault, err := wire.ParsePolicyDoc(p.Site)
	if err != nil {
		return wire.PolicyDoc{}, fault
	}
	box, fault, err := wire.ParsePolicyDoc(p.Box)
	if err != nil {
		return wire.PolicyDoc{}, fault
	}
	doc := *site
	if box.Level != "" {
		doc.Level = box.Level
	}
	if box.LogLevel != "" {
		doc.LogLevel = box.LogLevel
	}
	if box.FrameEvery != 0 {
		doc.FrameEvery = box.FrameEvery
	}
	if box.UplinkBps != 0 {
		doc.UplinkBps = box.UplinkBps
	}
	if box.RelayDrain != nil {
		doc.RelayDrain = box.RelayDrain
	}
	return doc, wire.PolicyFaultNone
}

// revision is that of the policy in force.
func (p *policies) revision() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revisionLocked()
}

func (p *policies) revisionLocked() uint64 {
	if p.taken == nil {
		return 0
	}
	return p.taken.Revision
}

// facts are what a frame tells of the policy.
func (p *policies) facts() (revision, refused uint64, fault wire.PolicyFault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.revisionLocked(), p.refused, p.fault
}

// take puts a newer policy in force and on disk. One that this version does not
// understand changes nothing and is reported. One that cannot be kept is in force
// all the same, and comes again with the next Standing.
func (p *policies) take(next *wire.Policy) {
	if next == nil || next.Revision <= p.revision() {
		return
	}
	if _, refused, fault := p.facts(); refused == next.Revision && fault != wire.PolicyFaultApply {
		return // it has been looked at
	}
	doc, fault := readPolicy(next)
	if fault == wire.PolicyFaultNone {
		fault = p.apply(doc)
	}
	err := p.outbox.Update(func(s *outbox.State) error {
		if fault == wire.PolicyFaultNone {
			s.Policy, s.Refused, s.PolicyFault = next, 0, fault
		} else {
			s.Refused, s.PolicyFault = next.Revision, fault
		}
		return nil
	})
	if err != nil {
		p.trouble(err) // it comes again with the next Standing
		return
	}
	p.mu.Lock()
	if fault == wire.PolicyFaultNone {
		p.taken, p.refused, p.fault = next, 0, fault
	} else {
		p.refused, p.fault = next.Revision, fault
	}
	p.mu.Unlock()
	if fault == wire.PolicyFaultNone {
		p.log.Info("policy in force", "seq", next.Revision)
	} else {
		p.log.Warn("policy is not followed; what was in force stays", "seq", next.Revision, "reason", string(fault))
	}
	poke(p.hurry)
}

// apply has everything follow a document, whatever was in force before.
func (p *policies) apply(doc wire.PolicyDoc) wire.PolicyFault {
	if p.cfg.Controls != nil {
		if err := p.drain(doc.RelayDrain); err != nil {
			p.log.Warn("the relay does not follow the policy", "err", err)
			return wire.PolicyFaultApply
		}
		var level *slog.Level
		if doc.LogLevel != "" {
			level = new(slog.Level)
			_ = level.UnmarshalText([]byte(doc.LogLevel)) // one of four, by ParsePolicyDoc
		}
		p.cfg.Controls.LogLevel(level)
	}
	rate := p.cfg.UplinkRate
	if doc.UplinkBps != 0 {
		rate = Rate(min(doc.UplinkBps, uint64(maxRate)))
	}
	p.meter.bucket.set(rate)
	p.mu.Lock()
	p.doc = doc
	p.mu.Unlock()
	veil, err := wire.NewVeil(p.level(), p.cfg.SiteKey)
	if err != nil {
		p.trouble(err)
		return wire.PolicyFaultValue
	}
	p.veil.Store(veil)
	return wire.PolicyFaultNone
}

// drain follows what a policy says of the relay. One that says nothing ends what
// an earlier one began, and leaves alone what people at the box did.
func (p *policies) drain(on *bool) error {
	if on == nil && !p.drained {
		return nil
	}
	if err := p.cfg.Controls.Drain(on); err != nil {
		return err
	}
	p.drained = on != nil && *on
	return nil
}

// release gives the box back to its own configuration: it has left the site.
func (p *policies) release() { p.meter.bucket.set(p.cfg.UplinkRate) }

// level is the level of privacy in force.
func (p *policies) level() wire.Privacy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doc.Level != "" {
		return wire.Privacy(p.doc.Level)
	}
	return wire.Privacy(p.cfg.Level)
}

// frameEvery is how often a box in use makes a frame.
func (p *policies) frameEvery() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doc.FrameEvery != 0 {
		return time.Duration(p.doc.FrameEvery) * time.Second
	}
	return p.cfg.FrameEvery
}
