package auth

import (
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
)

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func TestParseJWKSRefuses(t *testing.T) {
	p256 := elliptic.P256().Params()
	x, y := p256.Gx.FillBytes(make([]byte, 32)), p256.Gy.FillBytes(make([]byte, 32))
	okp := b64(make([]byte, 32))
	modulus := func(bits int) string { return b64(new(big.Int).Lsh(big.NewInt(1), uint(bits-1)).Bytes()) }
	for want, keys := range map[string]string{
		"holds no public key":                     ``,
		"key 1 (kid \"k\"): holds the private":    `{"kty":"OKP","crv":"Ed25519","kid":"k","x":"` + okp + `","d":"AAAA"}`,
		"x is missing":                            `{"kty":"OKP","crv":"Ed25519"}`,
		"x is not base64url":                      `{"kty":"OKP","crv":"Ed25519","x":"+/=="}`,
		"x has 31 bytes, want 32":                 `{"kty":"OKP","crv":"Ed25519","x":"` + b64(make([]byte, 31)) + `"}`,
		"x and y have 32 and 31 bytes":            `{"kty":"EC","crv":"P-256","x":"` + b64(x) + `","y":"` + b64(y[1:]) + `"}`,
		"x and y are not a point of P-256":        `{"kty":"EC","crv":"P-256","x":"` + b64(x) + `","y":"` + b64(x) + `"}`,
		`alg "ES384" does not go with kty "EC"`:   `{"kty":"EC","crv":"P-256","alg":"ES384","x":"` + b64(x) + `","y":"` + b64(y) + `"}`,
		`alg "RS256" does not go with kty "OKP"`:  `{"kty":"OKP","crv":"Ed25519","alg":"RS256","x":"` + okp + `"}`,
		"modulus has 1024 bits, want 2048":        `{"kty":"RSA","n":"` + modulus(1024) + `","e":"AQAB"}`,
		"modulus has 16384 bits, want 2048":       `{"kty":"RSA","n":"` + modulus(16384) + `","e":"AQAB"}`,
		"exponent is 1, want":                     `{"kty":"RSA","n":"` + modulus(2048) + `","e":"AQ"}`,
		"exponent is 65536, want":                 `{"kty":"RSA","n":"` + modulus(2048) + `","e":"AQAA"}`,
		"exponent is 1208925819614629174706175,":  `{"kty":"RSA","n":"` + modulus(2048) + `","e":"` + b64(slices.Repeat([]byte{0xff}, 10)) + `"}`,
		"key 2 (kid \"\"): json: cannot unmarsha": `{"kty":"future"},7`,
	} {
		_, err := parseJWKS([]byte(`{"keys":[` + keys + `]}`))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseJWKS: %v, want it to say %q", err, want)
		}
	}
	if _, err := parseJWKS([]byte(`{"keys":[` + strings.Repeat(`{},`, maxKeys) + `{}]}`)); err == nil {
		t.Error("more than maxKeys keys were taken")
	}
	// A key for an algorithm nobody here speaks is passed over, not refused.
	keys, err := parseJWKS(fmt.Appendf(nil, `{"keys":[
		{"kty":"OKP","crv":"Ed25519","x":%q},{"kty":"OKP","crv":"Ed448","x":"AA"},
		{"kty":"EC","crv":"secp256k1","x":"AA","y":"AA"},{"kty":"OKP","crv":"Ed25519","alg":"XX","x":%[1]q}]}`, okp))
	if err != nil || len(keys) != 1 {
		t.Errorf("parseJWKS = %d keys, %v, want 1", len(keys), err)
	}
}

func TestParseSecret(t *testing.T) {
	for text, want := range map[string]int{
		strings.Repeat("x", 31):             0,
		strings.Repeat("x", 31) + "\n":      0,
		strings.Repeat("x", 32) + "\n":      32,
		strings.Repeat("x", 32) + "\r\n":    32,
		strings.Repeat("x", 32) + "\n\n":    33,
		strings.Repeat("\x00", 64) + "\xff": 65,
	} {
		keys, err := parseSecret([]byte(text))
		if want == 0 {
			if err == nil || !strings.Contains(err.Error(), "want at least 32") {
				t.Errorf("%d bytes: %v, want a refusal", len(text), err)
			}
			continue
		}
		if err != nil || len(keys) != 1 || len(keys[0].key.([]byte)) != want {
			t.Errorf("%d bytes: %v, want a secret of %d", len(text), err, want)
		}
	}
}

// TestThumbprint pins the example of RFC 8037 appendix A.3.
func TestThumbprint(t *testing.T) {
	key, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := thumbprint(ed25519.PublicKey(key)), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"; got != want {
		t.Errorf("thumbprint = %s, want %s", got, want)
	}
}

func FuzzParseJWKS(f *testing.F) {
	p256 := elliptic.P256().Params()
	f.Add([]byte(`{"keys":[]}`))
	f.Add(fmt.Appendf(nil, `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":%q}]}`, b64(make([]byte, 32))))
	f.Add(fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","x":%q,"y":%q}]}`, b64(p256.Gx.Bytes()), b64(p256.Gy.Bytes())))
	f.Add(fmt.Appendf(nil, `{"keys":[{"kty":"RSA","n":%q,"e":"AQAB"}]}`, b64(slices.Repeat([]byte{0xc5}, 256))))
	f.Fuzz(func(t *testing.T, content []byte) {
		keys, err := parseJWKS(content)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys and error %v", len(keys), err)
		}
		for _, k := range keys {
			if len(k.algs) != 1 || !slices.Contains(asymmetric, k.algs[0]) {
				t.Errorf("key %q signs with %q", k.id, k.algs)
			}
			if _, symmetric := k.key.([]byte); symmetric {
				t.Errorf("key %q is symmetric", k.id)
			}
		}
	})
}
