package wire

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
)

// ErrKeyKind is returned for a key that is neither Ed25519 nor ECDSA on P-256.
var ErrKeyKind = errors.New("want an Ed25519 key or an ECDSA key on P-256")

// CheckKey returns ErrKeyKind unless boxes may have such a key.
func CheckKey(public crypto.PublicKey) error {
	switch k := public.(type) {
	case ed25519.PublicKey:
		if len(k) == ed25519.PublicKeySize {
			return nil
		}
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return nil
		}
	}
	return fmt.Errorf("got a key of type %T, %w", public, ErrKeyKind)
}

// MarshalKey is the key's SubjectPublicKeyInfo in DER.
func MarshalKey(public crypto.PublicKey) ([]byte, error) {
	if err := CheckKey(public); err != nil {
		return nil, err
	}
	return x509.MarshalPKIXPublicKey(public)
}

// ParseKey reads what MarshalKey wrote.
func ParseKey(der []byte) (crypto.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	return public, CheckKey(public)
}

// SignMessage signs message with an Ed25519 key as it is, with an ECDSA key
// over its SHA-256, in ASN.1.
func SignMessage(key crypto.Signer, message []byte) ([]byte, error) {
	if err := CheckKey(key.Public()); err != nil {
		return nil, err
	}
	if _, ok := key.Public().(ed25519.PublicKey); ok {
		return key.Sign(rand.Reader, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return key.Sign(rand.Reader, sum[:], crypto.SHA256)
}

// VerifyMessage tells whether signature is SignMessage's of message.
func VerifyMessage(public crypto.PublicKey, message, signature []byte) bool {
	if CheckKey(public) != nil {
		return false
	}
	switch k := public.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(k, message, signature)
	case *ecdsa.PublicKey:
		sum := sha256.Sum256(message)
		return ecdsa.VerifyASN1(k, sum[:], signature)
	}
	return false
}
