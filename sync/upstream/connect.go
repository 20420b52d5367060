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

// connect keeps a way to the cloud open until ctx ends or the box has joined
// elsewhere.
func (m *member) connect(ctx context.Context) {
	wait := backoff{speed: m.cfg.Speed}
	blocked, at := 0, 0
	for ctx.Err() == nil {
		if m.hasMoved() {
			poke(m.hurry) // the collector ends it all
			return
		}
		list := m.endpoints()
		endpoint, began := list[at%len(list)], time.Now()
		err := m.try(ctx, endpoint, &blocked)
		if ctx.Err() != nil {
			return
		}
		m.lost(err)
		if time.Since(began) >= m.cfg.paced(steady) {
			wait.reset()
		}
		at++ // whoever has just cut the link may be down
		pause := wait.next()
		if p, ok := errors.AsType[*problem](err); ok && p.after > 0 {
			pause += p.after
		}
		sleep(ctx, pause)
	}
}

// try opens a way to one endpoint and works on it until it ends.
func (m *member) try(ctx context.Context, endpoint *url.URL, blocked *int) error {
	s, err := m.trySocket(ctx, endpoint)
	if err == nil {
		*blocked = 0
		return m.carry(ctx, s, endpoint)
	}
	if p, ok := errors.AsType[*problem](err); !ok || !p.blocked {
		return err
	}
	if *blocked++; *blocked < postAfter {
		return err
	}
	*blocked = 0
	p, postErr := openPost(ctx, m.dialer, endpoint, m.about(time.Now()))
	if postErr != nil {
		return postErr
	}
	// Now it is known that the cloud can be reached. If the WebSockets before met
	// an outage and not a wall, one comes through now.
	if s, err = m.trySocket(ctx, endpoint); err == nil {
		p.close()
		return m.carry(ctx, s, endpoint)
	}
	m.log.Info("no WebSocket comes through; going on without", "remote", endpoint.Host, "err", err)
	ctx, cancel := context.WithTimeoutCause(ctx, m.cfg.paced(postFor), errTryAgain)
	defer cancel()
	if err = m.carry(ctx, p, endpoint); errors.Is(context.Cause(ctx), errTryAgain) {
		err = errTryAgain
	}
	return err
}

// trySocket opens a tunnel and connects to the broker through it.
func (m *member) trySocket(ctx context.Context, endpoint *url.URL) (*socket, error) {
	t, err := m.dialer.dialTunnel(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	s, err := openSocket(t, m.box, m.meter)
	if err != nil {
		return nil, &problem{what: "the tunnel was cut", err: err, blocked: true}
	}
	return s, nil
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
	return endpointsOf(m.cfg.URL, m.identity)
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

// name is that of the box's place, which leaves it at level named alone.
func (m *member) name() string {
	if m.policy.level() != wire.Named {
		return ""
	}
	return m.cfg.Source.Sample().Name
}

// renew keeps the certificate good, where the identity is of a kind that can be.
func (m *member) renew(ctx context.Context) {
	id, ok := m.identity.(*identity.Identity)
	if !ok {
		return
	}
	r := identity.NewRenewer(identity.RenewerConfig{
		Identity: id, URLs: m.cfg.URL, Name: m.name, Version: m.cfg.Version, Proxy: m.cfg.Proxy, Logger: m.log,
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
