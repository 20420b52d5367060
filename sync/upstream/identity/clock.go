package identity

import (
	"sync"
	"time"
)

// trusted is how far the box's clock may be off to be used as it is.
const trusted = 2 * time.Minute

// clock tells the time on a box whose own clock may show 1970: by the cloud's
// signed word once there was one, and until then not earlier than what is known
// to have been. The zero value is ready.
type clock struct {
	mu    sync.Mutex
	floor time.Time
	guess time.Time        // not before floor, from somebody who is not known
	cloud time.Time        // what the cloud said last; zero: nothing yet
	heard time.Time        // and when, with a monotonic reading
	skew  time.Duration    // of the box's clock to the cloud's then
	wall  func() time.Time // nil: time.Now
}

func (c *clock) local() time.Time {
	if c.wall != nil {
		return c.wall()
	}
	return time.Now()
}

// atLeast notes a time that has been, by the cloud's clock.
func (c *clock) atLeast(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.floor) {
		c.floor = t
	}
}

// suppose notes a time that it may be, for a box that has nothing better. It
// holds until the next: whoever said so may have lied.
func (c *clock) suppose(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.guess = t
}

// hear notes what the cloud's clock shows.
func (c *clock) hear(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cloud, c.heard, c.skew = t, time.Now(), c.local().Sub(t)
}

// now is the best there is to tell.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	local := c.local()
	switch {
	case !c.cloud.IsZero() && c.skew.Abs() <= trusted && local.Sub(c.cloud.Add(time.Since(c.heard))).Abs() <= trusted:
		return local
	case !c.cloud.IsZero():
		return c.cloud.Add(time.Since(c.heard))
	case local.Before(c.floor) && c.guess.After(c.floor):
		return c.guess
	case local.Before(c.floor):
		return c.floor
	}
	return local
}

// behind reports whether the box's clock is surely wrong and the cloud has not
// said yet what is right.
func (c *clock) behind() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cloud.IsZero() && c.local().Before(c.floor)
}

// offset is how far the box's clock is ahead of the cloud's. ok is false until
// the cloud has been heard.
func (c *clock) offset() (skew time.Duration, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.skew, !c.cloud.IsZero()
}
