package people

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// Argon2id (RFC 9106) with OWASP's parameters for sign-in servers.
const (
	argonTime    = 2
	argonMemory  = 19 << 10 // KiB
	argonThreads = 1
	saltBytes    = 16
	hashBytes    = 32
)

// hasher bounds how many passwords are hashed at once: 19 MiB each.
type hasher struct{ turns chan struct{} }

func newHasher() hasher { return hasher{make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))} }

func (h hasher) sum(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case h.turns <- struct{}{}:
		defer func() { <-h.turns }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, hashBytes), nil
}

// hash makes the text that is kept: salt and sum.
func (h hasher) hash(ctx context.Context, password string) (string, error) {
	if n := utf8.RuneCountInString(password); n < MinPassword || len(password) > MaxPassword {
		return "", fmt.Errorf("%w: password: got %d characters, want %d to %d", ErrInvalid, n, MinPassword, MaxPassword)
	}
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails, by its contract
	sum, err := h.sum(ctx, password, salt)
	if err != nil {
		return "", err
	}
	return "argon2id$" + base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(sum), nil
}

// nobody is compared with when there is no such person, so that the time does
// not tell who there is.
const nobody = "argon2id$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func (h hasher) matches(ctx context.Context, kept, password string) (bool, error) {
	known := kept != ""
	if !known {
		kept = nobody
	}
	parts := strings.Split(kept, "$")
	if len(parts) != 3 || parts[0] != "argon2id" || len(password) > MaxPassword {
		return false, nil
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[1])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[2])
	if err1 != nil || err2 != nil {
		return false, nil //nolint:nilerr // what is kept is no password of anybody
	}
	got, err := h.sum(ctx, password, salt)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

// secretText makes 160 random bits for sessions, links and keys.
func secretText() string {
	b := make([]byte, 20)
	_, _ = rand.Read(b)
	return strings.ToLower(base32.StdEncoding.EncodeToString(b))
}

// keyText makes any text a token of a subject.
func keyText(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// digest is what is kept of a secret: it has too many bits to be guessed, so a
// plain hash is enough.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
