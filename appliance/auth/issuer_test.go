package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"signalbox/appliance/auth"
)

const corp = "https://id.example.com/"

// public writes a key as a JWK, in the base64url of RFC 7518 §6.
func public(t testing.TB, key crypto.Signer, members map[string]any) map[string]any {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := map[string]any{}
	switch k := key.Public().(type) {
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", b64(k)
	case *ecdsa.PublicKey:
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		half := (len(point) - 1) / 2
		jwk["kty"], jwk["crv"] = "EC", k.Params().Name
		jwk["x"], jwk["y"] = b64(point[1:1+half]), b64(point[1+half:])
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	}
	maps.Copy(jwk, members)
	return jwk
}

func jwks(t testing.TB, keys ...map[string]any) []byte {
	return toJSON(t, map[string]any{"keys": keys})
}

func corpClaims(replaced map[string]any) jwt.MapClaims {
	c := claims(map[string]any{"iss": corp, "rooms": []string{"line-3"}})
	for name, value := range replaced {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	}
	return c
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestOutsideIssuerKeys(t *testing.T) {
	okp, p256, p384, p521, r := newKey(t), ecKey(t, elliptic.P256()), ecKey(t, elliptic.P384()), ecKey(t, elliptic.P521()), rsaKey(t)
	path := writeFile(t, jwks(t,
		public(t, okp, map[string]any{"kid": "okp"}),
		public(t, p256, map[string]any{"kid": "p256", "use": "sig", "key_ops": []string{"verify"}}),
		public(t, p384, map[string]any{"kid": "p384", "alg": "ES384"}),
		public(t, p521, map[string]any{"kid": "p521"}),
		public(t, r, map[string]any{"kid": "rsa"}),
		public(t, r, map[string]any{"kid": "pss", "alg": "PS512"}),
		public(t, p256, map[string]any{"kid": "enc", "use": "enc"}),
		map[string]any{"kty": "oct", "kid": "oct", "k": base64.RawURLEncoding.EncodeToString(okp.Public().(ed25519.PublicKey))},
		map[string]any{"kty": "future", "kid": "future"},
	))
	a, _ := newAuthority(t, auth.Config{Issuers: []auth.IssuerConfig{{Name: "corp", Issuer: corp, JWKSFile: path}}})
	for _, test := range []struct {
		method jwt.SigningMethod
		key    any
		kid    any
		want   error
	}{
		{jwt.SigningMethodEdDSA, okp, "okp", nil},
		{jwt.SigningMethodEdDSA, okp, nil, nil},
		{jwt.SigningMethodES256, p256, "p256", nil},
		{jwt.SigningMethodES384, p384, "p384", nil},
		{jwt.SigningMethodES512, p521, "p521", nil},
		{jwt.SigningMethodRS256, r, "rsa", nil},
		{jwt.SigningMethodPS512, r, "pss", nil},
		{jwt.SigningMethodPS512, r, nil, nil},
		{jwt.SigningMethodRS512, r, "rsa", auth.ErrAlgorithm}, // the key does not say so
		{jwt.SigningMethodPS512, r, "rsa", auth.ErrSignature}, // another key's algorithm
		{jwt.SigningMethodES256, p256, "enc", auth.ErrSignature},
		{jwt.SigningMethodES256, p256, "gone", auth.ErrSignature},
		{jwt.SigningMethodES256, ecKey(t, elliptic.P256()), "p256", auth.ErrSignature},
		{jwt.SigningMethodHS256, []byte(okp.Public().(ed25519.PublicKey)), "oct", auth.ErrAlgorithm},
	} {
		token := mint(t, test.method, test.key, map[string]any{"typ": "JWT", "kid": test.kid}, corpClaims(nil))
		if _, err := a.Verify(token); !errors.Is(err, test.want) {
			t.Errorf("%s by %v: %v, want %v", test.method.Alg(), test.kid, err, test.want)
		}
	}
	if got := a.Issuers(); len(got) != 1 || got[0].Keys != 6 || got[0].Err != nil || got[0].Name != "corp" {
		t.Errorf("Issuers() = %+v, want corp with 6 keys", got)
	}
}

func TestAlgorithmsNarrow(t *testing.T) {
	r := rsaKey(t)
	path := writeFile(t, jwks(t, public(t, r, map[string]any{"alg": "PS256"}), public(t, r, nil)))
	a, _ := newAuthority(t, auth.Config{Issuers: []auth.IssuerConfig{{Issuer: corp, JWKSFile: path, Algorithms: []string{"PS256"}}}})
	if _, err := a.Verify(mint(t, jwt.SigningMethodPS256, r, map[string]any{"typ": nil}, corpClaims(nil))); err != nil {
		t.Error("PS256:", err)
	}
	if _, err := a.Verify(mint(t, jwt.SigningMethodRS256, r, map[string]any{"typ": nil}, corpClaims(nil))); !errors.Is(err, auth.ErrAlgorithm) {
		t.Errorf("RS256: %v, want ErrAlgorithm", err)
	}
}

func TestSharedSecret(t *testing.T) {
	secret := []byte(strings.Repeat("s3cret! ", 4)) // 32 bytes
	path := writeFile(t, append(secret, '\r', '\n'))
	a, _ := newAuthority(t, auth.Config{Issuers: []auth.IssuerConfig{{Issuer: corp, HS256SecretFile: path}}})
	header := map[string]any{"typ": "at+jwt"}
	if _, err := a.Verify(mint(t, jwt.SigningMethodHS256, secret, header, corpClaims(nil))); err != nil {
		t.Error("the right secret:", err)
	}
	if _, err := a.Verify(mint(t, jwt.SigningMethodHS256, secret[1:], header, corpClaims(nil))); !errors.Is(err, auth.ErrSignature) {
		t.Errorf("another secret: %v, want ErrSignature", err)
	}
	if _, err := a.Verify(mint(t, jwt.SigningMethodHS512, secret, header, corpClaims(nil))); !errors.Is(err, auth.ErrAlgorithm) {
		t.Errorf("HS512: %v, want ErrAlgorithm", err)
	}
	if _, err := a.Verify(mint(t, jwt.SigningMethodHS256, secret, nil, claims(nil))); !errors.Is(err, auth.ErrAlgorithm) {
		t.Errorf("the secret under the box's name: %v, want ErrAlgorithm", err)
	}
	if _, err := a.Verify(mint(t, jwt.SigningMethodHS256, secret, map[string]any{"typ": "logout+jwt"}, corpClaims(nil))); !errors.Is(err, auth.ErrMalformed) {
		t.Errorf("a logout token: %v, want ErrMalformed", err)
	}
}

func TestOutsideIssuerLimits(t *testing.T) {
	secret := []byte(strings.Repeat("k", 32))
	path := writeFile(t, secret)
	limited := auth.IssuerConfig{
		Issuer: corp, HS256SecretFile: path, Audience: []string{"signalbox", "other"}, Rooms: []string{"line-*"},
		Rights: []string{"join", "manage"}, DefaultRooms: []string{"lobby", "line-1"}, DefaultRights: []string{"join", "send"},
		SubjectPrefix: "corp/",
	}
	for name, test := range map[string]struct {
		cfg     auth.IssuerConfig
		claims  map[string]any
		subject string
		rights  auth.Rights
		may     []string
		mayNot  []string
	}{
		"token asks for less": {
			limited,
			map[string]any{"rooms": []string{"line-3"}, "rights": []string{"join"}},
			"corp/cam-7", auth.RightJoin,
			[]string{"line-3"},
			[]string{"line-4", "lobby"},
		},
		"token asks for more": {
			limited,
			map[string]any{"rooms": []string{"*"}, "rights": []string{"join", "send", "manage", "admin"}},
			"corp/cam-7", auth.RightJoin | auth.RightManage,
			[]string{"line-3", "line-"},
			[]string{"hall", "lobby"},
		},
		"token is silent": {
			limited,
			map[string]any{"rooms": nil, "rights": nil},
			"corp/cam-7", auth.RightJoin,
			[]string{"line-1"},
			[]string{"lobby", "line-2"},
		},
		"token asks for nothing": {
			limited,
			map[string]any{"rooms": []string{}, "rights": []string{"join"}},
			"corp/cam-7", auth.RightJoin, nil,
			[]string{"line-1", "lobby"},
		},
		"nothing configured": {
			auth.IssuerConfig{Issuer: corp, HS256SecretFile: path, Audience: []string{"signalbox"}},
			map[string]any{"rooms": []string{"h*"}, "rights": []string{"join", "send", "create", "manage", "admin"}},
			"cam-7", auth.DeviceRights,
			[]string{"hall"},
			[]string{"line-3"},
		},
		"nothing configured, token silent": {
			auth.IssuerConfig{Issuer: corp, HS256SecretFile: path, Audience: []string{"signalbox"}},
			map[string]any{"rooms": nil, "rights": nil},
			"cam-7", auth.RightJoin | auth.RightSend, nil,
			[]string{"hall", "line-3"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, _ := newAuthority(t, auth.Config{Issuers: []auth.IssuerConfig{test.cfg}})
			c := corpClaims(test.claims)
			c["aud"] = []string{"unrelated", "signalbox"}
			id, err := a.Verify(mint(t, jwt.SigningMethodHS256, secret, map[string]any{"typ": "JWT"}, c))
			if err != nil {
				t.Fatal(err)
			}
			if id.Subject != test.subject || id.Rights != test.rights {
				t.Errorf("got %q with %v, want %q with %v", id.Subject, id.Rights, test.subject, test.rights)
			}
			for _, room := range test.may {
				if !id.MayJoin(room) {
					t.Errorf("may not join %q", room)
				}
			}
			for _, room := range test.mayNot {
				if id.MayJoin(room) {
					t.Errorf("may join %q", room)
				}
			}
			if _, _, err := a.Renew(mint(t, jwt.SigningMethodHS256, secret, map[string]any{"typ": "JWT"}, c)); !errors.Is(err, auth.ErrIssuer) {
				t.Errorf("Renew: %v, want ErrIssuer", err)
			}
		})
	}
}

// TestKeyFileReload changes the file under a running box. In a bubble the
// file's times are real and the box's are not, so it is read at every look.
func TestKeyFileReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newKey(t), newKey(t)
		path := writeFile(t, jwks(t, public(t, first, nil)))
		a, _ := newAuthority(t, auth.Config{Issuers: []auth.IssuerConfig{{Issuer: corp, JWKSFile: path}}})
		sign := func(key ed25519.PrivateKey) string {
			return mint(t, jwt.SigningMethodEdDSA, key, map[string]any{"typ": "JWT"}, corpClaims(nil))
		}
		expect := func(step string, oldWant, newWant error, complaint string) {
			t.Helper()
			time.Sleep(time.Second)
			if _, err := a.Verify(sign(first)); !errors.Is(err, oldWant) {
				t.Errorf("%s: first key: %v, want %v", step, err, oldWant)
			}
			if _, err := a.Verify(sign(second)); !errors.Is(err, newWant) {
				t.Errorf("%s: second key: %v, want %v", step, err, newWant)
			}
			got := a.Issuers()[0].Err
			if complaint == "" && got != nil || complaint != "" && (got == nil || !strings.Contains(got.Error(), complaint)) {
				t.Errorf("%s: status says %v, want %q", step, got, complaint)
			}
		}
		expect("at first", nil, auth.ErrSignature, "")
		replaceFile(t, path, nil)
		expect("empty, as after a power cut", nil, auth.ErrSignature, "not a JSON Web Key Set")
		replaceFile(t, path, []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`))
		expect("damaged", nil, auth.ErrSignature, `key 1 (kid ""): x has 3 bytes, want 32`)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		expect("gone", nil, auth.ErrSignature, "no such file")
		replaceFile(t, path, jwks(t, public(t, second, nil)))
		expect("mended", auth.ErrSignature, nil, "")
	})
}

// TestKeyFileMissingAtStart: an outside issuer's trouble must not stop the box.
func TestKeyFileMissingAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "jwks.json")
		cfg := auth.Config{Issuers: []auth.IssuerConfig{{Issuer: corp, JWKSFile: path}}}
		if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Check: %v, want it to name %s", err, path)
		}
		a, _ := newAuthority(t, cfg)
		key := newKey(t)
		token := mint(t, jwt.SigningMethodEdDSA, key, map[string]any{"typ": "JWT"}, corpClaims(nil))
		if _, err := a.Verify(token); !errors.Is(err, auth.ErrNoKeys) || !strings.Contains(err.Error(), path) {
			t.Errorf("Verify: %v, want ErrNoKeys that names %s", err, path)
		}
		replaceFile(t, path, jwks(t, public(t, key, nil)))
		time.Sleep(time.Second)
		if _, err := a.Verify(token); err != nil {
			t.Error("after the file appeared:", err)
		}
		if err := cfg.Check(); err != nil {
			t.Error("Check:", err)
		}
	})
}

// TestBoxesTrustEachOther: the JWKS of one box makes it an issuer for another.
func TestBoxesTrustEachOther(t *testing.T) {
	other, err := auth.New(auth.Config{}, newKey(t), "other")
	if err != nil {
		t.Fatal(err)
	}
	path := writeFile(t, other.JWKS())
	a, _ := newAuthority(t, auth.Config{Issuers: []auth.IssuerConfig{{
		Issuer: other.Issuer(), JWKSFile: path, Audience: []string{other.Issuer()},
	}}})
	token, want := issue(t, other, auth.Grant{Subject: "cam-7", Rooms: []string{"line-3"}, Rights: auth.RightJoin})
	if got, err := a.Verify(token); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Verify = %+v, %v, want %+v", got, err, want)
	}
}
