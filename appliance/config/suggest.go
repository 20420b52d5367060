package config

import (
	"slices"
	"strings"

	"signalbox/internal/spelling"
)

// hint ends the report of an unknown name: with what was likely meant, or else
// with what there is.
func hint(got string, known []string) string {
	if meant := spelling.Nearest(got, known); meant != "" {
		return "did you mean " + meant + "?"
	}
	return "known here: " + strings.Join(slices.Sorted(slices.Values(known)), ", ")
}
