//go:build linux

package main

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

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
	firstPort    = 1024
	lastPort     = 65535
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
	sockets := make(chan net.Conn)
	g.Go(func() error { return b.dial(ctx, sockets) })
	user := c.login()
	for range setupClients {
		g.Go(func() error { return b.setUpAndDown(ctx, user, sockets, &made) })
	}
	u, n, err := b.meterSetups(ctx, m, &made)
	stop()
	if workErr := g.Wait(); workErr != nil && !errors.Is(workErr, context.Canceled) {
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
	for end := time.Now().Add(patience); made.Load() < setupClients && time.Now().Before(end); {
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return u, 0, err
		}
	}
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

// dial hands out sockets until ctx ends, each on a port that was not used
// before: pion ends a new allocation when its port comes back too soon, and
// coturn refuses it.
func (b *bench) dial(ctx context.Context, sockets chan<- net.Conn) error {
	return b.lab.client.do(func() error {
		for port := firstPort; ; port++ {
			if port > lastPort {
				port = firstPort
			}
			dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(clientAddr, uint16(port)))}
			socket, err := dialer.DialContext(ctx, "udp4", serverListen.String())
			if err != nil {
				return err
			}
			select {
			case sockets <- socket:
			case <-ctx.Done():
				socket.Close()
				return nil
			}
		}
	})
}

// setUpAndDown makes allocations until ctx ends.
func (b *bench) setUpAndDown(ctx context.Context, user login, sockets <-chan net.Conn, made *atomic.Int64) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case socket := <-sockets:
			err := makeAndEnd(&controlClient{conn: socket, login: user})
			socket.Close()
			if err != nil {
				return err
			}
			made.Add(1)
		}
	}
}

func makeAndEnd(c *controlClient) error {
	if _, err := c.allocate(); err != nil {
		return err
	}
	if err := c.permit(netip.AddrPortFrom(peerAddr, 9)); err != nil {
		return err
	}
	return c.free()
}
