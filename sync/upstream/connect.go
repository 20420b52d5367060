package upstream

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"time"

	"signalbox/sync/upstream/identity"
	"signalbox/sync/wire"
)

const (
	postAfter = 2                // WebSockets that came to nothing in a row
	postFor   = 30 * time.Minute // before a WebSocket is tried again
	steady    = 30 * time.Second // a link that has lasted so long was a good one
)

// connect keeps a way to the cloud open until ctx ends. It calls moved when the
// box has joined elsewhere.
func (m *member) connect(ctx context.Context, moved func()) {
	var wait backoff
	blocked, at := 0, 0
	for ctx.Err() == nil {
		if m.hasMoved() {
			moved()
			return
		}
		list := m.endpoints()
		endpoint, began := list[at%len(list)], time.Now()
		err := m.try(ctx, endpoint, &blocked)
		if ctx.Err() != nil {
			return
		}
		m.lost(err)
		if time.Since(began) >= steady {
			wait.reset()
		} else {
			at++
		}
		pause := wait.next()
		if p, ok := errors.AsType[*problem](err); ok && p.after > 0 {
			pause += p.after
		}
		sleep(ctx, pause)
	}
}

// try opens a way to one endpoint and works on it until it ends.
func (m *member) try(ctx context.Context, endpoint *url.URL, blocked *int) error {
	if *blocked < postAfter {
		t, err := m.dialer.dialTunnel(ctx, endpoint)
		if err == nil {
			var s *socket
			if s, err = openSocket(t, m.box, m.meter); err == nil {
				*blocked = 0
				return m.carry(ctx, s, endpoint)
			}
			err = &problem{what: "the tunnel was cut", err: err, blocked: true}
		}
		if p, ok := errors.AsType[*problem](err); ok && p.blocked {
			*blocked++
		}
		if *blocked < postAfter {
			return err
		}
		m.log.Debug("no WebSocket comes through; trying without", "attempt", *blocked, "err", err)
	}
	defer func() { *blocked = 0 }()
	p, err := openPost(ctx, m.dialer, endpoint, m.about(time.Now()))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, postFor, errTryAgain)
	defer cancel()
	if err = m.carry(ctx, p, endpoint); errors.Is(context.Cause(ctx), errTryAgain) {
		err = errTryAgain
	}
	return err
}

// errTryAgain ends a time of POST.
var errTryAgain = errors.New("looking whether a WebSocket comes through by now")

// carry works on a way and closes it.
func (m *member) carry(ctx context.Context, w way, endpoint *url.URL) error {
	m.connects.Add(1)
	m.reached(w.name(), endpoint)
	err := (&courier{member: m, way: w}).run(ctx)
	w.close()
	return err
}

// endpoints are the addresses of the cloud, those of the configuration if it
// names any. They were checked when they were written down.
func (m *member) endpoints() []*url.URL {
	texts := m.cfg.URL
	if len(texts) == 0 {
		texts = []string{m.identity.URL()}
	}
	list := make([]*url.URL, 0, len(texts))
	for _, text := range texts {
		if u, err := url.Parse(text); err == nil {
			list = append(list, u)
		}
	}
	return list
}

// hasMoved looks for another identity: a renewed one is taken as it is.
func (m *member) hasMoved() bool {
	if _, err := m.identity.Reload(); err != nil {
		m.trouble(err)
	}
	return m.identity.Box() != m.box
}

// about is what the box has, for the cloud to say what it lacks.
func (m *member) about(now time.Time) wire.Ask {
	p := m.frames.Position()
	return wire.Ask{
		Version: m.cfg.Version, Incarnation: p.incarnation, Oldest: p.oldest, Newest: p.newest, Policy: m.policy.revision(), Now: now.UTC().Truncate(time.Millisecond),
	}
}

// renew keeps the certificate good, where the identity is of a kind that can be.
func (m *member) renew(ctx context.Context) {
	id, ok := m.identity.(*identity.Identity)
	if !ok {
		return
	}
	r := identity.NewRenewer(identity.RenewerConfig{
		Identity: id, URLs: m.cfg.URL, Name: m.cfg.Source.Sample().Name, Version: m.cfg.Version, Proxy: m.cfg.Proxy, Logger: m.log,
	})
	var g sync.WaitGroup
	g.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-m.renewal:
				r.Kick()
			}
		}
	})
	if err := r.Run(ctx); err != nil {
		m.trouble(err)
	}
	g.Wait()
}
