package auth

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxSubjectBytes = 255 // as OpenID Connect bounds sub
	maxPatternBytes = 128
	maxPatterns     = 64
)

// checkSubject says what is wrong with a subject: it ends up in logs, pages and
// TURN user names, so it has to be printable.
func checkSubject(subject string) error {
	switch {
	case subject == "":
		return errors.New("subject is empty")
	case len(subject) > maxSubjectBytes:
		return fmt.Errorf("subject has %d bytes, want at most %d", len(subject), maxSubjectBytes)
	case !utf8.ValidString(subject):
		return errors.New("subject is not UTF-8")
	case strings.TrimSpace(subject) != subject:
		return errors.New("subject begins or ends with a space")
	case strings.ContainsFunc(subject, unprintable):
		return errors.New("subject has characters that do not print")
	}
	return nil
}

// checkPattern says what is wrong with a room pattern.
func checkPattern(pattern string) error {
	switch {
	case pattern == "":
		return errors.New("room pattern is empty")
	case len(pattern) > maxPatternBytes:
		return fmt.Errorf("room pattern has %d bytes, want at most %d", len(pattern), maxPatternBytes)
	case !utf8.ValidString(pattern):
		return errors.New("room pattern is not UTF-8")
	case strings.ContainsFunc(pattern, func(r rune) bool { return r == ' ' || unprintable(r) }):
		return fmt.Errorf("room pattern %q has spaces or characters that do not print", pattern)
	}
	return nil
}

func checkPatterns(patterns []string) error {
	if len(patterns) > maxPatterns {
		return fmt.Errorf("%d room patterns, want at most %d", len(patterns), maxPatterns)
	}
	for _, p := range patterns {
		if err := checkPattern(p); err != nil {
			return err
		}
	}
	return nil
}

// unprintable also holds what would reorder the text around it on a page.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }
