package upstream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"signalbox/sync/wire"
)

// fill sends what may be sent. The channel tells of a new bandwidth cap.
func (c *courier) fill(ctx context.Context, now time.Time) (changed <-chan struct{}) {
	for c.stood && len(c.flights) < maxFlights && !now.Before(c.hold) {
		under := 0
		for _, f := range c.flights {
			if !f.acked {
				under += f.bytes
			}
		}
		var wait time.Duration
		if wait, changed = c.meter.bucket.credit(); wait > 0 {
			c.credit = now.Add(wait)
			return changed
		}
		if under >= c.window {
			return nil
		}
		sent, more, err := c.sendNext(ctx, now, c.meter.bucket.most(min(batchBytes, c.window)))
		if err != nil {
			c.trouble(err)
			c.hold = now.Add(c.cfg.paced(holdFirst))
			return nil
		}
		if !sent {
			return nil
		}
		if more { // one of many boxes that catch up: others want to get through, too
			c.hold = now.Add(c.cfg.paced(drainPause/2 + rand.N(drainPause)))
		}
	}
	return nil
}

// sendNext sends one batch of at most so many bytes of frames. more tells that
// the box has a lot to catch up.
func (c *courier) sendNext(ctx context.Context, now time.Time, bytes int) (sent, more bool, err error) {
	p := c.frames.Position()
	if p.newest <= c.next || p.oldest > p.newest {
		return false, false, nil
	}
	list, err := c.frames.After(c.next, wire.MaxBatchFrames, bytes)
	// A frame that is being committed can be read before it counts as the newest.
	// The cloud must not know of more than the outbox says of itself.
	list = slices.DeleteFunc(list, func(f *wire.Frame) bool { return f.GetLast() > p.newest })
	if err != nil || len(list) == 0 {
		return false, false, err
	}
	signer, err := c.signer()
	if err != nil {
		return false, false, err
	}
	data, err := wire.EncodeBatch(signer, c.body(p, list, now))
	if err != nil && len(list) > 1 { // one of them is at fault: each by itself
		list = list[:1]
		data, err = wire.EncodeBatch(signer, c.body(p, list, now))
	}
	if err != nil { // the cloud would refuse it; the next one holds its totals
		c.next = list[0].GetLast()
		return false, false, fmt.Errorf("frame %d cannot be sent and is left out: %w", c.next, err)
	}
	f := flight{first: list[0].GetFirst(), last: list[len(list)-1].GetLast(), bytes: len(data), at: now}
	id := fmt.Sprintf("%s-%d", c.box.MsgID(p.incarnation, f.first), f.last)
	if c.attempt > 0 {
		id += fmt.Sprintf("-%d.%d", now.Unix(), c.attempt)
	}
	if err := c.way.send(ctx, &parcel{last: f.last, id: id, data: data}); err != nil {
		return false, false, err
	}
	c.next = f.last
	c.flights = append(c.flights, f)
	return true, p.newest-f.last > backlog, nil
}

func (c *courier) takeReceipt(r *receipt, now time.Time) {
	if r.err != nil {
		c.trouble(r.err)
		c.rewind(c.frames.Position().applied)
		c.hold = now.Add(c.cfg.paced(holdFirst/2 + rand.N(min(holdFirst<<c.refused, holdMost))))
		c.refused = min(c.refused+1, 8)
		return
	}
	c.refused, c.lost, c.mute = 0, 0, time.Time{}
	for i := range c.flights {
		f := &c.flights[i]
		if f.last != r.last || f.acked {
			continue
		}
		f.acked = true
		switch took := now.Sub(f.at); {
		case took < quickAck:
			c.window = min(c.window+f.bytes, mostWindow)
		case took > slowAck:
			c.window = max(c.window/2, leastWindow)
		}
	}
}

// errUnanswered is what is wrong when the stream is there and has no leader.
var errUnanswered = errors.New("the cloud's stream does not take what the box sends: it is sent again")

// unanswered sends what has no ack again. What the stream has all the same it
// knows by its id.
func (c *courier) unanswered() {
	if c.mute.IsZero() {
		for _, f := range c.flights {
			if !f.acked {
				c.mute = f.at
				break
			}
		}
	}
	c.lost++
	c.trouble(errUnanswered)
	c.rewind(c.frames.Position().applied)
	c.window = max(c.window/2, leastWindow)
}

// applied takes note of a watermark.
func (c *courier) applied(incarnation, seq uint64) {
	if err := c.frames.Applied(incarnation, seq); err != nil {
		c.trouble(err)
		return
	}
	for len(c.flights) > 0 && c.flights[0].last <= seq {
		c.flights = c.flights[1:]
		c.stale = 0
	}
	c.next = max(c.next, seq)
}

// rewind has everything after seq sent again.
func (c *courier) rewind(seq uint64) {
	kept := c.flights[:0]
	for _, f := range c.flights {
		if f.last <= seq {
			kept = append(kept, f)
		}
	}
	c.flights, c.next = kept, seq
	c.window = min(c.window, firstWindow)
}
