//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// values are what the rounds gave for one contestant in one row.
type values struct {
	cost    []float64 // nanoseconds of the server's core per packet delivered
	process []float64 // of that, charged to the process
	rate    []float64 // packets delivered per second
	loss    []float64 // share of the packets sent
	busy    []float64 // share of the core that the server used
	others  []float64 // share of the core that something else used
}

// errStarved is returned when a server had none of its core for a whole
// measurement, on a machine that has too much else to do.
var errStarved = errors.New("no packet arrived")

const warmTime = 300 * time.Millisecond

// measure is one contestant in one cell, once, or again, for twice as long each
// time, if it was starved.
func (b *bench) measure(ctx context.Context, c contestant, cell cell) (t traffic, err error) {
	lasts := b.lasts
	for range 5 {
		if t, err = b.measureOnce(ctx, c, cell, lasts); !errors.Is(err, errStarved) {
			break
		}
		lasts *= 2
	}
	return t, err
}

func (b *bench) measureOnce(ctx context.Context, c contestant, cell cell, lasts time.Duration) (t traffic, err error) {
	s, err := b.start(ctx, c)
	if err != nil {
		return t, err
	}
	defer func() {
		if err != nil {
			err = s.failed(err)
		} else {
			err = s.stop()
		}
	}()
	l, err := newLoad(b.lab, cell)
	if err != nil {
		return t, err
	}
	defer l.close()
	if err := l.openFlows(ctx, c, cell); err != nil {
		return t, err
	}
	if err := l.watch(); err != nil {
		return t, err
	}
	m, err := newMeter(b.serverCore, s.cmd.Process.Pid)
	if err != nil {
		return t, err
	}
	runtime.GC() // there is none by itself
	stopProfile := func() error { return nil }
	t, err = l.measure(ctx, m, warmTime, lasts, func() { stopProfile = b.profile(ctx, c, cell) })
	if profileErr := stopProfile(); err == nil {
		err = profileErr
	}
	if err == nil && t.delivered == 0 {
		err = fmt.Errorf("%w, of %d", errStarved, t.sent)
	}
	return t, err
}

// add notes one measurement.
func (v *values) add(t traffic) {
	delivered, took := float64(t.delivered), t.use.took.Seconds()
	v.cost = append(v.cost, float64(t.use.server)/delivered)
	v.process = append(v.process, float64(t.use.process)/delivered)
	v.rate = append(v.rate, delivered/took)
	v.loss = append(v.loss, 1-float64(t.received)/float64(t.sent))
	v.busy = append(v.busy, t.use.server.Seconds()/took)
	v.others = append(v.others, t.use.others.Seconds()/took)
}
