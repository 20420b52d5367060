//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"signalbox/sync/bench/fleet"
	"signalbox/sync/upstream/identity"
	"signalbox/sync/wire"
)

// site is a simulated one: a box's connection, proof, key and frames.
type site struct {
	fleet *sites
	id    *identity.Identity
	box   wire.BoxID
	seed  uint64
	sign  *wire.Signer

	mu        sync.Mutex
	seq       uint64
	count     uint64
	published time.Time // the newest frame of which the dashboard does not know yet
}

// sites are all of them.
type sites struct {
	list    []*site
	byName  map[string]*site
	dialer  fleet.Dialer
	url     string
	every   atomic.Int64 // between two frames of a site, nanoseconds; 0: none
	veil    *wire.Veil
	began   time.Time
	online  atomic.Int64
	sent    atomic.Int64
	acked   atomic.Int64
	applied atomic.Int64
	failed  atomic.Int64 // attempts to connect
	changed chan struct{}
}

// joinAll makes n sites whose boxes join, eight at a time.
func joinAll(ctx context.Context, n *node, count int) (*sites, error) {
	all := &sites{list: make([]*site, count), byName: map[string]*site{}, dialer: fleet.Dialer{TLS: n.tls}, url: n.url, began: time.Now(), changed: make(chan struct{}, 1)}
	var err error
	if all.veil, err = wire.NewVeil(wire.Default, make([]byte, wire.MinSiteKeyBytes)); err != nil {
		return nil, err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range all.list {
		g.Go(func() error {
			name := fmt.Sprintf("site-%05d", i)
			dir := filepath.Join(n.dir, "boxes", name)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			id, err := n.admin.Join(ctx, name, fmt.Sprintf("box-%05d", i), n.url, dir)
			if err != nil {
				return err
			}
			s := &site{fleet: all, id: id, box: id.Box(), seed: rand.Uint64() | 1}
			s.sign, err = wire.NewSigner(s.box, id.Signer())
			all.list[i] = s
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	for _, s := range all.list {
		all.byName[s.box.Site] = s
	}
	return all, nil
}

// run keeps every site connected until ctx ends.
func (all *sites) run(ctx context.Context) {
	var g sync.WaitGroup
	for _, s := range all.list {
		g.Go(func() { s.run(ctx) })
	}
	g.Wait()
}

// Waits of a box between attempts: full jitter, as in sync/upstream.
const (
	backoffFirst = time.Second
	backoffMost  = 2 * time.Minute
)

func (s *site) run(ctx context.Context) {
	for failed := 0; ctx.Err() == nil; {
		closed := make(chan struct{})
		nc, err := s.fleet.dialer.Connect(ctx, s.id, s.fleet.url, func() { close(closed) })
		if err == nil {
			if err = s.carry(ctx, nc, closed); err == nil {
				failed = 0
			}
			nc.Close()
		} else {
			s.fleet.failed.Add(1)
		}
		sleep(ctx, rand.N(min(backoffFirst<<min(failed, 7), backoffMost)))
		failed++
	}
}

// rateLook is how often a site that does not report looks whether it is to.
const rateLook = 200 * time.Millisecond

// carry asks where the box stands, is online once that is answered, and
// publishes frames until the connection ends.
func (s *site) carry(ctx context.Context, nc *nats.Conn, closed <-chan struct{}) error {
	standing := make(chan struct{}, 1)
	inbox := s.box.InboxPrefix()
	for subject, handle := range map[string]nats.MsgHandler{
		inbox + ".ack":       func(*nats.Msg) { s.fleet.acked.Add(1) },
		inbox + ".ask":       func(*nats.Msg) { poke(standing) },
		s.box.NudgeSubject(): func(*nats.Msg) { s.fleet.applied.Add(1) },
	} {
		if _, err := nc.Subscribe(subject, handle); err != nil {
			return err
		}
	}
	ask, err := json.Marshal(wire.Ask{Version: "v0.0.0", Incarnation: s.seed, Oldest: 1, Newest: s.seq, Now: time.Now()})
	if err != nil {
		return err
	}
	for stood := false; !stood; {
		if err := nc.PublishRequest(s.box.AskSubject(), inbox+".ask", ask); err != nil {
			return err
		}
		select {
		case <-standing:
			stood = true
		case <-time.After(10 * time.Second):
		case <-closed:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.fleet.online.Add(1)
	poke(s.fleet.changed)
	defer s.fleet.online.Add(-1)
	for first := true; ; {
		every := time.Duration(s.fleet.every.Load())
		wait := every
		switch {
		case every == 0:
			wait = rateLook
		case first:
			wait = rand.N(every)
		}
		select {
		case <-time.After(wait):
		case <-closed:
			return nil
		case <-ctx.Done():
			return nil
		}
		if first = every == 0; first {
			continue
		}
		if err := s.publish(nc, inbox); err != nil {
			return err
		}
	}
}

// publish makes the frame of a minute of a small site and sends it.
func (s *site) publish(nc *nats.Conn, inbox string) error {
	now := time.Now()
	mono := now.Sub(s.fleet.began)
	s.mu.Lock()
	s.seq++
	s.count += rand.Uint64N(40)
	seq, count := s.seq, s.count
	s.mu.Unlock()
	d := s.fleet.veil.Draft(wire.Span{Start: now.Add(-time.Minute), End: now, Boot: 7, Mono: mono})
	for i, m := range wire.Metrics {
		switch m.Kind {
		case wire.Counter:
			d.Counter(m.ID, count*uint64(i%5))
		case wire.Level:
			v := int64(count % uint64(7+i))
			d.Gauge(m.ID, v, v, v+1)
		default:
		}
	}
	f, err := d.Finish()
	if err != nil {
		return err
	}
	f.First, f.Last = seq, seq
	body := &wire.Body{Incarnation: s.seed, Oldest: 1, SentMs: now.UnixMilli(), Boot: 7, MonoMs: uint64(mono.Milliseconds()), Frames: []*wire.Frame{f}}
	data, err := wire.EncodeBatch(s.sign, body)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.published = time.Now()
	s.mu.Unlock()
	s.fleet.sent.Add(1)
	id := fmt.Sprintf("%s-%d", s.box.MsgID(s.seed, seq), seq)
	return nc.PublishMsg(&nats.Msg{Subject: s.box.FramesSubject(), Reply: inbox + ".ack", Data: data, Header: nats.Header{nats.MsgIdHdr: {id}}})
}

// await waits until all are online and returns when that was.
func (all *sites) await(ctx context.Context, within time.Duration) (time.Time, error) {
	for end := time.Now().Add(within); ; {
		if all.online.Load() == int64(len(all.list)) {
			return time.Now(), nil
		}
		select {
		case <-all.changed:
		case <-time.After(time.Until(end)):
			return time.Time{}, fmt.Errorf("%d of %d sites are connected after %v", all.online.Load(), len(all.list), within)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
