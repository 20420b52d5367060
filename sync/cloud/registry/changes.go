package registry

import "sync"

// Change says that a record is another than before.
type Change struct {
	Kind     string // KindSite and so on, or that of a NewTable
	Key      string // without the kind
	Gone     bool
	Revision uint64
}

// Changes are the changes since the last Take. Several of one record are one, so
// that a reader who is slow misses none and costs no more than the records there are.
type Changes struct {
	registry *Registry
	ready    chan struct{}

	mu      sync.Mutex
	pending map[[2]string]Change
	order   [][2]string
}

// Changes begins to collect. Close it when it is no longer read.
func (r *Registry) Changes() *Changes {
	c := &Changes{registry: r, ready: make(chan struct{}, 1), pending: make(map[[2]string]Change)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.readers[c] = struct{}{}
	return c
}

// Ready gets a value when there is something to Take.
func (c *Changes) Ready() <-chan struct{} { return c.ready }

// Take returns what has changed, in the order in which each first did.
func (c *Changes) Take() []Change {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Change, 0, len(c.order))
	for _, at := range c.order {
		out = append(out, c.pending[at])
	}
	clear(c.pending)
	c.order = c.order[:0]
	return out
}

// Close ends the collecting.
func (c *Changes) Close() {
	c.registry.mu.Lock()
	defer c.registry.mu.Unlock()
	delete(c.registry.readers, c)
}

func (c *Changes) add(change Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := [2]string{change.Kind, change.Key}
	if _, ok := c.pending[at]; !ok {
		c.order = append(c.order, at)
	}
	c.pending[at] = change
	select {
	case c.ready <- struct{}{}:
	default:
	}
}

// tellLocked is called with the registry's lock held, after the change.
func (r *Registry) tellLocked(change Change) {
	for c := range r.readers {
		c.add(change)
	}
}
