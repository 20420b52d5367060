package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// An invite code is 128 random bits and a 12-bit check, written as 28 characters
// of Crockford's base 32 in groups of four: people read it from a screen and type
// it on another. The check tells a slip of the finger from a code that is gone,
// before anybody is asked; it is made from the code and gives nothing away.
const (
	codeBytes   = 16
	codeChars   = 28
	codeGroup   = 4
	maxCodeText = 128
)

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

type code [codeBytes]byte

func newCode() code {
	var c code
	_, _ = rand.Read(c[:]) // never fails, see crypto/rand
	return c
}

// hash is the only thing kept of a code. A plain SHA-256 is enough for 128
// random bits, and a lookup by it leaks nothing about the code through timing.
func (c code) hash() string {
	sum := sha256.Sum256(c[:])
	return hex.EncodeToString(sum[:])
}

func (c code) check() [2]byte {
	sum := sha256.Sum256(append([]byte("signalbox invite check"), c[:]...))
	return [2]byte{sum[0], sum[1] & 0xf0}
}

// text writes the code in its groups.
func (c code) text() Secret {
	check := c.check()
	// 18 bytes make 29 characters; the last one holds the four zero bits.
	chars := crockford.EncodeToString(append(c[:], check[:]...))[:codeChars]
	var b strings.Builder
	for i, r := range chars {
		if i > 0 && i%codeGroup == 0 {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return Secret{b.String()}
}

// ParseCode reads an invite code as people type it: in any case, with spaces or
// dashes anywhere, O for 0, I and L for 1. It gives the code as it was printed;
// the error says what is wrong. A code that parses need not be known.
func ParseCode(text string) (Secret, error) {
	c, err := parseCode(text)
	if err != nil {
		return Secret{}, err
	}
	return c.text(), nil
}

func parseCode(text string) (code, error) {
	if len(text) > maxCodeText {
		return code{}, fmt.Errorf("invite code has %d bytes, want %d characters in groups of %d", len(text), codeChars, codeGroup)
	}
	chars := make([]byte, 0, codeChars+1)
	for _, r := range strings.ToUpper(text) {
		switch {
		case r == '-' || r == ' ':
			continue
		case r == 'O':
			r = '0'
		case r == 'I' || r == 'L':
			r = '1'
		case r > 'Z' || !strings.ContainsRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", r):
			return code{}, fmt.Errorf("invite code holds %q, want letters (without U) and digits", r)
		}
		chars = append(chars, byte(r))
	}
	if len(chars) != codeChars {
		return code{}, fmt.Errorf("invite code has %d characters, want %d", len(chars), codeChars)
	}
	raw, err := crockford.DecodeString(string(append(chars, '0')))
	if err != nil {
		return code{}, fmt.Errorf("invite code: %w", err)
	}
	c := code(raw[:codeBytes])
	if c.check() != [2]byte(raw[codeBytes:]) {
		return code{}, errors.New("invite code is mistyped: its last characters do not match the rest")
	}
	return c, nil
}
