package discovery

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

const (
	// maxBoxes bounds the cache: names cost a flooding host nothing.
	maxBoxes = 1024
	// goodbyeGrace is how long a box stays after its goodbye, so that one that
	// only restarts, or another box that answers for it, can object (RFC 6762 §10.1).
	goodbyeGrace = time.Second
)

// cache holds the boxes in sight. It belongs to one goroutine.
type cache struct {
	silence time.Duration // a box unheard for so long is gone, whatever its TTL
	boxes   map[string]*cached
	dropped int // sightings refused because the cache was full
}

// cached is one box and where it is heard. It leaves with its last place.
type cached struct {
	box   Box
	heard map[source]place
}

type place struct {
	addrs   []netip.Addr
	expires time.Time
}

func newCache(silence time.Duration) *cache {
	return &cache{silence: silence, boxes: make(map[string]*cached)}
}

// apply takes in a sighting and returns what it changes, if anything.
func (c *cache) apply(s sighting, now time.Time) (Event, bool) {
	key := strings.ToLower(s.instance)
	known := c.boxes[key]
	if known == nil && s.kind != sightPresent {
		return Event{}, false
	}
	switch s.kind {
	case sightGoodbye:
		if p, ok := known.heard[s.source]; ok && p.expires.After(now.Add(goodbyeGrace)) {
			p.expires = now.Add(goodbyeGrace)
			known.heard[s.source] = p
		}
		return Event{}, false
	case sightTXT:
		return known.replace(func(b *Box) { b.TXT = s.txt })
	}
	p := place{s.addrs, now.Add(min(s.ttl, c.silence))}
	if known != nil {
		known.heard[s.source] = p
		return known.replace(func(b *Box) { b.Host, b.Port, b.TXT = s.host, s.port, s.txt })
	}
	if len(c.boxes) >= maxBoxes {
		c.dropped++
		return Event{}, false
	}
	known = &cached{Box{Instance: s.instance}, map[source]place{s.source: p}}
	known.replace(func(b *Box) { b.Host, b.Port, b.TXT = s.host, s.port, s.txt })
	c.boxes[key] = known
	return Event{Added, known.box}, true
}

// replace changes the box and tells whether that made a difference. Events
// handed out before keep their own copy.
func (c *cached) replace(change func(*Box)) (Event, bool) {
	fresh := c.box
	change(&fresh)
	fresh.Addrs = nil
	for _, p := range c.heard {
		fresh.Addrs = append(fresh.Addrs, p.addrs...)
	}
	slices.SortFunc(fresh.Addrs, netip.Addr.Compare)
	fresh.Addrs = slices.Compact(fresh.Addrs)
	if fresh.equal(c.box) {
		return Event{}, false
	}
	c.box = fresh
	return Event{Updated, fresh}, true
}

// expire forgets the places whose time is over, and the boxes without any.
func (c *cache) expire(now time.Time) []Event {
	var events []Event
	for key, known := range c.boxes {
		forgotten := false
		for source, p := range known.heard {
			if !p.expires.After(now) {
				delete(known.heard, source)
				forgotten = true
			}
		}
		if len(known.heard) == 0 {
			delete(c.boxes, key)
			events = append(events, Event{Removed, known.box})
		} else if forgotten {
			if event, changed := known.replace(func(*Box) {}); changed {
				events = append(events, event)
			}
		}
	}
	return events
}

// next is when expire has something to do, the zero Time for never.
func (c *cache) next() time.Time {
	var first time.Time
	for _, known := range c.boxes {
		for _, p := range known.heard {
			if first.IsZero() || p.expires.Before(first) {
				first = p.expires
			}
		}
	}
	return first
}
