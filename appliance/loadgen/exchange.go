package loadgen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gorilla/websocket"
)

// Acknowledge after so many frames or so long, whichever comes first.
const (
	ackFrames = 32
	ackTime   = 100 * time.Millisecond
)

// frame handles one frame from the box.
func (c *Client) frame(ctx context.Context, ws *websocket.Conn, f Frame, acks *time.Timer) error {
	c.mu.Lock()
	if f.Type == "welcome" {
		err := c.welcomeLocked(ws, f)
		c.mu.Unlock()
		if err != nil {
			return err
		}
		return c.emit(ctx, f)
	}
	c.ackedLocked(f.Ack)
	if f.Seq > 0 {
		switch {
		case f.Seq <= c.in:
			c.mu.Unlock()
			return nil
		case f.Seq != c.in+1:
			c.counts.Gaps++
			c.mu.Unlock()
			return fmt.Errorf("got seq %d, want %d", f.Seq, c.in+1)
		}
		c.in = f.Seq
		if due := c.in - c.inAcked; due >= ackFrames {
			c.ackLocked(ws)
		} else if due == 1 {
			acks.Reset(ackTime)
		}
		if f.MID > 0 && c.repeatedLocked(f) {
			c.counts.Repeats++
			c.mu.Unlock()
			return nil
		}
	}
	switch f.Type {
	case "ping":
		_ = c.write(ws, fmt.Appendf(nil, `{"type":"pong","t":%d}`, f.T))
		c.mu.Unlock()
		return nil
	case "ack":
		c.mu.Unlock()
		return nil
	}
	c.mu.Unlock()
	return c.emit(ctx, f)
}

func (c *Client) repeatedLocked(f Frame) bool {
	w := c.seen[f.From]
	if w == nil {
		w = &midWindow{size: c.window, known: make(map[uint64]bool)}
		c.seen[f.From] = w
	}
	return w.repeated(f.MID)
}

func (c *Client) emit(ctx context.Context, f Frame) error {
	select {
	case c.frames <- f:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// welcomeLocked takes up the session and sends again what was not accepted.
func (c *Client) welcomeLocked(ws *websocket.Conn, f Frame) error {
	c.counts.Connects++
	if f.Resumed {
		c.counts.Resumes++
	} else {
		if c.session != "" {
			c.counts.Reset++
			c.counts.Resets = append(c.counts.Resets, f.Reason)
		}
		c.in, c.inAcked, c.next, c.unacked = 0, 0, 1, nil
		c.seen = make(map[string]*midWindow)
	}
	c.session, c.resume, c.ws = f.Session, f.Resume, ws
	_ = json.Unmarshal(f.Member, &c.member)
	c.window = f.Limits.UnackedFrames
	c.deadTime = time.Duration(f.DeadMS) * time.Millisecond
	c.inAcked = c.in
	c.ackedLocked(f.Ack)
	for _, s := range c.unacked {
		if err := c.write(ws, s.frame); err != nil {
			return err
		}
	}
	return nil
}

// ackedLocked drops what the box has made safe.
func (c *Client) ackedLocked(ack uint64) {
	n := 0
	for n < len(c.unacked) && c.unacked[n].seq <= ack {
		n++
	}
	if n > 0 {
		c.unacked = append(c.unacked[:0:0], c.unacked[n:]...)
		c.free.Broadcast()
	}
}

func (c *Client) sendAck(ws *websocket.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws == ws {
		c.ackLocked(ws)
	}
}

func (c *Client) ackLocked(ws *websocket.Conn) {
	if c.in > c.inAcked && c.write(ws, fmt.Appendf(nil, `{"type":"ack","ack":%d}`, c.in)) == nil {
		c.inAcked = c.in
	}
}

// ErrClosed: the client has ended.
var ErrClosed = errors.New("client has ended")

// Send sends a sequenced frame, now or after the next resume, waiting while
// the window is full. It returns the seq.
func (c *Client) Send(s Send) (uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.unacked) >= c.window && !c.closed {
		c.free.Wait()
	}
	if c.closed {
		return 0, ErrClosed
	}
	s.Seq = c.next
	b, err := json.Marshal(s)
	if err != nil {
		return 0, err
	}
	c.next++
	c.unacked = append(c.unacked, sent{s.Seq, b})
	if c.ws != nil {
		_ = c.write(c.ws, b) // a cut socket is no error: the frame goes out after the resume
	}
	return s.Seq, nil
}

// SendNow sends a frame without seq on the present socket.
func (c *Client) SendNow(s Send) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws == nil {
		return ErrClosed
	}
	s.Seq = 0
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return c.write(c.ws, b)
}

// Cut closes the present socket without a word, as a lost Wi-Fi would.
func (c *Client) Cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ws != nil {
		_ = c.ws.NetConn().Close()
	}
}

// Close ends the session in good order, and with it Run.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
	if c.ws != nil {
		_ = c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	}
}

// Await reads frames until one satisfies want.
func (c *Client) Await(ctx context.Context, want func(Frame) bool) (Frame, error) {
	for {
		select {
		case f, ok := <-c.frames:
			if !ok {
				return Frame{}, ErrClosed
			}
			if want(f) {
				return f, nil
			}
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// AwaitType reads frames until one of that type.
func (c *Client) AwaitType(ctx context.Context, name string) (Frame, error) {
	f, err := c.Await(ctx, func(f Frame) bool { return f.Type == name })
	if err != nil {
		err = fmt.Errorf("waiting for a %s frame: %w", name, err)
	}
	return f, err
}
