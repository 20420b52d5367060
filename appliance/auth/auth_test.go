package auth_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"signalbox/appliance/auth"
)

const box = "hall2abcde"

// newKey makes a box key by the way a first start takes.
func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	encoded, err := auth.NewBoxKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.ParseBoxKey(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t testing.TB, cfg auth.Config) (*auth.Authority, ed25519.PrivateKey) {
	t.Helper()
	key := newKey(t)
	a, err := auth.New(cfg, key, box)
	if err != nil {
		t.Fatal(err)
	}
	return a, key
}

func issue(t testing.TB, a *auth.Authority, grant auth.Grant) (string, auth.Identity) {
	t.Helper()
	token, id, err := a.Issue(grant)
	if err != nil {
		t.Fatal(err)
	}
	return token, id
}

// claims are those of a good token of the box's own, with some replaced; a nil
// value leaves the claim out.
func claims(replaced map[string]any) jwt.MapClaims {
	now := time.Now()
	all := jwt.MapClaims{
		"iss": "signalbox:" + box, "aud": "signalbox:" + box, "sub": "cam-7", "jti": "j-1",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "rooms": []string{"line-3"}, "rights": []string{"join"},
	}
	maps.Copy(all, replaced)
	for name, value := range replaced {
		if value == nil {
			delete(all, name)
		}
	}
	return all
}

// mint signs claims under a header of its own making.
func mint(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, c jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, c)
	token.Header["typ"] = "signalbox+jwt"
	for name, value := range header {
		if token.Header[name] = value; value == nil {
			delete(token.Header, name)
		}
	}
	signed, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// mintRaw signs exactly these texts with the Ed25519 key.
func mintRaw(key ed25519.PrivateKey, header, payload string) string {
	b := base64.RawURLEncoding
	text := b.EncodeToString([]byte(header)) + "." + b.EncodeToString([]byte(payload))
	return text + "." + b.EncodeToString(ed25519.Sign(key, []byte(text)))
}

func writeFile(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	replaceFile(t, path, content)
	return path
}

// replaceFile puts content in place in one step, as an administrator should.
func replaceFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	encoded, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}
