package auth_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"signalbox/appliance/auth"
)

func TestIssueVerify(t *testing.T) {
	a, _ := newAuthority(t, auth.Config{})
	token, want := issue(t, a, auth.Grant{
		Subject: "cam-7", Rooms: []string{"line-3", "hall-*"}, Rights: auth.DeviceRights, TTL: 24 * time.Hour,
	})
	got, err := a.Verify(token)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Verify(Issue) = %+v, want %+v", got, want)
	}
	if left := time.Until(got.Expires); left < 23*time.Hour || left > 24*time.Hour {
		t.Errorf("expires in %v, want 24h", left)
	}
	if got.Issuer != a.Issuer() || got.TokenID == "" {
		t.Errorf("issuer %q and token id %q, want %q and one", got.Issuer, got.TokenID, a.Issuer())
	}
}

func TestIssueRefuses(t *testing.T) {
	a, _ := newAuthority(t, auth.Config{})
	many := make([]string, 65)
	for i := range many {
		many[i] = fmt.Sprint("room-", i)
	}
	for name, grant := range map[string]auth.Grant{
		"no subject":      {},
		"star":            {Subject: "cam-*"},
		"control":         {Subject: "cam\n7"},
		"right-to-left":   {Subject: "cam\u202e7"},
		"outer space":     {Subject: " cam-7"},
		"not UTF-8":       {Subject: "cam\xff"},
		"long subject":    {Subject: strings.Repeat("c", 256)},
		"empty pattern":   {Subject: "c", Rooms: []string{""}},
		"spaced pattern":  {Subject: "c", Rooms: []string{"line 3"}},
		"long pattern":    {Subject: "c", Rooms: []string{strings.Repeat("r", 129)}},
		"many patterns":   {Subject: "c", Rooms: many},
		"unknown right":   {Subject: "c", Rights: 1 << 20},
		"negative life":   {Subject: "c", TTL: -time.Second},
		"life too long":   {Subject: "c", TTL: auth.MaxTTL + 1},
		"token too large": {Subject: "c", Rooms: repeat(strings.Repeat("r", 128), 60)},
	} {
		if token, _, err := a.Issue(grant); err == nil {
			t.Errorf("%s: issued %q", name, token)
		}
	}
}

func repeat(s string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = s
	}
	return all
}

// TestVerifyRefuses has every way a token can be wrong, each with the one error
// that signaling turns into a code.
func TestVerifyRefuses(t *testing.T) {
	a, key := newAuthority(t, auth.Config{})
	own := func(replaced map[string]any) string {
		return mint(t, jwt.SigningMethodEdDSA, key, nil, claims(replaced))
	}
	headed := func(header map[string]any) string {
		return mint(t, jwt.SigningMethodEdDSA, key, header, claims(nil))
	}
	now := time.Now()
	good := own(nil)
	if _, err := a.Verify(good); err != nil {
		t.Fatal("the token the others are made from:", err)
	}
	parts := strings.Split(good, ".")
	public := key.Public().(ed25519.PublicKey)
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	hmacWith := func(secret []byte) string { return mint(t, jwt.SigningMethodHS256, secret, nil, claims(nil)) }
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sig[7] ^= 1

	for _, test := range []struct {
		name, token string
		want        error
	}{
		{"empty", "", auth.ErrMalformed},
		{"not a token", "hello", auth.ErrMalformed},
		{"four parts", good + ".x", auth.ErrMalformed},
		{"two parts", parts[0] + "." + parts[1], auth.ErrMalformed},
		{"space", " " + good, auth.ErrMalformed},
		{"padding", good + "==", auth.ErrMalformed},
		{"oversize", good + strings.Repeat("A", auth.MaxTokenBytes), auth.ErrMalformed},
		{"header not JSON", mintRaw(key, "{", "{}"), auth.ErrMalformed},
		{"claims not JSON", mintRaw(key, `{"alg":"EdDSA"}`, "{} {}"), auth.ErrMalformed},
		{"claims a list", mintRaw(key, `{"alg":"EdDSA"}`, "[]"), auth.ErrMalformed},
		{"claims null", mintRaw(key, `{"alg":"EdDSA"}`, "null"), auth.ErrMalformed},
		{"crit", headed(map[string]any{"crit": []string{"b64"}, "b64": false}), auth.ErrMalformed},
		{"other typ", headed(map[string]any{"typ": "JWT"}), auth.ErrMalformed},
		{"no typ", headed(map[string]any{"typ": nil}), auth.ErrMalformed},
		{"typ not text", headed(map[string]any{"typ": 1}), auth.ErrMalformed},
		{"kid not text", headed(map[string]any{"kid": 1}), auth.ErrMalformed},

		{"alg missing", headed(map[string]any{"alg": nil}), auth.ErrAlgorithm},
		{"alg unknown", headed(map[string]any{"alg": "ROT13"}), auth.ErrAlgorithm},
		{"alg in other case", headed(map[string]any{"alg": "eddsa"}), auth.ErrAlgorithm},
		{"alg none", mint(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims(nil)), auth.ErrAlgorithm},
		{"HS256 with the public key", hmacWith(public), auth.ErrAlgorithm},
		{"HS256 with the public key in DER", hmacWith(spki), auth.ErrAlgorithm},
		{"HS256 with the public key in PEM", hmacWith(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})), auth.ErrAlgorithm},
		{"HS256 with nothing", hmacWith(nil), auth.ErrAlgorithm},

		{"forged", mint(t, jwt.SigningMethodEdDSA, newKey(t), nil, claims(nil)), auth.ErrSignature},
		{"unknown kid", headed(map[string]any{"kid": "other"}), auth.ErrSignature},
		{"signature of another", parts[0] + "." + parts[1] + "." + strings.Split(own(map[string]any{"sub": "x"}), ".")[2], auth.ErrSignature},
		{"one bit off", parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString(sig), auth.ErrSignature},
		{"no signature", parts[0] + "." + parts[1] + ".", auth.ErrSignature},

		{"issuer missing", own(map[string]any{"iss": nil}), auth.ErrIssuer},
		{"issuer unknown", own(map[string]any{"iss": "signalbox:other"}), auth.ErrIssuer},
		{"issuer with a space", own(map[string]any{"iss": "signalbox:" + box + " "}), auth.ErrIssuer},
		{"issuer not text", own(map[string]any{"iss": 1}), auth.ErrMalformed},
		{"audience missing", own(map[string]any{"aud": nil}), auth.ErrAudience},
		{"audience other", own(map[string]any{"aud": "signalbox:other"}), auth.ErrAudience},
		{"audience empty", own(map[string]any{"aud": []string{}}), auth.ErrAudience},
		{"audience not text", own(map[string]any{"aud": []any{1}}), auth.ErrMalformed},
		{"audience null", own(map[string]any{"aud": (*string)(nil)}), auth.ErrMalformed},

		{"exp missing", own(map[string]any{"exp": nil}), auth.ErrMalformed},
		{"exp null", own(map[string]any{"exp": (*int)(nil)}), auth.ErrMalformed},
		{"exp text", own(map[string]any{"exp": "2100-01-01"}), auth.ErrMalformed},
		{"exp negative", own(map[string]any{"exp": -1}), auth.ErrMalformed},
		{"exp enormous", own(map[string]any{"exp": 1e300}), auth.ErrMalformed},
		{"expired", own(map[string]any{"exp": now.Add(-auth.Leeway - time.Second).Unix()}), auth.ErrExpired},
		{"expired in 1970", own(map[string]any{"exp": 0}), auth.ErrExpired},
		{"not yet valid", own(map[string]any{"nbf": now.Add(auth.Leeway + time.Minute).Unix()}), auth.ErrNotYetValid},
		{"nbf text", own(map[string]any{"nbf": "now"}), auth.ErrMalformed},
		{"iat a list", own(map[string]any{"iat": []int{1}}), auth.ErrMalformed},

		{"sub missing", own(map[string]any{"sub": nil}), auth.ErrMalformed},
		{"sub in capitals", own(map[string]any{"sub": nil, "SUB": "cam-7"}), auth.ErrMalformed},
		{"sub a number", own(map[string]any{"sub": 7}), auth.ErrMalformed},
		{"sub with a line break", own(map[string]any{"sub": "cam\n7"}), auth.ErrMalformed},
		{"sub too long", own(map[string]any{"sub": strings.Repeat("c", 256)}), auth.ErrMalformed},
		{"jti a number", own(map[string]any{"jti": 7}), auth.ErrMalformed},
		{"rooms text", own(map[string]any{"rooms": "*"}), auth.ErrMalformed},
		{"rooms an object", own(map[string]any{"rooms": map[string]bool{"*": true}}), auth.ErrMalformed},
		{"rooms of numbers", own(map[string]any{"rooms": []int{3}}), auth.ErrMalformed},
		{"rooms null", own(map[string]any{"rooms": []string(nil)}), auth.ErrMalformed},
		{"rooms with an empty one", own(map[string]any{"rooms": []string{""}}), auth.ErrMalformed},
		{"too many rooms", own(map[string]any{"rooms": repeat("r", 65)}), auth.ErrMalformed},
		{"rights text", own(map[string]any{"rights": "admin"}), auth.ErrMalformed},
		{"rights unknown", own(map[string]any{"rights": []string{"root"}}), auth.ErrMalformed},
	} {
		t.Run(test.name, func(t *testing.T) {
			id, err := a.Verify(test.token)
			if !errors.Is(err, test.want) {
				t.Fatalf("Verify = %+v, %v, want %v", id, err, test.want)
			}
			if !reflect.DeepEqual(id, auth.Identity{}) {
				t.Errorf("a refused token gave the identity %+v", id)
			}
			if got, want := auth.Reason(err), auth.Reason(test.want); got != want {
				t.Errorf("Reason = %q, want %q", got, want)
			}
		})
	}
}

// TestVerifyClocks pins what a difference between clocks may do.
func TestVerifyClocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, key := newAuthority(t, auth.Config{})
		start := time.Now()
		token := mint(t, jwt.SigningMethodEdDSA, key, nil, claims(map[string]any{
			"nbf": start.Add(auth.Leeway).Unix(), "exp": start.Add(time.Hour).Unix(),
			"iat": start.AddDate(30, 0, 0).Unix(), // the box's clock lost thirty years
		}))
		id, err := a.Verify(token)
		if err != nil {
			t.Fatal("within leeway before nbf:", err)
		}
		time.Sleep(time.Hour + auth.Leeway - time.Second)
		if _, err := a.Verify(token); err != nil || id.Expired(time.Now()) {
			t.Error("within leeway after exp:", err)
		}
		time.Sleep(time.Second)
		if _, err := a.Verify(token); !errors.Is(err, auth.ErrExpired) || !id.Expired(time.Now()) {
			t.Error("beyond leeway:", err)
		}
	})
}

func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newAuthority(t, auth.Config{})
		token, old := issue(t, a, auth.Grant{Subject: "cam-7", Rooms: []string{"line-3"}, Rights: auth.RightJoin, TTL: time.Hour})
		time.Sleep(50 * time.Minute)
		fresh, id, err := a.Renew(token)
		if err != nil {
			t.Fatal(err)
		}
		if id.TokenID == old.TokenID || !id.Expires.Equal(old.Expires.Add(50*time.Minute)) {
			t.Errorf("renewed to %+v from %+v", id, old)
		}
		if got, err := a.Verify(fresh); err != nil || got.Subject != "cam-7" || got.Rights != auth.RightJoin {
			t.Errorf("Verify(fresh) = %+v, %v", got, err)
		}
		time.Sleep(time.Hour)
		if _, _, err := a.Renew(token); !errors.Is(err, auth.ErrExpired) {
			t.Errorf("Renew of an expired token: %v, want ErrExpired", err)
		}
	})
}

func TestVerifyNamesTheValue(t *testing.T) {
	a, key := newAuthority(t, auth.Config{})
	for want, token := range map[string]string{
		`claim rooms is a string, want a list of strings`: mint(t, jwt.SigningMethodEdDSA, key, nil, claims(map[string]any{"rooms": "*"})),
		`claim exp is missing`:                            mint(t, jwt.SigningMethodEdDSA, key, nil, claims(map[string]any{"exp": nil})),
		`for ["x"], want ["signalbox:hall2abcde"]`:        mint(t, jwt.SigningMethodEdDSA, key, nil, claims(map[string]any{"aud": "x"})),
		`"HS256", issuer "this box" does not sign`:        mint(t, jwt.SigningMethodHS256, []byte("x"), nil, claims(nil)),
		`s ago by the box's clock`:                        mint(t, jwt.SigningMethodEdDSA, key, nil, claims(map[string]any{"exp": time.Now().Add(-2 * time.Hour).Unix()})),
	} {
		if _, err := a.Verify(token); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify: %v, want it to say %q", err, want)
		}
	}
}
