package signaling_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
)

// hole is a network path that can stop passing anything, both ways and without
// a word, as when a forklift leaves the Wi-Fi.
type hole struct {
	to string

	mu     sync.Mutex
	passes bool
	change *sync.Cond
	conns  []net.Conn
	pipes  sync.WaitGroup
}

func newHole(t *testing.T, to string) *hole {
	h := &hole{to: to, passes: true}
	h.change = sync.NewCond(&h.mu)
	t.Cleanup(func() {
		h.open(true)
		h.mu.Lock()
		for _, c := range h.conns {
			_ = c.Close()
		}
		h.mu.Unlock()
		h.pipes.Wait()
	})
	return h
}

func (h *hole) open(passes bool) {
	h.mu.Lock()
	h.passes = passes
	h.change.Broadcast()
	h.mu.Unlock()
}

func (h *hole) wait() {
	h.mu.Lock()
	for !h.passes {
		h.change.Wait()
	}
	h.mu.Unlock()
}

func (h *hole) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	h.wait()
	var d net.Dialer
	out, err := d.DialContext(ctx, network, h.to)
	if err != nil {
		return nil, err
	}
	near, far := net.Pipe()
	h.mu.Lock()
	h.conns = append(h.conns, out, near, far)
	h.mu.Unlock()
	h.pipes.Go(func() { h.copy(out, far) })
	h.pipes.Go(func() { h.copy(far, out) })
	return near, nil
}

func (h *hole) copy(to io.WriteCloser, from io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		h.wait()
		if err != nil {
			_ = to.Close()
			return
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
