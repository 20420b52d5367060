package auth_test

import (
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"signalbox/appliance/auth"
)

// FuzzVerify gives any text at all to Verify.
func FuzzVerify(f *testing.F) {
	a, _ := newAuthority(f, auth.Config{Issuers: []auth.IssuerConfig{
		{Issuer: corp, HS256SecretFile: writeFile(f, []byte(strings.Repeat("k", 32)))},
	}})
	f.Add("")
	f.Add("..")
	f.Add("e30.e30.")
	f.Add("bnVsbA.bnVsbA.")
	f.Add(mint(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims(nil)))
	f.Add(mint(f, jwt.SigningMethodEdDSA, newKey(f), nil, claims(nil)))
	f.Add(mint(f, jwt.SigningMethodHS256, []byte("x"), nil, corpClaims(nil)))
	good, _ := issue(f, a, auth.Grant{Subject: "cam-7", Rooms: []string{"*"}})
	f.Add(good)
	f.Fuzz(func(t *testing.T, token string) {
		if id, err := a.Verify(token); err == nil && token != good {
			t.Errorf("Verify(%q) = %+v, which nobody signed", token, id)
		} else if err != nil && auth.Reason(err) == "other" {
			t.Errorf("Verify(%q): %v, want one of the package's errors", token, err)
		}
	})
}

// FuzzVerifySigned signs whatever header and claims it is given with the box's
// own key, so that what lies behind the signature is reached.
func FuzzVerifySigned(f *testing.F) {
	a, key := newAuthority(f, auth.Config{})
	const header = `{"alg":"EdDSA","typ":"signalbox+jwt"}`
	for _, c := range []jwt.MapClaims{claims(nil), claims(map[string]any{"rooms": nil}), claims(map[string]any{"nbf": 1.5, "aud": []string{"x"}})} {
		f.Add(header, string(toJSON(f, c)))
	}
	f.Add(header, `{"exp":1e400}`)
	f.Add(header, `null`)
	f.Add(`null`, `{}`)
	f.Add(`{"alg":null,"crit":1}`, `[]`)
	f.Fuzz(func(t *testing.T, header, payload string) {
		id, err := a.Verify(mintRaw(key, header, payload))
		if err != nil {
			if auth.Reason(err) == "other" {
				t.Errorf("Verify: %v, want one of the package's errors", err)
			}
			return
		}
		if id.Subject == "" || id.Expired(time.Now()) || id.Rights&^auth.AllRights != 0 || id.Issuer != a.Issuer() || len(id.Rooms) > 64 {
			t.Errorf("Verify(%s, %s) = %+v", header, payload, id)
		}
	})
}
