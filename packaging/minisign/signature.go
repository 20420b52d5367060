package minisign

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/blake2b"
)

// Suffix of the file beside FILE that has its signature.
const Suffix = ".minisig"

// maxLegacyBytes bounds a file with a signature over the file itself, which
// has to be in memory as a whole.
const maxLegacyBytes = 256 << 20

// ErrKeyID is returned for a signature by another key than the one at hand.
var ErrKeyID = errors.New("signed with another key")

// ErrSignature is returned when the file is not what was signed.
var ErrSignature = errors.New("the signature does not fit: the file or its signature has been changed")

// Signature is the content of a .minisig file.
type Signature struct {
	Prehashed bool // over the BLAKE2b-512 of the file
	KeyID     KeyID
	// TrustedComment is covered by the signature, once Verify has said so.
	TrustedComment string

	sum, global []byte
}

// The beginnings of the two comment lines.
const (
	untrustedPrefix = "untrusted comment: "
	trustedPrefix   = "trusted comment: "
)

// ParseSignature reads a .minisig file.
func ParseSignature(text string) (Signature, error) {
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n"), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], untrustedPrefix) || !strings.HasPrefix(lines[2], trustedPrefix) {
		return Signature{}, fmt.Errorf("signature: got %d lines that begin with %q, want the 4 lines of a file of minisign",
			len(lines), shorten(lines[0]))
	}
	raw, err := decodeLast(lines[1], 2+8+ed25519.SignatureSize)
	if err != nil {
		return Signature{}, fmt.Errorf("signature: line 2: %w", err)
	}
	global, err := decodeLast(lines[3], ed25519.SignatureSize)
	if err != nil {
		return Signature{}, fmt.Errorf("signature: line 4: %w", err)
	}
	s := Signature{
		KeyID: KeyID(raw[2:10]), TrustedComment: strings.TrimPrefix(lines[2], trustedPrefix),
		sum: raw[10:], global: global,
	}
	switch algorithm := string(raw[:2]); algorithm {
	case algorithmPrehashed:
		s.Prehashed = true
	case algorithmLegacy:
	default:
		return Signature{}, fmt.Errorf("signature: got algorithm %q, want %q or %q", algorithm, algorithmPrehashed, algorithmLegacy)
	}
	return s, nil
}

// Verify checks that the whole of file was signed with k, and the trusted
// comment with it. The error is ErrKeyID, ErrSignature, or one of reading file.
func (k PublicKey) Verify(file io.Reader, s Signature) error {
	if s.KeyID != k.ID {
		return fmt.Errorf("%w: %s, not %s", ErrKeyID, s.KeyID, k.ID)
	}
	message, err := digest(file, s.Prehashed)
	if err != nil {
		return err
	}
	if !ed25519.Verify(k.Key, message, s.sum) {
		return ErrSignature
	}
	if !ed25519.Verify(k.Key, joined(s.sum, []byte(s.TrustedComment)), s.global) {
		return fmt.Errorf("%w (its trusted comment)", ErrSignature)
	}
	return nil
}

// Sign returns the content of a .minisig file for the whole of file, prehashed.
// The comment is covered by the signature and must be one line.
func (k SecretKey) Sign(file io.Reader, comment string) (string, error) {
	if strings.ContainsAny(comment, "\r\n") {
		return "", fmt.Errorf("sign: got comment %q, want one line", comment)
	}
	message, err := digest(file, true)
	if err != nil {
		return "", err
	}
	sum := ed25519.Sign(k.key, message)
	global := ed25519.Sign(k.key, joined(sum, []byte(comment)))
	encode := base64.StdEncoding.EncodeToString
	return untrustedPrefix + "signature from minisign secret key " + k.id.String() + "\n" +
		encode(joined([]byte(algorithmPrehashed), k.id[:], sum)) + "\n" +
		trustedPrefix + comment + "\n" +
		encode(global) + "\n", nil
}

// digest is what of file is signed.
func digest(file io.Reader, prehashed bool) ([]byte, error) {
	if prehashed {
		hash, err := blake2b.New512(nil)
		if err != nil {
			return nil, err
		}
		_, err = io.Copy(hash, file)
		return hash.Sum(nil), err
	}
	whole, err := io.ReadAll(io.LimitReader(file, maxLegacyBytes+1))
	if err == nil && len(whole) > maxLegacyBytes {
		err = fmt.Errorf("the file is over %d bytes, too large for a signature that is not prehashed; sign it with minisign -H",
			maxLegacyBytes)
	}
	return whole, err
}
