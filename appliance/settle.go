package appliance

import (
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A client whose connection was accepted in the last moment should get its
// answer: http.Server.Shutdown drops a request that it reads after it was called,
// and the port for HTTPS what has not finished its handshake. So the box stops
// accepting first, and what comes then waits in the socket for the next start
// where a service manager holds that.
const (
	settleTime = 150 * time.Millisecond // for handshakes and first requests that are on their way
	settleMost = 750 * time.Millisecond // until each connection has sent its first request
	settleLook = 10 * time.Millisecond
)

// door is a listener that can stop accepting without being closed.
type door struct {
	net.Listener
	crowd  *crowd
	shut   atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func newDoor(l net.Listener, c *crowd) *door {
	return &door{Listener: l, crowd: c, closed: make(chan struct{})}
}

// Accept returns no error after stop and before Close.
func (d *door) Accept() (net.Conn, error) {
	for {
		conn, err := d.Listener.Accept()
		if err != nil && d.shut.Load() {
			<-d.closed
			return nil, net.ErrClosed
		}
		if err != nil {
			return nil, err
		}
		if conn = d.crowd.enter(conn); conn != nil {
			return conn, nil
		}
	}
}

// stop lets nobody in any more.
func (d *door) stop() {
	d.shut.Store(true)
	_ = d.Listener.Close()
}

func (d *door) Close() error {
	err := net.ErrClosed
	d.once.Do(func() {
		close(d.closed)
		if err = nil; !d.shut.Load() {
			err = d.Listener.Close()
		}
	})
	return err
}

// newcomers counts the connections of a server that have not sent anything.
type newcomers struct {
	mu  sync.Mutex
	all map[net.Conn]bool
}

func (n *newcomers) note(conn net.Conn, state http.ConnState) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if state == http.StateNew {
		if n.all == nil {
			n.all = map[net.Conn]bool{}
		}
		n.all[conn] = true
		return
	}
	delete(n.all, conn)
}

func (n *newcomers) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.all)
}

// settle waits for those who were let in last.
func (n *newcomers) settle() {
	time.Sleep(settleTime)
	for waited := settleTime; waited < settleMost && n.count() > 0; waited += settleLook {
		time.Sleep(settleLook)
	}
}
