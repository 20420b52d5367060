package room

import (
	"fmt"
	"strings"
)

const maxNameBytes = 64

// ValidName returns nil for a name that a room may have, else an *InvalidError:
// 1 to 64 bytes of ASCII letters, digits, "-", "_", "." and "/", with no part
// between slashes empty, "." or "..", which no URL would carry unchanged.
func ValidName(name string) error {
	invalid := func(want string) error {
		return &InvalidError{Field: "name", Got: quote(name), Want: want}
	}
	if name == "" || len(name) > maxNameBytes {
		return invalid(fmt.Sprintf("1 to %d bytes", maxNameBytes))
	}
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("-_./", c) < 0 {
			return invalid(fmt.Sprintf(`ASCII letters, digits, "-", "_", "." and "/" (byte %d is not)`, i+1))
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "":
			return invalid(`no "/" at either end nor two in a row`)
		case ".", "..":
			return invalid(`no part between slashes to be "." or ".."`)
		}
	}
	return nil
}

// MatchName reports whether name fits pattern, in which "*" stands for any run
// of characters, slashes included, and every other character for itself.
func MatchName(pattern, name string) bool {
	star, resume := -1, 0 // the last star seen, and the name's end it has swallowed up to
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0: // let the last star swallow one more
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
