package order_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"signalbox/internal/order"
)

type entry struct{ key, at int }

func byKey(a, b entry) int { return cmp.Compare(a.key, b.key) }

// shuffled has n entries with keys that repeat; at is the place of each.
func shuffled(n int) []entry {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	list := make([]entry, n)
	for i := range list {
		list[i] = entry{key: random.IntN(n/3 + 1), at: i}
	}
	return list
}

func TestBy(t *testing.T) {
	for _, n := range []int{0, 1, 2, 11, 13, 200} {
		list := shuffled(n)
		want := slices.Clone(list)
		order.By(list, byKey)
		if !slices.IsSortedFunc(list, byKey) {
			t.Errorf("%d entries: got %v, not in order", n, list)
		}
		whole := func(a, b entry) int { return cmp.Or(byKey(a, b), cmp.Compare(a.at, b.at)) }
		slices.SortFunc(list, whole)
		slices.SortFunc(want, whole)
		if !slices.Equal(list, want) {
			t.Errorf("%d entries: got %v, want the same entries %v", n, list, want)
		}
	}
}

func TestStableBy(t *testing.T) {
	for _, n := range []int{0, 1, 2, 19, 21, 200} {
		got := shuffled(n)
		want := slices.Clone(got)
		order.StableBy(got, byKey)
		slices.SortStableFunc(want, byKey)
		if !slices.Equal(got, want) {
			t.Errorf("%d entries: got %v, want %v", n, got, want)
		}
	}
}
