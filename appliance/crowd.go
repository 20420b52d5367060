package appliance

import (
	"container/list"
	"context"
	"net"
	"net/http"
	"sync"

	"golang.org/x/sys/unix"
)

// crowd bounds the connections on all ports for HTTP together, so that strangers
// who open them and say nothing cannot use up the descriptors that the relay, the
// store and the watchdog's check need. When it is full the one that has waited
// longest without a request under way makes room: those who do ask wait for
// moments only, wherever the others come from.
type crowd struct {
	mu      sync.Mutex
	most    int
	open    int
	waiting list.List // of *guest, the longest first
	asking  int       // requests under way
	dropped uint64    // connections that had to make room, or found none
}

// crowdMost leaves a quarter of the process's descriptors for everything else.
func crowdMost() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 1 << 10
	}
	return int(min(limit.Cur, 1<<24) / 4 * 3)
}

// guest is a connection that is counted. It is listed among the waiting only
// between requests: what has become a socket for signaling, or TURN over TLS, has
// limits of its own and does not make room.
type guest struct {
	*net.TCPConn
	crowd *crowd
	once  sync.Once

	// Guarded by crowd.mu.
	place *list.Element // among the waiting, or nil
	busy  int           // requests under way: HTTP/2 has several
	gone  bool          // closed or taken over
}

// enter counts a connection that was accepted; nil when it was closed at once,
// as nobody could make room for it.
func (c *crowd) enter(conn net.Conn) net.Conn {
	tcp, ok := conn.(*net.TCPConn)
	if !ok { // a socket of the service manager that only this machine can reach
		return conn
	}
	c.mu.Lock()
	var out *guest
	full := c.open >= c.most
	if full {
		c.dropped++
		if first := c.waiting.Front(); first != nil {
			out = first.Value.(*guest)
			c.unlistLocked(out)
			out.gone = true
		}
	}
	if out != nil || !full {
		c.open++
	}
	c.mu.Unlock()
	if out != nil {
		_ = out.Close()
	} else if full {
		_ = conn.Close()
		return nil
	}
	return &guest{TCPConn: tcp, crowd: c}
}

// Close makes room.
func (g *guest) Close() error {
	err := g.TCPConn.Close()
	g.once.Do(func() {
		g.crowd.mu.Lock()
		defer g.crowd.mu.Unlock()
		g.crowd.unlistLocked(g)
		g.gone = true
		g.crowd.open--
	})
	return err
}

func (c *crowd) unlistLocked(g *guest) {
	if g.place != nil {
		c.waiting.Remove(g.place)
		g.place = nil
	}
}

// listLocked has g wait from now on.
func (c *crowd) listLocked(g *guest) {
	if g.gone || g.busy > 0 {
		return
	}
	c.unlistLocked(g)
	g.place = c.waiting.PushBack(g)
}

// guestOf finds the counted connection below TLS; nil when there is none.
func guestOf(conn net.Conn) *guest {
	for {
		if g, ok := conn.(*guest); ok {
			return g
		}
		upper, ok := conn.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		conn = upper.NetConn()
	}
}

// note follows a server's connections (http.Server.ConnState).
func (c *crowd) note(conn net.Conn, state http.ConnState) {
	g := guestOf(conn)
	if g == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew, http.StateIdle:
		c.listLocked(g)
	case http.StateHijacked:
		g.gone = true
		c.unlistLocked(g)
	}
}

type guestKey struct{}

// introduce has handlers know the connection (http.Server.ConnContext).
func introduce(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, guestKey{}, guestOf(conn))
}

// attend keeps connections with a request under way from making room.
func (c *crowd) attend(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if g, _ := r.Context().Value(guestKey{}).(*guest); g != nil {
			c.work(g, 1)
			defer c.work(g, -1)
		}
		h.ServeHTTP(w, r)
	})
}

func (c *crowd) work(g *guest, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asking += n
	g.busy += n
	if g.busy > 0 {
		c.unlistLocked(g)
	} else {
		c.listLocked(g)
	}
}

// count is how many connections are open, how many requests are under way on
// them, and how many connections were dropped.
func (c *crowd) count() (open, asking int, dropped uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open, c.asking, c.dropped
}
