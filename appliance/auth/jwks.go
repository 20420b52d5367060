package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/golang-jwt/jwt/v5"
)

const (
	maxKeys    = 64
	minRSABits = 2048
	maxRSABits = 8192
)

// jwk is one key of a set (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
type jwk struct {
	Type       string          `json:"kty"`
	Use        string          `json:"use"`
	Operations []string        `json:"key_ops"`
	Algorithm  string          `json:"alg"`
	ID         string          `json:"kid"`
	Curve      string          `json:"crv"`
	X          string          `json:"x"`
	Y          string          `json:"y"`
	Modulus    string          `json:"n"`
	Exponent   string          `json:"e"`
	Private    json.RawMessage `json:"d"`
}

// parseJWKS reads a JSON Web Key Set. Keys for other purposes and of unknown
// types are passed over as RFC 7517 §5 asks; a damaged key refuses the whole
// file, since a set that lost half its keys should be noticed.
func parseJWKS(content []byte) ([]verifyKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &set); err != nil {
		return nil, fmt.Errorf("not a JSON Web Key Set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, want at most %d", len(set.Keys), maxKeys)
	}
	var keys []verifyKey
	for n, raw := range set.Keys {
		var k jwk
		err := json.Unmarshal(raw, &k)
		var key verifyKey
		if err == nil {
			key, err = k.verifyKey()
		}
		if err != nil {
			return nil, fmt.Errorf("key %d (kid %q): %w", n+1, k.ID, err)
		}
		if key.key != nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("holds no public key that verifies signatures (kty OKP, EC or RSA)")
	}
	return keys, nil
}

// verifyKey gives a key without key when the JWK is none of ours to use.
func (k jwk) verifyKey() (verifyKey, error) {
	if k.Use != "" && k.Use != "sig" || len(k.Operations) > 0 && !slices.Contains(k.Operations, "verify") {
		return verifyKey{}, nil
	}
	var public jwt.VerificationKey
	var algs []string // the first is meant when the key does not say
	var err error
	switch k.Type {
	case "OKP":
		public, algs, err = k.edwards()
	case "EC":
		public, algs, err = k.elliptic()
	case "RSA":
		public, err = k.rsa()
		algs = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	}
	if err != nil || public == nil {
		return verifyKey{}, err
	}
	if k.Private != nil {
		return verifyKey{}, errors.New("holds the private key too: put only public keys here, and make a new pair")
	}
	switch {
	case k.Algorithm == "":
		algs = algs[:1]
	case slices.Contains(algs, k.Algorithm):
		algs = []string{k.Algorithm}
	case slices.Contains(asymmetric, k.Algorithm):
		return verifyKey{}, fmt.Errorf("alg %q does not go with kty %q crv %q", k.Algorithm, k.Type, k.Curve)
	default:
		return verifyKey{}, nil // an algorithm nobody here speaks
	}
	return verifyKey{id: k.ID, algs: algs, key: public}, nil
}

func (k jwk) edwards() (jwt.VerificationKey, []string, error) {
	if k.Curve != "Ed25519" {
		return nil, nil, nil
	}
	x, err := unbase64("x", k.X)
	if err != nil {
		return nil, nil, err
	}
	if len(x) != ed25519.PublicKeySize {
		return nil, nil, fmt.Errorf("x has %d bytes, want %d", len(x), ed25519.PublicKeySize)
	}
	return ed25519.PublicKey(x), []string{algEdDSA}, nil
}

func (k jwk) elliptic() (jwt.VerificationKey, []string, error) {
	curves := map[string]struct {
		curve elliptic.Curve
		alg   string
	}{
		"P-256": {elliptic.P256(), "ES256"}, "P-384": {elliptic.P384(), "ES384"}, "P-521": {elliptic.P521(), "ES512"},
	}
	c, ok := curves[k.Curve]
	if !ok {
		return nil, nil, nil
	}
	x, errX := unbase64("x", k.X)
	y, errY := unbase64("y", k.Y)
	if err := errors.Join(errX, errY); err != nil {
		return nil, nil, err
	}
	size := (c.curve.Params().BitSize + 7) / 8
	if len(x) != size || len(y) != size { // RFC 7518 §6.2.1.2: full length, zeros included
		return nil, nil, fmt.Errorf("x and y have %d and %d bytes, want %d each", len(x), len(y), size)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(c.curve, slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil, nil, fmt.Errorf("x and y are not a point of %s", k.Curve)
	}
	return key, []string{c.alg}, nil
}

func (k jwk) rsa() (jwt.VerificationKey, error) {
	n, errN := unbase64("n", k.Modulus)
	e, errE := unbase64("e", k.Exponent)
	if err := errors.Join(errN, errE); err != nil {
		return nil, err
	}
	modulus, exponent := new(big.Int).SetBytes(n), new(big.Int).SetBytes(e)
	if bits := modulus.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil, fmt.Errorf("modulus has %d bits, want %d to %d", bits, minRSABits, maxRSABits)
	}
	if exponent.BitLen() > 31 || exponent.Bit(0) == 0 || exponent.Cmp(big.NewInt(3)) < 0 {
		return nil, fmt.Errorf("exponent is %v, want an odd number from 3 to 2^31-1", exponent)
	}
	return &rsa.PublicKey{N: modulus, E: int(exponent.Int64())}, nil
}

func unbase64(name, text string) ([]byte, error) {
	if text == "" {
		return nil, fmt.Errorf("%s is missing", name)
	}
	decoded, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not base64url: %w", name, err)
	}
	return decoded, nil
}
