// Package spelling guesses what somebody meant who mistyped a name.
package spelling

import "strings"

// Nearest finds the candidate that a person who typed got most likely meant:
// one of which no more than a third of the letters change, else the only one
// that begins like it. It is "" when there is none.
func Nearest(got string, candidates []string) string {
	const longest = 64 // nobody mistypes more; keeps hostile input cheap
	if len(got) > longest {
		return ""
	}
	got = strings.ToLower(got)
	best, fewest := "", max(1, len(got)/3)+1
	for _, c := range candidates {
		if n := distance(got, strings.ToLower(c)); n < fewest {
			best, fewest = c, n
		}
	}
	if best != "" || len(got) < 3 {
		return best
	}
	for _, c := range candidates {
		if strings.HasPrefix(strings.ToLower(c), got) {
			if best != "" {
				return ""
			}
			best = c
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to make a into b (optimal string alignment).
func distance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
