//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// memory is what the rounds gave for one contestant: resident bytes for each
// idle allocation.
type memory struct {
	asIs []float64 // once the process has settled
	tidy []float64 // and after it was made to return its garbage
}

const (
	warmAllocations = 100
	memoryRounds    = 2 // at most; it hardly varies

	// settleTime is how long resident memory must not change by more than
	// settleShare to count as settled; settleMost is all the patience there is.
	settleTime  = 500 * time.Millisecond
	settleMost  = 5 * time.Second
	settleShare = 0.005
)

// idle measures memory with as many allocations, each with one permission and
// one channel, and nothing to relay.
func (b *bench) idle(ctx context.Context, c contestant, m *memory) (err error) {
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
	// The first allocations have the server make what it makes but once.
	var warm, held idleClients
	defer warm.close()
	defer held.close()
	if err := warm.open(ctx, b, c, warmAllocations); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	before, beforeTidy, err := s.memory(ctx)
	if err != nil {
		return err
	}
	if err := held.open(ctx, b, c, b.allocations); err != nil {
		return err
	}
	after, afterTidy, err := s.memory(ctx)
	if err != nil {
		return err
	}
	m.asIs = append(m.asIs, (after-before)/float64(b.allocations))
	m.tidy = append(m.tidy, (afterTidy-beforeTidy)/float64(b.allocations))
	return nil
}

// idleClients are the sockets of clients that have allocations.
type idleClients []int

func (k *idleClients) open(ctx context.Context, b *bench, c contestant, n int) error {
	user := c.login()
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		fd, err := b.lab.client.udp(clientAddr, serverListen)
		if err != nil {
			return err
		}
		*k = append(*k, fd)
		client := &controlClient{conn: descriptor(fd), login: user}
		// No two share a peer, as in a house full of cameras.
		peer := netip.AddrPortFrom(peerAddr, uint16(10_000+i))
		if _, err := client.allocate(); err != nil {
			return fmt.Errorf("allocation %d: %w", i+1, err)
		}
		if err := client.permit(peer); err != nil {
			return fmt.Errorf("allocation %d: %w", i+1, err)
		}
		if err := client.bind(peer); err != nil {
			return fmt.Errorf("allocation %d: %w", i+1, err)
		}
	}
	return nil
}

func (k idleClients) close() {
	for _, fd := range k {
		_ = unix.Close(fd)
	}
}

// memory is what the server holds, as it is and after it was made to return
// its garbage.
func (s *server) memory(ctx context.Context) (asIs, tidy float64, err error) {
	if asIs, err = s.settled(ctx); err != nil || !s.tidies {
		return asIs, asIs, err
	}
	if err = s.tidy(); err != nil {
		return 0, 0, err
	}
	tidy, err = s.settled(ctx)
	return asIs, tidy, err
}

// settled gives the resident memory of the server once it has stopped changing.
func (s *server) settled(ctx context.Context) (float64, error) {
	const poll = 50 * time.Millisecond
	since, reference := time.Now(), 0.0
	for end := time.Now().Add(settleMost); ; {
		now, err := s.resident()
		if err != nil {
			return 0, err
		}
		if now > reference*(1+settleShare) || now < reference*(1-settleShare) {
			since, reference = time.Now(), now
		}
		if time.Since(since) >= settleTime || time.Now().After(end) {
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
