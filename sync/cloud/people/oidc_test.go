package people_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"signalbox/sync/cloud/people"
)

// idp is a provider as far as a sign-in needs one: discovery, keys, tokens.
type idp struct {
	*httptest.Server
	key       *ecdsa.PrivateKey
	claims    jwt.MapClaims // of the next token, beside the standard ones
	nonce     string
	challenge string
}

func newIDP(t *testing.T) *idp {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &idp{key: key}
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, map[string]any{
			"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/keys",
			"id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /keys", func(w http.ResponseWriter, _ *http.Request) {
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Error(err)
			return
		}
		coordinate := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
		reply(w, map[string]any{"keys": []map[string]string{{
			"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "1", "x": coordinate(point[1:33]), "y": coordinate(point[33:]),
		}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
		if r.FormValue("code") != "good" || base64.RawURLEncoding.EncodeToString(sum[:]) != p.challenge {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		claims := jwt.MapClaims{"iss": p.URL, "aud": "signalbox", "exp": time.Now().Add(time.Minute).Unix(), "iat": time.Now().Unix(), "nonce": p.nonce}
		maps.Copy(claims, p.claims)
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["kid"] = "1"
		signed, err := token.SignedString(key)
		if err != nil {
			t.Error(err)
		}
		reply(w, map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": signed})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return p
}

func TestOIDC(t *testing.T) {
	p := newIDP(t)
	f := start(t, broker(t), people.OIDCConfig{
		Issuer: p.URL, ClientID: "signalbox", Viewers: []string{"plant"}, Administrators: []string{"it"},
	})
	f.administrator(t, "anna@example.com")
	ctx := t.Context()
	attempt := func(t *testing.T) people.Attempt {
		t.Helper()
		a, to, err := f.StartOIDC(ctx, "https://cloud.example/signin/oidc")
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		p.nonce, p.challenge = u.Query().Get("nonce"), u.Query().Get("code_challenge")
		return a
	}
	for _, test := range []struct {
		name   string
		claims jwt.MapClaims
		role   people.Role // "" when refused
		as     string
	}{
		{"a viewer", jwt.MapClaims{"sub": "u1", "groups": []string{"x", "plant"}}, people.Viewer, "u1"},
		{"the highest role counts", jwt.MapClaims{"sub": "u2", "groups": []string{"plant", "it"}}, people.Administrator, "u2"},
		{"one group as a string", jwt.MapClaims{"sub": "u3", "groups": "plant"}, people.Viewer, "u3"},
		{"a confirmed address", jwt.MapClaims{"sub": "u4", "groups": "plant", "email": "bo@example.com", "email_verified": true}, people.Viewer, "bo@example.com"},
		{"an address nobody has confirmed", jwt.MapClaims{"sub": "u5", "groups": "plant", "email": "ceo@example.com"}, people.Viewer, "u5"},
		{"no group", jwt.MapClaims{"sub": "u6"}, "", ""},
		{"a stranger's group", jwt.MapClaims{"sub": "u7", "groups": []string{"visitors"}}, "", ""},
		{"the name of one with a password", jwt.MapClaims{"sub": "u8", "groups": "it", "email": "Anna@example.com", "email_verified": true}, "", ""},
		{"past its end", jwt.MapClaims{"sub": "u1", "groups": "plant", "exp": time.Now().Add(-time.Hour).Unix()}, "", ""},
		{"for another client", jwt.MapClaims{"sub": "u1", "groups": "plant", "aud": "other"}, "", ""},
		{"of another sign-in", jwt.MapClaims{"sub": "u1", "groups": "plant", "nonce": "other"}, "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := attempt(t)
			p.claims = test.claims
			secret, who, err := f.FinishOIDC(ctx, "10.0.0.1", a, a.State, "good")
			if test.role == "" {
				if !errors.Is(err, people.ErrRefused) {
					t.Errorf("got %+v, %v, want ErrRefused", who, err)
				}
				return
			}
			if err != nil || who.Role != test.role || who.Name != test.as {
				t.Fatalf("got %+v, %v, want %s as %s", who, err, test.as, test.role)
			}
			if again, err := f.Authenticate(ctx, secret); err != nil || again.Name != test.as {
				t.Errorf("Authenticate = %+v, %v", again, err)
			}
		})
	}
	a := attempt(t)
	p.claims = jwt.MapClaims{"sub": "u1", "groups": "plant"}
	for name, try := range map[string]struct{ state, code string }{
		"another state": {"other", "good"}, "no state": {"", "good"}, "a code of nobody's": {a.State, "bad"},
	} {
		if _, _, err := f.FinishOIDC(ctx, "10.0.0.1", a, try.state, try.code); !errors.Is(err, people.ErrRefused) {
			t.Errorf("%s: %v, want ErrRefused", name, err)
		}
	}
}

func TestProviderOutOfReach(t *testing.T) {
	f := start(t, broker(t), people.OIDCConfig{Issuer: "http://127.0.0.1:1", ClientID: "x", Viewers: []string{"y"}})
	if _, _, err := f.StartOIDC(t.Context(), "https://cloud.example/"); err == nil || errors.Is(err, people.ErrRefused) {
		t.Errorf("StartOIDC = %v, want that the provider is not reached", err)
	}
	f.administrator(t, "anna") // passwords work without it
}

// A provider that takes a question and never answers holds nobody for longer
// than they want to wait.
func TestProviderSaysNothing(t *testing.T) {
	over := make(chan struct{})
	mute := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-over:
		case <-r.Context().Done():
		}
	}))
	defer mute.Close()
	defer close(over)
	f := start(t, broker(t), people.OIDCConfig{Issuer: mute.URL, ClientID: "x", Viewers: []string{"y"}})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	answered := make(chan error, 1)
	go func() { _, _, err := f.StartOIDC(ctx, "https://cloud.example/"); answered <- err }()
	select {
	case err := <-answered:
		if err == nil || errors.Is(err, people.ErrRefused) {
			t.Errorf("StartOIDC = %v, want that the provider is not reached", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("StartOIDC still waits 5 s later")
	}
}

func TestIssuerInTheClear(t *testing.T) {
	for issuer, ok := range map[string]bool{
		"https://login.example.com": true, "http://127.0.0.1:9000": true, "http://localhost/x": true, "http://[::1]:9000": true,
		"http://login.example.com": false, "http://10.0.0.1": false, "ftp://127.0.0.1": false, "login.example.com": false,
	} {
		err := people.OIDCConfig{Issuer: issuer, ClientID: "x", Viewers: []string{"y"}}.Validate()
		if (err == nil) != ok {
			t.Errorf("%s: got %v", issuer, err)
		}
	}
}
