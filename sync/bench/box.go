//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	devices = 100
	// warmUp is left out of what is measured: the join, the first connection, and
	// the first frames, which tell everything.
	warmUp = time.Minute
	day    = 24 * time.Hour
)

// box is a real one.
type box struct {
	*process
	name, data string
	cable      *cable // nil: it has not joined
	http       string
}

// newBox starts a box, on a cable to the node that it joins, or alone.
func (b *bench) newBox(ctx context.Context, dir, name string, n *node, w *cable) (*box, error) {
	x := &box{name: name, data: filepath.Join(dir, name), cable: w}
	config := filepath.Join(dir, name+".toml")
	if err := os.WriteFile(config, []byte("[discovery]\nenabled = false\n"), 0o600); err != nil {
		return nil, err
	}
	var ready struct {
		HTTP []string `json:"http"`
	}
	var err error
	program, args := w.inside(b.program, "serve", "--config", config, "--data", x.data, "--http", "127.0.0.1:0", "--https", "127.0.0.1:0", "--turn", "127.0.0.1:0", "--ready-json")
	x.process, err = launch(ctx, program, filepath.Join(dir, name+".log"), &ready, args...)
	if err != nil {
		return nil, err
	}
	x.http = ready.HTTP[0]
	if w == nil {
		return x, nil
	}
	invited, err := n.admin.Invite(ctx, name)
	if err != nil {
		return x, err
	}
	program, args = w.inside(b.program, "join", n.url, "--token", invited.Token, "--ca", invited.CA, "--data", x.data)
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return x, fmt.Errorf("join: %w: %s", err, out)
	}
	return x, nil
}

// reported is how many bytes the box has written to its outbox, as it counts: two
// boxes in use differ by more in what they write for their devices.
func (x *box) reported(ctx context.Context) (int64, error) {
	program, args := x.cable.inside("curl", "-sf", "http://"+x.http+"/metrics")
	text, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return 0, fmt.Errorf("metrics of %s: %w", x.name, err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "signalbox_upstream_written_bytes_total "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			return int64(n), err
		}
	}
	return 0, fmt.Errorf("%s counts no written reports", x.name)
}

// measureBox runs a box that has not joined, one that has and is idle, and one
// with devices, side by side, and compares.
func (b *bench) measureBox(ctx context.Context, dir string) error {
	dir = filepath.Join(dir, "cost")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	cables := map[string]*cable{}
	for i, name := range []string{"idle", "busy"} {
		w, err := newCable(ctx, i+1)
		if err != nil {
			return err
		}
		defer w.cut()
		cables[name] = w
	}
	n, err := newNode(ctx, b.program, dir, cables["idle"].near)
	if err != nil {
		return err
	}
	defer func() { n.stop() }()
	var boxes []*box
	for _, name := range []string{"alone", "idle", "busy", "alone-busy"} {
		x, err := b.newBox(ctx, dir, name, n, cables[name])
		if x != nil {
			defer x.stop()
		}
		if err != nil {
			return err
		}
		boxes = append(boxes, x)
	}
	loading, end := context.WithCancel(ctx)
	var g sync.WaitGroup
	defer func() { end(); g.Wait() }()
	for _, x := range boxes[2:] {
		g.Go(func() {
			program, args := x.cable.inside(b.program, "bench", "--url", "ws://"+x.http+"/v1/signal", "--conns", fmt.Sprint(devices),
				"--rate", "10", "--bytes", "800", "--duration", min(b.cost+10*time.Minute, time.Hour).String(), "--data", x.data)
			cmd := exec.CommandContext(loading, program, args...)
			if out, err := cmd.CombinedOutput(); loading.Err() == nil {
				fmt.Fprintf(os.Stderr, "load of %s has ended: %v\n%s", x.name, err, out)
			}
		})
	}
	sleep(ctx, warmUp)
	return b.compare(ctx, boxes)
}

// compare measures over cost less warmUp, and reckons up to a day.
func (b *bench) compare(ctx context.Context, boxes []*box) error {
	type state struct {
		usage
		wire    int64
		reports int64 // bytes written to the outbox's file
	}
	look := func() ([]state, error) {
		var all []state
		for _, x := range boxes {
			u, err := x.usage()
			if err != nil {
				return nil, err
			}
			s := state{usage: u}
			if x.cable != nil {
				if s.wire, err = x.cable.bytes(); err != nil {
					return nil, err
				}
				if s.reports, err = x.reported(ctx); err != nil {
					return nil, err
				}
			}
			all = append(all, s)
		}
		return all, nil
	}
	before, err := look()
	if err != nil {
		return err
	}
	sleep(ctx, b.cost-warmUp)
	after, err := look()
	if err != nil {
		return err
	}
	took := after[0].at.Sub(before[0].at)
	daily := func(n int64) float64 { return float64(n) / 1e6 * float64(day) / float64(took) }
	over := fmt.Sprintf(" (%s, reckoned up to a day)", took.Round(time.Second))
	idle, busy := daily(after[1].wire-before[1].wire), daily(after[2].wire-before[2].wire)
	b.check("bytes of an idle site and day, by the counters of its card"+over, fmt.Sprintf("%.2f MB", idle), "≤ 0.5 MB", idle <= 0.5)
	b.check(fmt.Sprintf("bytes of a site with %d devices and day", devices), fmt.Sprintf("%.2f MB", busy), "≤ 2 MB", busy <= 2)
	for _, pair := range []struct {
		name         string
		joined, only int
	}{{"idle", 1, 0}, {"busy", 2, 3}} {
		more := float64(after[pair.joined].rss-after[pair.only].rss) / 1e6
		b.check("memory of the link, "+pair.name+" box", fmt.Sprintf("%.1f MB (%.1f with, %.1f without)", more, float64(after[pair.joined].rss)/1e6, float64(after[pair.only].rss)/1e6), "≤ 10 MB", more <= 10)
		wrote := daily(after[pair.joined].reports - before[pair.joined].reports)
		b.check("written for the link a day, "+pair.name+" box", fmt.Sprintf("%.1f MB", wrote), "≤ 100 MB", wrote <= 100)
	}
	return nil
}
