package main

import (
	"context"
	"fmt"
	"time"

	"signalbox/appliance/loadgen"
)

// result is what the rounds gave, one value for each.
type result struct {
	idle      memory    // with -conns connections
	crowd     memory    // with -crowd
	perSecond []float64 // messages relayed
	perCore   []float64 // messages relayed per CPU-second of the server
	busy      []float64 // share of its core that the server used for it
	p50, p99  []float64 // milliseconds
	paceCPU   []float64 // share of its core at the fixed rate
	faults    map[string]int
}

// memory is resident bytes per idle connection.
type memory struct {
	asIs []float64 // once the process has settled
	tidy []float64 // and after it was made to return its garbage
}

const (
	warmConns = 100
	warmTime  = 500 * time.Millisecond
	rampTime  = time.Second // before throughput is measured
	// settleTime is how long resident memory must not change by more than
	// settleShare to count as settled; settleMost is all the patience there is.
	settleTime  = 3 * time.Second
	settleMost  = 10 * time.Second
	settleShare = 0.005
)

// whole is one round of everything with one contestant.
func (b *bench) whole(ctx context.Context, c contestant, r *result) (err error) {
	return b.with(ctx, c, b.conns, &r.idle, func(s *server, f *loadgen.Fleet) error {
		defer r.count(f)
		if err := b.throughput(ctx, s, f, r); err != nil {
			return err
		}
		return b.latency(ctx, s, f, r)
	})
}

// crowded measures the memory of many connections.
func (b *bench) crowded(ctx context.Context, c contestant, r *result) error {
	return b.with(ctx, c, b.crowd, &r.crowd, func(_ *server, f *loadgen.Fleet) error {
		r.count(f)
		return nil
	})
}

// count adds what went wrong.
func (r *result) count(f *loadgen.Fleet) {
	if r.faults == nil {
		r.faults = map[string]int{}
	}
	for code, n := range f.Faults() {
		r.faults[code] += n
	}
}

// with starts a contestant, connects a fleet to it, notes what memory that has
// cost, and hands both to use.
func (b *bench) with(ctx context.Context, c contestant, conns int, m *memory, use func(*server, *loadgen.Fleet) error) (err error) {
	s, err := c.start(ctx, b)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = s.failed(err)
		} else {
			err = s.stop()
		}
	}()
	if err := b.warm(ctx, s); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	bare, bareTidy, err := s.memory(ctx)
	if err != nil {
		return err
	}
	f, err := connect(ctx, s, conns)
	if err != nil {
		return err
	}
	defer f.Close()
	full, fullTidy, err := s.memory(ctx)
	if err != nil {
		return err
	}
	m.asIs = append(m.asIs, (full-bare)/float64(conns))
	m.tidy = append(m.tidy, (fullTidy-bareTidy)/float64(conns))
	return use(s, f)
}

func connect(ctx context.Context, s *server, conns int) (*loadgen.Fleet, error) {
	f, err := loadgen.NewFleet(loadgen.FleetOptions{URL: s.url, Dialect: s.dialect, Conns: conns, Rooms: "bench-"})
	if err != nil {
		return nil, err
	}
	if err := f.Connect(ctx); err != nil {
		f.Close()
		return nil, fmt.Errorf("connect: %w", err)
	}
	if f.Ready() != conns {
		f.Close()
		return nil, fmt.Errorf("%d of %d clients were ready: %v", f.Ready(), conns, f.Faults())
	}
	return f, nil
}

// warm has the server use what it will use, so that its first use is not
// charged to the connections.
func (b *bench) warm(ctx context.Context, s *server) error {
	f, err := connect(ctx, s, warmConns)
	if err != nil {
		return err
	}
	defer f.Close()
	stop := f.Flood(1)
	defer stop()
	return sleep(ctx, warmTime)
}

func (b *bench) throughput(ctx context.Context, s *server, f *loadgen.Fleet, r *result) error {
	stop := f.Flood(1)
	defer stop()
	if err := sleep(ctx, rampTime); err != nil {
		return err
	}
	start, received := time.Now(), f.Received()
	used, err := s.cpu()
	if err != nil {
		return err
	}
	if err := sleep(ctx, b.flood); err != nil {
		return err
	}
	messages, took := float64(f.Received()-received), time.Since(start).Seconds()
	cpu, err := s.cpu()
	if err != nil {
		return err
	}
	seconds := (cpu - used).Seconds()
	r.perSecond = append(r.perSecond, messages/took)
	r.perCore = append(r.perCore, messages/seconds)
	r.busy = append(r.busy, seconds/took)
	return nil
}

func (b *bench) latency(ctx context.Context, s *server, f *loadgen.Fleet, r *result) error {
	if err := f.Pace(ctx, b.rate, warmTime); err != nil {
		return err
	}
	f.TakeLatency()
	used, err := s.cpu()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := f.Pace(ctx, b.rate, b.pace); err != nil {
		return err
	}
	cpu, err := s.cpu()
	if err != nil {
		return err
	}
	l := f.TakeLatency()
	if want := b.rate * b.pace.Seconds(); float64(l.Count()) < 0.98*want {
		return fmt.Errorf("%d messages came in time, want about %.0f", l.Count(), want)
	}
	r.p50 = append(r.p50, milliseconds(l.Quantile(0.5)))
	r.p99 = append(r.p99, milliseconds(l.Quantile(0.99)))
	r.paceCPU = append(r.paceCPU, (cpu-used).Seconds()/time.Since(start).Seconds())
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// memory is what the server holds, as it is and after it was made to return
// its garbage.
func (s *server) memory(ctx context.Context) (asIs, tidy float64, err error) {
	if asIs, err = s.settled(ctx, settleTime); err != nil || s.tidy == nil {
		return asIs, asIs, err
	}
	if err = s.tidy(); err != nil {
		return 0, 0, err
	}
	tidy, err = s.settled(ctx, settleTime/3)
	return asIs, tidy, err
}

// settled gives the resident memory of the server once it has stopped changing.
func (s *server) settled(ctx context.Context, calm time.Duration) (float64, error) {
	const poll = 100 * time.Millisecond
	since, reference := time.Now(), 0.0
	for end := time.Now().Add(settleMost); ; {
		now, err := s.resident()
		if err != nil {
			return 0, err
		}
		if now > reference*(1+settleShare) || now < reference*(1-settleShare) {
			since, reference = time.Now(), now
		}
		if time.Since(since) >= calm || time.Now().After(end) {
			return now, nil
		}
		if err := sleep(ctx, poll); err != nil {
			return 0, err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
