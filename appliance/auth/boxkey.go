package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

const pemPrivateKey = "PRIVATE KEY"

// NewBoxKey makes the box's Ed25519 key in the form to be stored, PKCS #8 in
// PEM, which openssl reads too.
func NewBoxKey() ([]byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	return EncodeBoxKey(key)
}

// EncodeBoxKey writes key as NewBoxKey does.
func EncodeBoxKey(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPrivateKey, Bytes: der}), nil
}

// ParseBoxKey reads what NewBoxKey made.
func ParseBoxKey(encoded []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(encoded)
	if block == nil || block.Type != pemPrivateKey {
		return nil, errors.New("box key is not a PEM private key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("box key: %w", err)
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("box key is %T, want Ed25519", parsed)
	}
	return key, nil
}

// JWKS is the box's public key as a JSON Web Key Set (RFC 7517), for services
// that check the box's tokens themselves.
func (a *Authority) JWKS() []byte {
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "OKP", "crv": "Ed25519", "alg": algEdDSA, "use": "sig",
		"kid": a.keyID, "x": base64.RawURLEncoding.EncodeToString(a.key.Public().(ed25519.PublicKey)),
	}}})
	if err != nil {
		panic(err) // maps of strings always encode
	}
	return set
}

// thumbprint names a public key by its content (RFC 7638 §3 with the members
// RFC 8037 §2 requires), so that a kid never points at another key.
func thumbprint(key ed25519.PublicKey) string {
	x := base64.RawURLEncoding.EncodeToString(key)
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + x + `"}`))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
