//go:build linux && interop

package faults_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// network is the way from edges to the cloud. It can be cut, and be a hole.
type network struct {
	listener net.Listener
	to       string
	g        sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool
	hole  time.Time // until when nothing comes through and nobody is told
}

func newNetwork(t *testing.T, to string) *network {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{listener: l, to: to, conns: map[net.Conn]bool{}}
	n.g.Go(n.accept)
	t.Cleanup(func() {
		_ = l.Close()
		n.cut()
		n.g.Wait()
	})
	return n
}

func (n *network) url() string { return "https://" + n.listener.Addr().String() }

func (n *network) accept() {
	for {
		near, err := n.listener.Accept()
		if err != nil {
			return
		}
		far, err := net.DialTimeout("tcp", n.to, time.Second)
		if err != nil {
			near.Close()
			continue
		}
		n.keep(near, true)
		n.keep(far, true)
		n.g.Go(func() { n.copy(near, far) })
		n.g.Go(func() { n.copy(far, near) })
	}
}

func (n *network) keep(c net.Conn, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if on {
		n.conns[c] = true
	} else {
		delete(n.conns, c)
	}
}

func (n *network) copy(to, from net.Conn) {
	_, _ = io.Copy(through{n, to}, from)
	for _, c := range []net.Conn{to, from} {
		_ = c.Close()
		n.keep(c, false)
	}
}

// through swallows what comes while the network is a hole; a stream of which
// something was swallowed is of no use any more.
type through struct {
	n *network
	net.Conn
}

func (w through) Write(p []byte) (int, error) {
	w.n.mu.Lock()
	swallow := time.Now().Before(w.n.hole)
	w.n.mu.Unlock()
	if swallow {
		return len(p), nil
	}
	return w.Conn.Write(p)
}

// cut ends every connection at once.
func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = c.Close()
	}
}

func (n *network) swallow(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hole = time.Now().Add(d)
}
