package projection

import (
	"cmp"
	"slices"
)

// span is a range of sequence numbers, both ends belong to it.
type span struct{ first, last uint64 }

// coverage is which frames of an incarnation have been applied: all up to
// through, and the ranges above, which ascend and do not touch.
type coverage struct {
	through uint64
	above   []span
	jumped  uint64 // sequence numbers up to through that never came
}

// add marks a frame as applied, and tells whether any of it was not yet.
func (c *coverage) add(s span) bool {
	if s.last <= c.through {
		return false
	}
	if s.first <= c.through+1 {
		c.through = s.last
		c.absorb()
		return true
	}
	i, _ := slices.BinarySearchFunc(c.above, s.first+1, func(r span, first uint64) int { return cmp.Compare(r.first, first) })
	if i > 0 && s.last <= c.above[i-1].last {
		return false
	}
	c.above = slices.Insert(c.above, i, s)
	c.join()
	if len(c.above) > maxRanges {
		c.skipTo(c.above[0].first)
	}
	return true
}

// join makes one of ranges that touch or overlap.
func (c *coverage) join() {
	kept := c.above[:1]
	for _, r := range c.above[1:] {
		if top := &kept[len(kept)-1]; r.first <= top.last+1 {
			top.last = max(top.last, r.last)
		} else {
			kept = append(kept, r)
		}
	}
	c.above = kept
}

// absorb moves through over ranges that it has reached.
func (c *coverage) absorb() {
	n := 0
	for n < len(c.above) && c.above[n].first <= c.through+1 {
		c.through = max(c.through, c.above[n].last)
		n++
	}
	c.above = slices.Delete(c.above, 0, n)
}

// skipTo gives up what is missing below oldest: it does not exist any more.
func (c *coverage) skipTo(oldest uint64) {
	if oldest == 0 || oldest-1 <= c.through {
		return
	}
	missing := oldest - 1 - c.through
	for _, r := range c.above {
		if r.first < oldest {
			missing -= min(r.last, oldest-1) - r.first + 1
		}
	}
	c.through = oldest - 1
	c.jumped += missing
	c.absorb()
}

func (e *encoder) coverage(c *coverage) {
	e.uint(c.through)
	list(e, c.above, func(e *encoder, s *span) {
		e.uint(s.first)
		e.uint(s.last - s.first)
	})
	e.uint(c.jumped)
}

func (d *decoder) coverage() (c coverage) {
	c.through = d.uint()
	c.above = unlist(d, func(d *decoder, s *span) {
		s.first = d.uint()
		s.last = s.first + d.uint()
	})
	c.jumped = d.uint()
	return c
}
