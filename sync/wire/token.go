package wire

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"fmt"
	"log/slog"
	"strings"
)

// A join token is an id, which travels, 128 random bits, which never do, and a
// byte that tells a slip of the finger from a token that is gone. Text:
// "sbx-" and 40 characters of a-z and 2-7.
const (
	tokenPrefix   = "sbx-"
	tokenIDBytes  = 8
	tokenKeyBytes = 16
	tokenChars    = 40
)

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// JoinToken lets boxes join a site. It prints as its id alone.
type JoinToken struct {
	id     [tokenIDBytes]byte
	secret [tokenKeyBytes]byte
}

// NewJoinToken makes one that nobody can guess.
func NewJoinToken() JoinToken {
	var t JoinToken
	_, _ = rand.Read(t.id[:]) // never fails, by its contract
	_, _ = rand.Read(t.secret[:])
	return t
}

// ParseJoinToken reads what Text wrote; case and space around it do not matter.
// Errors do not repeat the text, which is a secret.
func ParseJoinToken(text string) (JoinToken, error) {
	var t JoinToken
	chars, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(text)), tokenPrefix)
	if !ok || len(chars) != tokenChars {
		return t, fmt.Errorf("join token: got %d characters, want %q and %d more; copy the whole command that the cloud printed",
			len(text), tokenPrefix, tokenChars)
	}
	raw, err := base32Lower.DecodeString(chars)
	if err != nil {
		return t, fmt.Errorf("join token: has a character that is none of a-z and 2-7; copy the whole command that the cloud printed")
	}
	copy(t.id[:], raw)
	copy(t.secret[:], raw[tokenIDBytes:])
	if subtle.ConstantTimeByteEq(raw[len(raw)-1], t.check()) != 1 {
		return JoinToken{}, fmt.Errorf("join token: a character is wrong; copy the whole command that the cloud printed")
	}
	return t, nil
}

func (t JoinToken) check() byte {
	sum := sha256.Sum256(append(append([]byte("signalbox join token check"), t.id[:]...), t.secret[:]...))
	return sum[0]
}

// Text is the token as people paste it.
func (t JoinToken) Text() string {
	raw := append(append(t.id[:len(t.id):len(t.id)], t.secret[:]...), t.check())
	return tokenPrefix + base32Lower.EncodeToString(raw)
}

// ID names the token in the registry and on the wire: 13 of a-z and 2-7.
func (t JoinToken) ID() string { return base32Lower.EncodeToString(t.id[:]) }

// Key authenticates requests to join and their answers: 32 bytes, made from the
// secret, which does not follow from it.
func (t JoinToken) Key() []byte {
	key, err := hkdf.Key(sha256.New, t.secret[:], t.id[:], "signalbox join 1", sha256.Size)
	if err != nil {
		panic(err) // only for a length that is none
	}
	return key
}

// String hides the secret.
func (t JoinToken) String() string { return tokenPrefix + t.ID() + "[redacted]" }

// Format hides the secret from every verb.
func (t JoinToken) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue hides the secret.
func (t JoinToken) LogValue() slog.Value { return slog.StringValue(t.String()) }

// CheckTokenID tells whether id may be one of ID.
func CheckTokenID(id string) error {
	if raw, err := base32Lower.DecodeString(id); err != nil || base32Lower.EncodeToString(raw) != id || len(raw) != tokenIDBytes {
		return fmt.Errorf("id of a join token: got %.40q, want 13 of a-z and 2-7", id)
	}
	return nil
}
