package signaling

import "sync"

// hands carry out what comes from sockets. To wait for a socket takes a
// goroutine of the least size; to parse and relay a frame takes a stack of two
// or four times that, which a goroutine does not give back. So a connection's
// own goroutine only waits, and has a hand do the rest: one stack of that size
// for each connection at work instead of one for each there is.
type hands struct {
	mu   sync.Mutex
	idle []*hand // the one used last, whose stack is warm, at the end
	all  sync.WaitGroup
}

// hand is a goroutine that works for one connection at a time.
type hand struct {
	job  chan *Conn
	done chan turnEnd
}

// handsIdle bounds the hands that are kept for the next connection.
const handsIdle = 64

// lend has a hand take c's turn and waits for it.
func (h *hands) lend(c *Conn) turnEnd {
	one := h.take()
	if one == nil {
		one = h.hire()
	}
	one.job <- c
	end := <-one.done
	h.put(one)
	return end
}

func (h *hands) take() *hand {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.idle)
	if n == 0 {
		return nil
	}
	one := h.idle[n-1]
	h.idle = h.idle[:n-1]
	return one
}

func (h *hands) hire() *hand {
	one := &hand{job: make(chan *Conn), done: make(chan turnEnd)}
	h.all.Go(func() {
		for c := range one.job {
			one.done <- c.turn()
		}
	})
	return one
}

func (h *hands) put(one *hand) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.idle) == handsIdle {
		close(one.job)
		return
	}
	h.idle = append(h.idle, one)
}

// dismiss lets the idle hands go and waits for them. Nobody lends any more.
func (h *hands) dismiss() {
	h.mu.Lock()
	for _, one := range h.idle {
		close(one.job)
	}
	h.idle = nil
	h.mu.Unlock()
	h.all.Wait()
}
