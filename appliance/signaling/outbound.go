package signaling

import (
	"errors"
	"os"
	"sync"
	"syscall"
	"time"
)

// The outbound path. No goroutine waits per connection. Whoever has queued
// frames for a socket flushes it: the frames are gathered into one buffer and
// written with one non-blocking call. Only when the kernel does not take them
// (a slow reader, or TLS, which cannot be written without blocking) a
// goroutine is lent to that socket until its queue is empty, with a deadline.

const (
	gatherBytes = 64 << 10 // one write carries at most about this much
	softMax     = 4096     // frames waiting on the soft lane
	softBytes   = 4 << 20
	softFew     = 8 // so many are searched through one by one
)

// softItem is a frame of the soft lane, or a WebSocket control frame. It goes
// out after the control frame with seq after, so that both lanes keep order.
type softItem struct {
	key   string
	after uint64
	op    byte
	body  []byte
}

var gatherPool = sync.Pool{New: func() any { b := make([]byte, 0, 4096); return &b }}

// softLocked queues a soft frame; false when the lane is full. Session.mu held.
func (c *Conn) softLocked(key string, body []byte) bool {
	return c.softItemLocked(softItem{key: key, op: opText, body: body})
}

// softItemLocked appends an item. One of the same key is taken back, and not
// replaced where it stands: what has been queued since may build on it.
func (c *Conn) softItemLocked(item softItem) bool {
	keyed := item.key != "" && item.key != snapshotKey
	if keyed {
		if old := c.softFind(item.key); old != nil {
			c.softBytes -= len(old.body)
			*old = softItem{after: old.after}
			c.srv.count(&c.srv.drops.conflated)
		}
	}
	if item.key != snapshotKey {
		if len(c.soft) >= softMax || c.softBytes+len(item.body) > softBytes {
			return false
		}
		c.softBytes += len(item.body)
	}
	item.after = c.sess.log.next() - 1
	c.soft = append(c.soft, item)
	if keyed && (c.softAt != nil || len(c.soft) > softFew) {
		c.softIndexLocked()
	}
	return true
}

// softFind finds the item of a key that waits on the soft lane.
func (c *Conn) softFind(key string) *softItem {
	if c.softAt != nil {
		if at, ok := c.softAt[key]; ok {
			return &c.soft[at-c.softGone]
		}
		return nil
	}
	for i := range c.soft {
		if c.soft[i].key == key {
			return &c.soft[i]
		}
	}
	return nil
}

// softIndexLocked indexes the last item, or all of them when it is the first to be.
func (c *Conn) softIndexLocked() {
	first := len(c.soft) - 1
	if c.softAt == nil {
		c.softAt, first = make(map[string]int), 0
	}
	for i := first; i < len(c.soft); i++ {
		if key := c.soft[i].key; key != "" && key != snapshotKey {
			c.softAt[key] = c.softGone + i
		}
	}
}

// softDoneLocked forgets the first n items, which have been written.
func (c *Conn) softDoneLocked(n int) {
	if n == 0 {
		return
	}
	for i := range c.soft[:n] {
		item := &c.soft[i]
		if at, ok := c.softAt[item.key]; ok && at == c.softGone+i {
			delete(c.softAt, item.key)
		}
		if item.key != snapshotKey {
			c.softBytes -= len(item.body)
		}
		*item = softItem{}
	}
	c.softGone += n
	if c.soft = c.soft[n:]; len(c.soft) == 0 {
		c.soft, c.softAt = nil, nil
	}
}

// append appends the item's WebSocket frame; nothing for one taken back.
func (i *softItem) append(b []byte, ack func() uint64) []byte {
	switch {
	case i.body == nil && i.key == "":
		return b
	case i.op == opText:
		return appendFrame(b, 0, ack(), i.body)
	}
	return append(appendHeader(b, i.op, len(i.body)), i.body...)
}

// flush writes what is queued for the socket, unless somebody is at it
// already, who then takes the new frames along. It does not block.
func (c *Conn) flush() {
	s := c.sess
	s.mu.Lock()
	if c.flushing || c.dead {
		s.mu.Unlock()
		return
	}
	c.flushing = true
	bp := gatherPool.Get().(*[]byte)
	for {
		buf := c.gatherLocked((*bp)[:0])
		if len(buf) == 0 {
			c.flushing = false
			s.mu.Unlock()
			break
		}
		s.mu.Unlock()
		*bp = buf
		n, err := c.tryWrite(buf)
		if err != nil {
			c.fail()
			s.mu.Lock()
			c.flushing = false
			s.mu.Unlock()
			break
		}
		if n < len(buf) {
			c.srv.writers.Go(func() { c.drain(bp, n) })
			return
		}
		s.mu.Lock()
	}
	recycle(bp)
}

func recycle(bp *[]byte) {
	if cap(*bp) <= 2*gatherBytes {
		gatherPool.Put(bp)
	}
}

// drain writes the rest of the buffer and all that is queued meanwhile,
// waiting for the peer no longer than the write time-out.
func (c *Conn) drain(bp *[]byte, n int) {
	defer recycle(bp)
	s := c.sess
	buf := (*bp)[n:]
	for len(buf) > 0 {
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.srv.cfg.WriteTimeout))
		n, err := c.nc.Write(buf)
		if n > 0 && c.raw != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			buf = buf[n:] // slow, but it moves; over TLS a write cannot be continued
			continue
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				c.srv.count(&c.srv.drops.slow)
				c.setReason("slow")
			}
			c.fail()
			s.mu.Lock()
			c.flushing = false
			s.mu.Unlock()
			return
		}
		s.mu.Lock()
		*bp = c.gatherLocked((*bp)[:0])
		buf = *bp
		if len(buf) == 0 {
			_ = c.nc.SetWriteDeadline(time.Time{})
			c.flushing = false
		}
		s.mu.Unlock()
	}
}

// gatherLocked appends the WebSocket frames that are due, in order, up to
// about gatherBytes, and moves the cursor past them. Session.mu is held.
func (c *Conn) gatherLocked(b []byte) []byte {
	s := c.sess
	if c.dead {
		return b
	}
	if c.farewell != nil {
		b = append(b, c.farewell...)
		c.farewell, c.dead = nil, true
		c.lingerLocked()
		return b
	}
	ack := func() uint64 {
		if s.committed == c.acked {
			return 0
		}
		c.acked = s.committed
		return s.committed
	}
	soft := 0
	c.cursor = max(c.cursor, s.log.acked+1) // what was acknowledged before it was sent again is not
	for len(b) < gatherBytes {
		if soft < len(c.soft) && c.soft[soft].after < c.cursor {
			b = c.soft[soft].append(b, ack)
			soft++
			continue
		}
		if c.cursor >= s.log.next() {
			break
		}
		b = appendFrame(b, c.cursor, ack(), s.log.at(c.cursor).body)
		c.cursor++
	}
	c.softDoneLocked(soft)
	if len(b) == 0 && s.committed != c.acked {
		var small [40]byte
		n := append(small[:0], `"type":"ack"}`...)
		b = appendFrame(b, 0, ack(), n)
	}
	return b
}

// tryWrite writes without blocking and tells how much the kernel took. Over
// TLS it takes nothing, and the caller lends a goroutine.
func (c *Conn) tryWrite(b []byte) (int, error) {
	if c.raw == nil {
		return 0, nil
	}
	c.out = b
	err := c.raw.Write(c.writeFD)
	c.out = nil
	if err != nil {
		return 0, err
	}
	return c.wrote, c.writeErr
}

// writeOnce is the body of tryWrite's system call. Always true: never wait.
func (c *Conn) writeOnce(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), c.out)
		switch {
		case err == nil:
			c.wrote, c.writeErr = n, nil
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			c.wrote, c.writeErr = 0, nil
		default:
			c.wrote, c.writeErr = 0, err
		}
		return true
	}
}
