package loadgen

import (
	"bytes"
	"context"
	"time"
)

// Sent and Received count messages since the start.
func (f *Fleet) Sent() uint64     { return f.sent.Load() }
func (f *Fleet) Received() uint64 { return f.received.Load() }

// TakeLatency gives the times from send to receive since it was last called.
func (f *Fleet) TakeLatency() *Latency { return f.latency.Swap(new(Latency)) }

var stampName = []byte(`"t":"`)

// arrived counts a message and tells whether it is to be answered.
func (f *Fleet) arrived(frame []byte) (answer bool) {
	f.received.Add(1)
	if i := bytes.Index(frame, stampName); i >= 0 && len(frame) >= i+len(stampName)+stampDigits {
		stamp := int64(0)
		for _, digit := range frame[i+len(stampName):][:stampDigits] {
			stamp = stamp*10 + int64(digit-'0')
		}
		f.latency.Load().Add(time.Since(f.zero) - time.Duration(stamp))
	}
	return f.flooding.Load()
}

// Flood has every client send inFlight messages, and one more for each it
// gets: as many as the server can carry. It ends with stop, which waits for
// messages under way.
func (f *Fleet) Flood(inFlight int) (stop func()) {
	f.flooding.Store(true)
	for _, c := range f.conns {
		_ = c.send(inFlight) // the reader sees what is wrong with the socket
	}
	return func() {
		f.flooding.Store(false)
		for _, c := range f.conns {
			c.mu.Lock()
			c.owed = 0
			c.mu.Unlock()
		}
		f.quiet(context.Background())
	}
}

// Pace has the clients in turn send rate messages a second together, for d or
// until ctx ends, whatever becomes of them, and waits for those under way.
func (f *Fleet) Pace(ctx context.Context, rate float64, d time.Duration) error {
	p, err := newPacer(rate)
	if err != nil {
		return err
	}
	defer p.close()
	end := time.Now().Add(d)
	for at := 0; time.Now().Before(end) && ctx.Err() == nil; {
		due, err := p.wait()
		if err != nil {
			return err
		}
		for range due {
			f.one(at)
			at++
		}
	}
	f.quiet(ctx)
	return ctx.Err()
}

// one sends the message with this number. Partners are not neighbours in the
// list, so that a message rarely meets one of the other direction.
func (f *Fleet) one(at int) {
	c := f.conns[at%len(f.conns)]
	c.mu.Lock()
	sent, err := c.message()
	c.mu.Unlock()
	if !sent && err == nil {
		f.fault("window full")
	}
}

// quiet waits until nothing is under way any more.
func (f *Fleet) quiet(ctx context.Context) {
	f.await(ctx, quietTime, func() bool { return f.Received() >= f.Sent() })
}

// await polls until done, at most so long.
func (f *Fleet) await(ctx context.Context, most time.Duration, done func() bool) {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for end := time.Now().Add(most); !done() && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		}
	}
}
