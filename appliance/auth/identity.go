package auth

import "time"

// Identity is who a token speaks for and what it allows. It is plain data: it
// may be copied, stored as JSON and compared with a later one.
type Identity struct {
	Subject string    `json:"subject"`
	Rooms   []string  `json:"rooms"`            // patterns: * matches any run of characters
	Within  []string  `json:"within,omitempty"` // what the issuer may grant; empty does not limit
	Rights  Rights    `json:"rights"`
	Issued  time.Time `json:"issued,omitzero"`  // zero when the token does not say
	Expires time.Time `json:"expires,omitzero"` // zero: does not expire (open admission)
	TokenID string    `json:"token_id,omitempty"`
	Issuer  string    `json:"issuer,omitempty"`
}

// MayJoin reports whether the identity may join the room of that name.
func (id Identity) MayJoin(room string) bool {
	return id.Has(RightJoin) && matchAny(id.Rooms, room) && (len(id.Within) == 0 || matchAny(id.Within, room))
}

// Has reports whether the identity has every right in r.
func (id Identity) Has(r Rights) bool { return id.Rights&r == r }

// Expired reports whether the identity is no longer good at the given time,
// with the Leeway that Verify gives too.
func (id Identity) Expired(now time.Time) bool {
	return !id.Expires.IsZero() && now.Sub(id.Expires) >= Leeway
}

func matchAny(patterns []string, name string) bool {
	for _, p := range patterns {
		if match(p, name) {
			return true
		}
	}
	return false
}

// match reports whether name fits pattern, in which * stands for any run of
// characters and everything else for itself. It takes time in proportion to
// the product of both lengths at worst: on a mismatch only the last * retries.
func match(pattern, name string) bool {
	p, n := 0, 0
	star, mark := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, n
			p++
		case p < len(pattern) && pattern[p] == name[n]:
			p++
			n++
		case star >= 0:
			mark++
			p, n = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
