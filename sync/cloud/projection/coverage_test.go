package projection

import (
	"math/rand/v2"
	"testing"
)

// TestCoverage compares with a set of every number.
func TestCoverage(t *testing.T) {
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var c coverage
		applied := map[uint64]bool{}
		for range 200 {
			if rng.IntN(40) == 0 {
				oldest := c.through + 1 + rng.Uint64N(20)
				missing := uint64(0)
				for n := c.through + 1; n < oldest; n++ {
					if !applied[n] {
						missing++
						applied[n] = true
					}
				}
				jumped := c.jumped
				c.skipTo(oldest)
				if c.jumped-jumped != missing {
					t.Fatalf("seed %d: jumped over %d, want %d", seed, c.jumped-jumped, missing)
				}
				continue
			}
			first := 1 + rng.Uint64N(300)
			s := span{first, first + rng.Uint64N(1+rng.Uint64N(30))}
			isNew := false
			for n := s.first; n <= s.last; n++ {
				isNew = isNew || !applied[n]
				applied[n] = true
			}
			if got := c.add(s); got != isNew {
				t.Fatalf("seed %d: add(%v) is %v, want %v: %+v", seed, s, got, isNew, c)
			}
			check(t, &c, applied)
		}
	}
}

func check(t *testing.T, c *coverage, applied map[uint64]bool) {
	t.Helper()
	in := func(n uint64) bool {
		if n <= c.through {
			return true
		}
		for _, s := range c.above {
			if s.first <= n && n <= s.last {
				return true
			}
		}
		return false
	}
	for n := uint64(1); n < 350; n++ {
		if in(n) != applied[n] {
			t.Fatalf("%d is %v, want %v: %+v", n, in(n), applied[n], c)
		}
	}
	at := c.through
	for _, s := range c.above {
		if s.first <= at+1 {
			t.Fatalf("ranges touch: %+v", c)
		}
		at = s.last
	}
}

// TestCoverageBound: beyond its ranges it gives up the lowest gap, and counts it.
func TestCoverageBound(t *testing.T) {
	var c coverage
	for i := range uint64(maxRanges + 10) {
		c.add(span{3 + 2*i, 3 + 2*i})
	}
	if len(c.above) != maxRanges || c.jumped != 11 {
		t.Errorf("%d ranges, %d jumped, want %d and 11", len(c.above), c.jumped, maxRanges)
	}
}
