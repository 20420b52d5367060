package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// parser takes tokens apart and checks signatures. Claims are checked here, for
// messages with values in them. Strict decoding leaves one spelling per token.
var parser = jwt.NewParser(jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation())

// Verify turns a token into an identity, or wraps exactly one of the errors
// above. The algorithm is taken from the issuer's keys and only compared with
// the token's header, so a token cannot choose how it is verified. Expiry
// follows the box's clock, with Leeway.
func (a *Authority) Verify(token string) (Identity, error) {
	if len(token) > MaxTokenBytes {
		return Identity{}, fmt.Errorf("%w: %d bytes, want at most %d", ErrMalformed, len(token), MaxTokenBytes)
	}
	var (
		iss     *issuer
		c       claims
		rights  Rights
		refused error // the library wraps what the lookup returns; ours is clearer bare
	)
	raw := jwt.MapClaims{}
	_, err := parser.ParseWithClaims(token, raw, func(t *jwt.Token) (any, error) {
		var keys jwt.VerificationKeySet
		iss, c, rights, keys, refused = a.lookUp(raw, t.Header)
		return keys, refused
	})
	switch {
	case refused != nil:
		return Identity{}, refused
	case err != nil:
		return Identity{}, translate(err)
	}
	if !c.isFor(iss.audience) {
		return Identity{}, fmt.Errorf("%w: for %q, want %q", ErrAudience, c.audience, iss.audience)
	}
	if err := c.timely(time.Now()); err != nil {
		return Identity{}, err
	}
	id := iss.identity(c, rights)
	if err := checkSubject(id.Subject); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if a.IsRevoked(id) {
		return Identity{}, fmt.Errorf("%w: subject %q", ErrRevoked, id.Subject)
	}
	if iss.own {
		a.sawIssued(c.issued)
	}
	return id, nil
}

// lookUp reads claims that are not believed yet and gives the issuer they name
// and the keys that may have signed them.
func (a *Authority) lookUp(raw jwt.MapClaims, header map[string]any) (
	iss *issuer, c claims, rights Rights, keys jwt.VerificationKeySet, err error,
) {
	if c, err = parseClaims(raw); err != nil {
		return nil, c, 0, keys, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if rights, err = ParseRights(c.rights); err != nil {
		return nil, c, 0, keys, fmt.Errorf("%w: claim rights: %w", ErrMalformed, err)
	}
	if iss = a.issuers[c.issuer]; iss == nil {
		return nil, c, 0, keys, fmt.Errorf("%w: %q", ErrIssuer, c.issuer)
	}
	keys, err = iss.header(header)
	return iss, c, rights, keys, err
}

// header checks a token's header and gives the keys that may have signed it.
func (i *issuer) header(h map[string]any) (keys jwt.VerificationKeySet, err error) {
	if _, has := h["crit"]; has { // RFC 7515 §4.1.11: what is not understood is refused
		return keys, fmt.Errorf("%w: header crit names extensions, none is supported", ErrMalformed)
	}
	typ, err := optional(h, "typ")
	if err != nil {
		return keys, err
	}
	if !i.typed(typ) {
		return keys, fmt.Errorf("%w: header typ is %q, not that of a device token", ErrMalformed, typ)
	}
	kid, err := optional(h, "kid")
	if err != nil {
		return keys, err
	}
	alg, _ := h["alg"].(string) // the parser has found its method by it
	return i.choose(alg, kid)
}

func optional(h map[string]any, name string) (string, error) {
	value, has := h[name]
	text, ok := value.(string)
	if has && !ok {
		return "", fmt.Errorf("%w: header %s is %s, want a string", ErrMalformed, name, kind(value))
	}
	return text, nil
}

// translate turns the library's errors into ours.
func translate(err error) error {
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return fmt.Errorf("%w: want three base64url parts, the first two of them JSON objects", ErrMalformed)
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return ErrSignature
	default: // no alg, or none the library knows
		return fmt.Errorf("%w: header alg is missing or unknown", ErrAlgorithm)
	}
}
