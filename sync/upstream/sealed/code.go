package sealed

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// A recovery code is what a box's sealed backups can be opened with: 40
// characters of Crockford's base 32 in eight groups, for paper. They hold the
// box's id (50 bits, behind six that are 0), for the new disk to know whose
// backups to ask for, 128 random bits, and a 16-bit check that tells a slip of
// the pen from the code of another box.
const (
	codeChars   = 40
	codeGroup   = 5
	codeBytes   = codeChars * 5 / 8
	boxBytes    = 7
	secretBytes = 16
	maxCodeText = 200

	boxChars = 10
)

const crockfordDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

var (
	crockford = base32.NewEncoding(crockfordDigits).WithPadding(base32.NoPadding)
	boxDigits = "abcdefghijklmnopqrstuvwxyz234567" // of a box's id, see store.BoxID
)

// Code is a recovery code. The zero value is none. It does not print itself.
type Code struct {
	box    string
	secret [secretBytes]byte
}

// NewCode makes the code of a box, whose id has 10 characters of a-z and 2-7.
func NewCode(box string) (Code, error) {
	if _, err := packBox(box); err != nil {
		return Code{}, err
	}
	c := Code{box: box}
	_, _ = rand.Read(c.secret[:]) // never fails, by its contract
	return c, nil
}

// Box is the id of the box whose code it is.
func (c Code) Box() string { return c.box }

// IsZero tells whether it is none.
func (c Code) IsZero() bool { return c.box == "" }

// Equal tells whether both open the same, in constant time.
func (c Code) Equal(other Code) bool {
	return c.box == other.box && subtle.ConstantTimeCompare(c.secret[:], other.secret[:]) == 1
}

// String keeps the code out of logs.
func (c Code) String() string { return "[redacted]" }

// Format keeps it out of every verb of fmt.
func (c Code) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(c.String())) }

// LogValue keeps it out of slog.
func (c Code) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Text is the code as people write it down.
func (c Code) Text() string {
	box, err := packBox(c.box)
	if err != nil {
		return "" // the zero value
	}
	raw := append(box[:], c.secret[:]...)
	check := codeCheck(raw)
	chars := crockford.EncodeToString(append(raw, check[:]...))
	var b strings.Builder
	for i := 0; i < codeChars; i += codeGroup {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(chars[i : i+codeGroup])
	}
	return b.String()
}

// ParseCode reads a code as people type it: in any case, with spaces or dashes
// anywhere, O for 0, I and L for 1. The error does not tell the code.
func ParseCode(text string) (Code, error) {
	if len(text) > maxCodeText {
		return Code{}, fmt.Errorf("recovery code: got %d bytes, want %d characters in groups of %d", len(text), codeChars, codeGroup)
	}
	chars := make([]byte, 0, codeChars)
	for _, r := range strings.ToUpper(text) {
		switch r {
		case '-', ' ', '\t', '\r', '\n':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		if r > 'Z' || !strings.ContainsRune(crockfordDigits, r) {
			return Code{}, fmt.Errorf("recovery code: it holds %q, want letters (without U) and digits", r)
		}
		chars = append(chars, byte(r))
	}
	if len(chars) != codeChars {
		return Code{}, fmt.Errorf("recovery code: got %d characters, want %d", len(chars), codeChars)
	}
	raw, err := crockford.DecodeString(string(chars))
	if err != nil {
		return Code{}, fmt.Errorf("recovery code: %w", err)
	}
	body := raw[:boxBytes+secretBytes]
	if check := codeCheck(body); subtle.ConstantTimeCompare(check[:], raw[len(body):codeBytes]) != 1 {
		return Code{}, errors.New("recovery code: it is mistyped, its last characters do not match the rest")
	}
	box, err := unpackBox([boxBytes]byte(body))
	if err != nil {
		return Code{}, err
	}
	return Code{box: box, secret: [secretBytes]byte(body[boxBytes:])}, nil
}

func codeCheck(body []byte) [2]byte {
	sum := sha256.Sum256(append([]byte("signalbox recovery code check 1"), body...))
	return [2]byte{sum[0], sum[1]}
}

func packBox(id string) (out [boxBytes]byte, err error) {
	if len(id) != boxChars {
		return out, fmt.Errorf("recovery code: got box id %.80q, want %d characters of a-z and 2-7", id, boxChars)
	}
	var bits uint64
	for _, r := range id {
		digit := strings.IndexRune(boxDigits, r)
		if digit < 0 {
			return out, fmt.Errorf("recovery code: got box id %.80q, want %d characters of a-z and 2-7", id, boxChars)
		}
		bits = bits<<5 | uint64(digit)
	}
	for i := range out {
		out[i] = byte(bits >> (8 * (boxBytes - 1 - i)))
	}
	return out, nil
}

func unpackBox(in [boxBytes]byte) (string, error) {
	var bits uint64
	for _, b := range in {
		bits = bits<<8 | uint64(b)
	}
	if bits>>(boxChars*5) != 0 {
		return "", errors.New("recovery code: it is of a newer version of Signalbox; update this one")
	}
	id := make([]byte, boxChars)
	for i := range id {
		id[i] = boxDigits[bits>>(5*(boxChars-1-i))&31]
	}
	return string(id), nil
}
