package auth

import (
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// claims are what a token says, checked for shape and size but not believed yet.
type claims struct {
	issuer, subject, id string
	audience            []string
	expires             time.Time
	notBefore, issued   time.Time // zero when absent
	rooms               []string  // nil when absent
	rights              []string  // nil when absent
}

// parseClaims reads a claim set strictly: names are matched exactly, where a
// struct would take "SUB" for "sub", and null is a fault, not an absence.
func parseClaims(raw jwt.MapClaims) (claims, error) {
	var c claims
	for _, field := range []struct {
		name string
		read func(any) error
	}{
		{"iss", text(&c.issuer, 512)},
		{"sub", text(&c.subject, maxSubjectBytes)},
		{"jti", text(&c.id, 256)},
		{"aud", oneOrMore(&c.audience)},
		{"exp", date(&c.expires)},
		{"nbf", date(&c.notBefore)},
		{"iat", date(&c.issued)},
		{"rooms", list(&c.rooms)},
		{"rights", list(&c.rights)},
	} {
		if value, ok := raw[field.name]; ok {
			if err := field.read(value); err != nil {
				return claims{}, fmt.Errorf("claim %s %w", field.name, err)
			}
		}
	}
	if c.expires.IsZero() {
		return claims{}, fmt.Errorf("claim exp is missing")
	}
	if err := checkSubject(c.subject); err != nil {
		return claims{}, fmt.Errorf("claim sub: %w", err)
	}
	if err := checkPatterns(c.rooms); err != nil {
		return claims{}, fmt.Errorf("claim rooms: %w", err)
	}
	return c, nil
}

func text(into *string, limit int) func(any) error {
	return func(value any) error {
		s, ok := value.(string)
		if !ok {
			return fmt.Errorf("is %s, want a string", kind(value))
		}
		if len(s) > limit {
			return fmt.Errorf("has %d bytes, want at most %d", len(s), limit)
		}
		*into = s
		return nil
	}
}

func list(into *[]string) func(any) error {
	return func(value any) error {
		items, ok := value.([]any)
		if !ok {
			return fmt.Errorf("is %s, want a list of strings", kind(value))
		}
		all := make([]string, 0, len(items))
		for _, item := range items {
			s, ok := item.(string)
			if !ok {
				return fmt.Errorf("holds %s, want strings", kind(item))
			}
			all = append(all, s)
		}
		*into = all
		return nil
	}
}

// oneOrMore reads aud, which may be one string or a list (RFC 7519 §4.1.3).
func oneOrMore(into *[]string) func(any) error {
	return func(value any) error {
		if s, ok := value.(string); ok {
			*into = []string{s}
			return nil
		}
		return list(into)(value)
	}
}

// lastSecond is the end of the year 9999, beyond which dates do not print.
const lastSecond = 253402300799

// date reads a NumericDate (RFC 7519 §2); parts of a second are dropped.
func date(into *time.Time) func(any) error {
	return func(value any) error {
		n, ok := value.(float64)
		if !ok {
			return fmt.Errorf("is %s, want seconds since 1970", kind(value))
		}
		if !(n >= 0 && n <= lastSecond) {
			return fmt.Errorf("is %v, want seconds since 1970, before the year 10000", n)
		}
		*into = time.Unix(int64(n), 0).UTC()
		return nil
	}
}

func kind(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case float64:
		return "a number"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	default:
		return "an object"
	}
}

// timely checks exp and nbf at the given time. iat is no reason to refuse (RFC
// 7519 gives it no such role): a box that lost its clock in a power cut must
// still believe the tokens it made the day before.
func (c claims) timely(now time.Time) error {
	if late := now.Sub(c.expires); late >= Leeway {
		return fmt.Errorf("%w: on %s, %v ago by the box's clock", ErrExpired, stamp(c.expires), late.Round(time.Second))
	}
	if early := c.notBefore.Sub(now); !c.notBefore.IsZero() && early > Leeway {
		return fmt.Errorf("%w: from %s on, in %v by the box's clock", ErrNotYetValid, stamp(c.notBefore), early.Round(time.Second))
	}
	return nil
}

func (c claims) isFor(audience []string) bool {
	return slices.ContainsFunc(c.audience, func(aud string) bool { return slices.Contains(audience, aud) })
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
