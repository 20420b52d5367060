// Package order sorts lists that a person or a report asked for.
//
// slices.SortFunc is compiled anew for each type of element, at 15 to 30 KB of
// program; with forty types that was a megabyte. Here one sort serves them all
// and moves elements by reflection: slower, which a list of some hundred does
// not show. What sorts for every message or frame uses package slices.
package order

import "sort"

// By sorts list by compare, in which negative means that a comes before b.
// Equal elements may change places.
func By[T any](list []T, compare func(a, b T) int) {
	sort.Slice(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}

// StableBy is By that leaves equal elements in the order they had.
func StableBy[T any](list []T, compare func(a, b T) int) {
	sort.SliceStable(list, func(i, j int) bool { return compare(list[i], list[j]) < 0 })
}
