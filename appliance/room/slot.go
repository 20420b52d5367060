package room

import (
	"cmp"
	"hash/fnv"
	"slices"
)

// stampBits of a stamp tell runs apart; the rest is the Lamport clock. Stamps
// stay below 2^53 for 2^41 changes, 70 years at a thousand a second.
const (
	stampBits = 12
	maxClock  = maxNumber >> stampBits
)

// mark places one write among all others: by stamp, then by dot. A write has a
// greater mark than any it saw.
type mark struct {
	stamp uint64
	dot   Dot
}

func (m mark) compare(other mark) int {
	return cmp.Or(cmp.Compare(m.stamp, other.stamp), m.dot.Compare(other.dot))
}

// runTag is the low bits of every stamp that origin makes. They keep versions
// given by two runs apart, which the Lamport clock alone would not when both
// write in the same instant, or when one lost its latest changes in a crash.
// Two runs of one box have different tags unless 4096 others came between; two
// boxes may share one, and then only a compare-and-set notices.
func runTag(origin Origin) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(origin.Box)) // never fails
	return (h.Sum64() + origin.Incarnation) & (1<<stampBits - 1)
}

// version is what one write put into a slot.
type version[T any] struct {
	mark
	value T
}

// slot holds what the writes known here left of one thing: nothing once it is
// removed, one version as a rule, several when boxes wrote without knowing of
// each other. The version with the greatest mark comes first and is the one
// shown. A slot is never changed in place, so it may be shared.
type slot[T any] []version[T]

func single[T any](m mark, value T) slot[T] {
	return slot[T]{{mark: m, value: value}}
}

func (s slot[T]) has(d Dot) bool {
	return slices.ContainsFunc(s, func(v version[T]) bool { return v.dot == d })
}

// top is the mark of the version shown; zero when there is none.
func (s slot[T]) top() mark {
	if len(s) == 0 {
		return mark{}
	}
	return s[0].mark
}

// merge joins two copies of one slot. A version stays when both sides hold it,
// or when the side without it has not seen it: what a side has seen and does
// not hold, it has removed. It returns here itself, and false, if nothing is new.
func merge[T any](here, there slot[T], seenHere, seenThere Vector) (merged slot[T], changed bool) {
	for _, v := range here {
		if there.has(v.dot) || !seenThere.Contains(v.dot) {
			merged = append(merged, v)
		}
	}
	kept := len(merged)
	for _, v := range there {
		if !here.has(v.dot) && !seenHere.Contains(v.dot) {
			merged = append(merged, v)
		}
	}
	if kept == len(here) && len(merged) == kept {
		return here, false
	}
	slices.SortFunc(merged, func(a, b version[T]) int { return b.compare(a.mark) })
	return merged, true
}
