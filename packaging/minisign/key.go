// Package minisign reads, checks and makes signatures in the format of minisign
// (https://jedisct1.github.io/minisign/): Ed25519 over the file, or over its
// BLAKE2b-512, and once more over the signature with its trusted comment.
package minisign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// The two algorithms, as they stand before keys and signatures.
const (
	algorithmLegacy    = "Ed" // over the file itself; also what keys begin with
	algorithmPrehashed = "ED" // over the BLAKE2b-512 of the file
)

// KeyID tells keys apart. It is a random number and proves nothing.
type KeyID [8]byte

// String is the id as minisign shows it.
func (id KeyID) String() string { return fmt.Sprintf("%016X", binary.LittleEndian.Uint64(id[:])) }

// PublicKey checks signatures.
type PublicKey struct {
	ID  KeyID
	Key ed25519.PublicKey
}

// ParsePublicKey reads a key file of minisign, or the one line of it that counts.
func ParsePublicKey(text string) (PublicKey, error) {
	raw, err := decodeLast(text, 2+8+ed25519.PublicKeySize)
	if err != nil {
		return PublicKey{}, fmt.Errorf("public key: %w", err)
	}
	if string(raw[:2]) != algorithmLegacy {
		return PublicKey{}, fmt.Errorf("public key: got algorithm %q, want %q", raw[:2], algorithmLegacy)
	}
	return PublicKey{ID: KeyID(raw[2:10]), Key: ed25519.PublicKey(raw[10:])}, nil
}

// String is the key on one line, as ParsePublicKey and minisign -P take it.
func (k PublicKey) String() string {
	return base64.StdEncoding.EncodeToString(joined([]byte(algorithmLegacy), k.ID[:], k.Key))
}

// File is the content of a key file.
func (k PublicKey) File() string {
	return fmt.Sprintf("untrusted comment: minisign public key %s\n%s\n", k.ID, k)
}

// SecretKey makes signatures. It prints as [redacted].
type SecretKey struct {
	id  KeyID
	key ed25519.PrivateKey
}

// GenerateKey makes a key from the randomness of the operating system.
func GenerateKey() SecretKey {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	k := SecretKey{key: key}
	_, _ = rand.Read(k.id[:]) // never fails
	return k
}

// A secret key file: what is before the id, and where its parts end.
const (
	secretHeadBytes = 2 + 2 + 2 + 32 + 8 + 8 // algorithms of key, password and checksum, salt, limits
	secretBytes     = secretHeadBytes + 8 + ed25519.PrivateKeySize + blake2b.Size256
)

// ParseSecretKey reads a secret key file that has no password (minisign -G -W):
// a build has nobody who could type one.
func ParseSecretKey(text string) (SecretKey, error) {
	raw, err := decodeLast(text, secretBytes)
	if err != nil {
		return SecretKey{}, fmt.Errorf("secret key: %w", err)
	}
	if string(raw[:2]) != algorithmLegacy {
		return SecretKey{}, fmt.Errorf("secret key: got algorithm %q, want %q", raw[:2], algorithmLegacy)
	}
	if raw[2] != 0 || raw[3] != 0 {
		return SecretKey{}, errors.New("secret key: it has a password; take that off a copy with minisign -C -W")
	}
	rest := raw[secretHeadBytes:]
	id, key, sum := rest[:8], rest[8:8+ed25519.PrivateKeySize], rest[8+ed25519.PrivateKeySize:]
	if want := secretSum(id, key); !bytes.Equal(sum, want) && !bytes.Equal(sum, make([]byte, len(sum))) {
		return SecretKey{}, errors.New("secret key: its checksum does not fit; take the file from a good copy")
	}
	return SecretKey{id: KeyID(id), key: ed25519.PrivateKey(key)}, nil
}

// File is the content of a secret key file without a password.
func (k SecretKey) File() string {
	raw := make([]byte, secretHeadBytes, secretBytes)
	copy(raw, algorithmLegacy)
	copy(raw[4:], "B2")
	raw = append(raw, joined(k.id[:], k.key, secretSum(k.id[:], k.key))...)
	return fmt.Sprintf("untrusted comment: minisign secret key %s\n%s\n", k.id, base64.StdEncoding.EncodeToString(raw))
}

// Public is the half that may be known.
func (k SecretKey) Public() PublicKey {
	public, _ := k.key.Public().(ed25519.PublicKey)
	return PublicKey{ID: k.id, Key: public}
}

// String keeps the key out of logs.
func (SecretKey) String() string { return "[redacted]" }

// GoString keeps the key out of logs.
func (SecretKey) GoString() string { return "[redacted]" }

func secretSum(id, key []byte) []byte {
	sum := blake2b.Sum256(joined([]byte(algorithmLegacy), id, key))
	return sum[:]
}

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// decodeLast decodes the last line of text, which must be size bytes in base64.
// Lines before it are comments.
func decodeLast(text string, size int) ([]byte, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	line := strings.TrimSpace(lines[len(lines)-1])
	raw, err := base64.StdEncoding.DecodeString(line)
	if err != nil || len(raw) != size {
		return nil, fmt.Errorf("got %q, want %d bytes in base64, as minisign writes them", shorten(line), size)
	}
	return raw, nil
}

// shorten keeps a message readable when somebody names the wrong file, and a
// secret out of it.
func shorten(line string) string {
	if len(line) > 12 {
		return line[:12] + "…"
	}
	return line
}
