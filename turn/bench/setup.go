//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// setups is what the rounds gave for one contestant.
type setups struct {
	rate []float64 // allocations per second
	cost []float64 // nanoseconds of the server's core for each
	busy []float64 // share of the core that the server used
}

// setupClients make allocations at the same time, each one after the other.
const (
	setupClients = 32
	setupPorts   = 16 // of each client
)

// setup measures how fast allocations are made: challenge, Allocate,
// CreatePermission, and the Refresh that ends it, so that it could go on for
// ever.
func (b *bench) setup(ctx context.Context, c contestant, into *setups) (err error) {
	s, err := b.start(ctx, c)
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
	m, err := newMeter(b.serverCore, s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var made atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range setupClients {
		g.Go(func() error { return b.setUpAndDown(ctx, c, &made) })
	}
	u, n, err := b.meterSetups(ctx, m, &made)
	stop()
	if workErr := g.Wait(); workErr != nil {
		err = workErr
	}
	if err != nil {
		return err
	}
	into.rate = append(into.rate, float64(n)/u.took.Seconds())
	into.cost = append(into.cost, float64(u.server)/float64(n))
	into.busy = append(into.busy, u.server.Seconds()/u.took.Seconds())
	return nil
}

func (b *bench) meterSetups(ctx context.Context, m *meter, made *atomic.Int64) (u usage, n int64, err error) {
	if err := sleep(ctx, warmTime); err != nil {
		return u, 0, err
	}
	before, err := m.read()
	if err != nil {
		return u, 0, err
	}
	n = made.Load()
	if err := sleep(ctx, b.lasts); err != nil {
		return u, 0, err
	}
	after, err := m.read()
	return after.since(before), max(1, made.Load()-n), err
}

// setUpAndDown makes allocations until ctx ends, from one port after the other:
// pion ends what has just been made when the same port comes back at once.
func (b *bench) setUpAndDown(ctx context.Context, c contestant, made *atomic.Int64) error {
	sockets := make([]*net.UDPConn, setupPorts)
	err := b.lab.client.do(func() (err error) {
		for i := range sockets {
			sockets[i], err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(serverListen))
			if err != nil {
				return err
			}
		}
		return nil
	})
	for _, socket := range sockets {
		if socket != nil {
			defer socket.Close()
		}
	}
	if err != nil {
		return err
	}
	peer, user := netip.AddrPortFrom(peerAddr, 9), c.login()
	for n := 0; ctx.Err() == nil; n++ {
		client := &controlClient{conn: sockets[n%setupPorts], login: user}
		_, err := client.allocate()
		if err == nil {
			err = client.permit(peer)
		}
		if err == nil {
			err = client.free()
		}
		if err != nil {
			return fmt.Errorf("allocation %d of a client: %w", n+1, err)
		}
		made.Add(1)
	}
	return nil
}

var _ conn = (*net.UDPConn)(nil)
