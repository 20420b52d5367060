package dashboard_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/people"
)

// provider vouches for a person of the group plant with whatever nonce was
// last asked for.
type provider struct {
	*httptest.Server
	nonce string
}

func newProvider(t *testing.T) *provider {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	p := &provider{}
	mux := http.NewServeMux()
	serve := func(pattern string, answer func() any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(answer())
		})
	}
	serve("GET /.well-known/openid-configuration", func() any {
		return map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		}
	})
	serve("GET /keys", func() any {
		text := base64.RawURLEncoding.EncodeToString
		return map[string]any{"keys": []map[string]string{{"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "1", "x": text(point[1:33]), "y": text(point[33:])}}}
	})
	serve("POST /token", func() any {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
			"iss": p.URL, "aud": "signalbox", "sub": "u1", "groups": []string{"plant"}, "nonce": p.nonce,
			"exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(),
		})
		token.Header["kid"] = "1"
		signed, err := token.SignedString(key)
		if err != nil {
			t.Error(err)
		}
		return map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": signed}
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func TestSignInByProvider(t *testing.T) {
	t.Parallel()
	p, b := newProvider(t), newBroker(t)
	folk, err := people.New(people.Config{
		Registry: b.registry, SignIn: b.signin, Audit: b.audit,
		OIDC: people.OIDCConfig{Issuer: p.URL, ClientID: "signalbox", Operators: []string{"plant"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, b, newTown(), func(c *dashboard.Config) { c.People, c.URL = folk, "https://cloud.example" })
	cookieOf := func(a answer, name string) string {
		t.Helper()
		for _, set := range a.header.Values("Set-Cookie") {
			if strings.HasPrefix(set, name+"=") {
				return set
			}
		}
		t.Fatalf("status %d sets %q, want the cookie %s: %s", a.status, a.header.Values("Set-Cookie"), name, a.body)
		return ""
	}
	began := n.do("GET", "/v1/signin/oidc")
	attempt := cookieOf(began, "signalbox-cloud-oidc")
	to, err := url.Parse(began.header.Get("Location"))
	if err != nil || began.status != http.StatusFound || to.Query().Get("redirect_uri") != "https://cloud.example/v1/signin/oidc/done" {
		t.Fatalf("sent to %v with %d", to, began.status)
	}
	if !strings.Contains(attempt, "SameSite=Lax") || !strings.Contains(attempt, "HttpOnly") || strings.Contains(attempt, to.Query().Get("state")) {
		t.Errorf("cookie %q, want it Lax, not for scripts, and sealed", attempt)
	}
	p.nonce = to.Query().Get("nonce")
	sealed, _, _ := strings.Cut(attempt, ";")
	held := header("Cookie", sealed)
	back := "/v1/signin/oidc/done?code=good&state=" + to.Query().Get("state")
	n.do("GET", back).refused(http.StatusUnauthorized, "unauthorized", "begun elsewhere")
	n.do("GET", back, header("Cookie", "signalbox-cloud-oidc=AAAA")).refused(http.StatusUnauthorized, "unauthorized", "begun elsewhere")
	n.do("GET", "/v1/signin/oidc/done?code=good&state=other", held).refused(http.StatusUnauthorized, "unauthorized", "begun elsewhere")
	done := n.do("GET", back, held)
	if done.status != http.StatusFound || done.header.Get("Location") != "/" {
		t.Fatalf("status %d to %q: %s", done.status, done.header.Get("Location"), done.body)
	}
	session, _, _ := strings.Cut(cookieOf(done, "signalbox-cloud"), ";")
	if s := want[dashboard.Session](n.do("GET", "/v1/session", header("Cookie", session)), http.StatusOK); s.Role != people.Operator || s.Name != "u1" || !s.OIDC {
		t.Errorf("session %+v", s)
	}
	document().Saw("get /v1/signin/oidc")
	document().Saw("get /v1/signin/oidc/done")
	p.Close()
	away := start(t, b, newTown()) // a node without a provider
	away.do("GET", "/v1/signin/oidc").refused(http.StatusNotFound, "not_found", "oidc.issuer")
}
