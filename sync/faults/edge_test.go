//go:build linux && interop

package faults_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"signalbox/internal/netlab"
	"signalbox/sync/outbox"
	"signalbox/sync/upstream"
	"signalbox/sync/upstream/identity"
	"signalbox/sync/wire"
)

// ledger are the counters of an edge: each is so many times what it has counted,
// so that one that is merged or applied apart from the others shows.
var ledger = map[wire.MetricID]uint64{wire.SignalingOffers: 1, wire.SignalingAnswers: 2, wire.SignalingCandidates: 7}

// edgeOrder is what an edge's process is told.
type edgeOrder struct {
	Dir   string
	URLs  []string
	Base  uint64 // counted by the processes before it, and committed
	Speed int
	// Box, Token and CA are for one that has still to join.
	Box, Token, CA string
}

// edgeReport is what it says, twenty times a second.
type edgeReport struct {
	Counted   uint64
	Committed uint64 // of that, in the outbox
	Newest    uint64
	Queue     uint64
}

// traffic is a box that counts.
type traffic struct {
	agent *upstream.Agent

	mu        sync.Mutex
	own       uint64 // counted by this process
	paused    bool
	counts    bool // the first frame is there
	sampled   uint64
	offered   uint64 // the count that the frame after newest has
	newest    uint64
	committed uint64
}

func (s *traffic) Sample() upstream.Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sampled = s.own
	counters := map[wire.MetricID]uint64{}
	for id, times := range ledger {
		counters[id] = s.own * times
	}
	return upstream.Sample{Counters: counters, Gauges: map[wire.MetricID]int64{wire.RoomsOpen: int64(s.own % 5), wire.SessionsOnline: int64(s.own)}, Name: "edge"}
}

// Rooms is asked while a frame is being committed.
func (s *traffic) Rooms() []wire.RoomFacts {
	newest := s.agent.Status().Newest
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settleLocked(newest)
	s.offered, s.newest = s.sampled, newest
	return nil
}

func (s *traffic) settleLocked(newest uint64) {
	if newest > s.newest {
		s.committed, s.counts = s.offered, true
	}
}

func (s *traffic) tick(base uint64) edgeReport {
	st := s.agent.Status()
	s.mu.Lock()
	defer s.mu.Unlock()
	// Whoever renews certificates asks for a Sample at the start as well: a count
	// that it was told and the collector was not would be taken for committed.
	if s.counts && !s.paused {
		s.own += rand.Uint64N(9)
	}
	s.settleLocked(st.Newest)
	return edgeReport{Counted: base + s.own, Committed: base + s.committed, Newest: st.Newest, Queue: st.Queue}
}

// playEdge counts and reports until it is killed or standard input ends.
func playEdge() error {
	var order edgeOrder
	if err := json.Unmarshal([]byte(os.Args[1]), &order); err != nil {
		return err
	}
	if order.Token != "" {
		joining := identity.JoinOptions{Dir: order.Dir, URL: order.URLs[0], Token: order.Token, CA: order.CA, Box: order.Box, Version: "v0.0.0"}
		if _, err := identity.Join(context.Background(), joining); err != nil && !errors.Is(err, identity.ErrJoined) {
			return err
		}
	}
	s := &traffic{}
	var err error
	s.agent, err = upstream.New(upstream.Config{
		URL: order.URLs, Dir: order.Dir, SiteKey: make([]byte, wire.MinSiteKeyBytes), Version: "v0.0.0", Source: s, Speed: order.Speed,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	var g sync.WaitGroup
	g.Go(func() { _ = s.agent.Run(ctx) })
	g.Go(func() {
		out := json.NewEncoder(os.Stdout)
		for tick := time.Tick(50 * time.Millisecond); ctx.Err() == nil; <-tick {
			if out.Encode(s.tick(order.Base)) != nil {
				return
			}
		}
	})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		s.mu.Lock()
		s.paused = in.Text() == "pause"
		s.mu.Unlock()
	}
	stop()
	g.Wait()
	return nil
}

// edge is one box, over all its lives.
type edge struct {
	t     *testing.T
	order edgeOrder
	box   wire.BoxID
	id    *identity.Identity
	on    *netlab.Host // nil: this machine's own loopback

	cmd   *exec.Cmd
	in    io.WriteCloser
	done  chan struct{}
	mu    sync.Mutex
	heard edgeReport
}

func (e *edge) start() {
	e.t.Helper()
	order, err := json.Marshal(e.order)
	if err != nil {
		e.t.Fatal(err)
	}
	cmd := child(e.t, e.on, roleEdge, e.order.Dir, string(order))
	out, err := cmd.StdoutPipe()
	if err != nil {
		e.t.Fatal(err)
	}
	if e.in, err = cmd.StdinPipe(); err != nil {
		e.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	done := make(chan struct{})
	e.cmd, e.done = cmd, done
	go func() {
		defer close(done)
		for in := bufio.NewScanner(out); in.Scan(); {
			var r edgeReport
			if json.Unmarshal(in.Bytes(), &r) == nil {
				e.mu.Lock()
				e.heard = r
				e.mu.Unlock()
			}
		}
		_ = cmd.Wait()
	}()
}

func (e *edge) report() edgeReport {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.heard
}

func (e *edge) pause(on bool) {
	word := "count\n"
	if on {
		word = "pause\n"
	}
	_, _ = io.WriteString(e.in, word)
}

// kill ends the process as a power cut of the box's service would, and reads
// from its outbox what it had committed: what was counted after that is lost,
// and no frame ever said it.
func (e *edge) kill() {
	e.t.Helper()
	_ = e.cmd.Process.Kill()
	<-e.done
	o := e.open()
	defer o.Close()
	var committed uint64
	err := o.Update(func(s *outbox.State) error {
		committed = s.Counters[wire.SignalingOffers]
		for id, times := range ledger {
			if s.Counters[id] != committed*times {
				e.t.Errorf("%s: the outbox has %v, which is of no one moment", e.box, s.Counters)
			}
		}
		return nil
	})
	if err != nil {
		e.t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if committed < e.heard.Committed {
		e.t.Errorf("%s: %d were committed before the kill, %d after it", e.box, e.heard.Committed, committed)
	}
	e.order.Base = committed
	e.heard = edgeReport{Counted: committed, Committed: committed}
}

func (e *edge) open() *outbox.Outbox {
	e.t.Helper()
	o, err := outbox.Open(outbox.Config{Dir: e.order.Dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		e.t.Fatal(err)
	}
	if o.Recovered() != "" {
		e.t.Errorf("%s: the outbox was begun anew: %s", e.box, o.Recovered())
	}
	return o
}

func (e *edge) log() string {
	return filepath.Join(filepath.Dir(e.order.Dir), filepath.Base(e.order.Dir)+".log")
}
