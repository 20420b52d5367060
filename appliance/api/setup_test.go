package api_test

import (
	"context"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
	"signalbox/internal/jsonapi"
)

func (b *box) setupCode() string {
	b.t.Helper()
	code, _, err := b.auth.NewSetup(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return code.Reveal()
}

func (b *box) invite(grant auth.Grant) string {
	b.t.Helper()
	code, _, err := b.auth.NewInvite(b.t.Context(), auth.InviteOptions{Grant: grant})
	if err != nil {
		b.t.Fatal(err)
	}
	return code.Reveal()
}

func TestSetupSignsTheBrowserIn(t *testing.T) {
	b := newBox(t)
	if !want[api.Summary](b.do("GET", "/v1/status"), http.StatusOK).SetupNeeded {
		t.Error("a new box needs no setup")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.client.Jar = jar
	code := b.setupCode()
	answer := b.do("POST", "/v1/setup", body(`{"code":%q}`, code))
	done := want[api.SetupDone](answer, http.StatusOK)
	if done.Token != "" || done.Via != "cookie" || done.Subject != "admin" || done.Expires == nil {
		t.Errorf("setup gave %+v, want a session of admin and no token", done)
	}
	set := answer.header.Get("Set-Cookie")
	for _, attribute := range []string{"signalbox-" + boxID + "=", "HttpOnly", "SameSite=Strict", "Path=/", "Expires="} {
		if !strings.Contains(set, attribute) {
			t.Errorf("Set-Cookie %q lacks %s", set, attribute)
		}
	}
	if strings.Contains(set, "Secure") {
		t.Errorf("Set-Cookie %q on plain HTTP is Secure: browsers would drop it", set)
	}

	status := want[api.Status](b.do("GET", "/v1/status"), http.StatusOK)
	if status.SetupNeeded || len(status.Parts) == 0 {
		t.Errorf("status %+v, want the whole of it with nothing to set up", status)
	}
	b.do("POST", "/v1/setup", body(`{"code":%q}`, code)).refused(http.StatusNotFound, "invite_unknown", "new invite")

	renewed := b.do("POST", "/v1/tokens/renew", header("Content-Type", "application/json"))
	if want[api.Token](renewed, http.StatusCreated).Subject != "admin" || renewed.header.Get("Set-Cookie") == "" {
		t.Error("renewing did not renew the cookie")
	}
	b.do("POST", "/v1/logout", header("Content-Type", "application/json")).empty()
	if want[api.Session](b.do("GET", "/v1/session"), http.StatusOK).SignedIn {
		t.Error("still signed in after logout")
	}
	b.client.Jar = nil // a copy of the cookie is worthless too
	b.do("GET", "/v1/rooms", bearer(want[api.Token](renewed, http.StatusCreated).Token)).
		refused(http.StatusUnauthorized, "token_revoked", "revoked")
	if strings.Contains(b.log.String(), code) {
		t.Error("the log holds the setup code")
	}
}

func TestSetupOverHTTPS(t *testing.T) {
	b := newBox(t)
	server := httptest.NewTLSServer(b.api.Handler())
	defer server.Close()
	b.url, b.client = server.URL, server.Client()
	answer := b.do("POST", "/v1/setup", body(`{"code":%q,"bearer":true}`, b.setupCode()))
	done := want[api.SetupDone](answer, http.StatusOK)
	set := answer.header.Get("Set-Cookie")
	if !strings.HasPrefix(set, "__Host-signalbox-"+boxID+"=") || !strings.Contains(set, "Secure") {
		t.Errorf("Set-Cookie %q, want a Secure __Host- cookie", set)
	}
	want[api.RoomList](b.do("GET", "/v1/rooms", bearer(done.Token)), http.StatusOK)
	cookie, _, _ := strings.Cut(set, ";")
	if got := want[api.Session](b.do("GET", "/v1/session", header("Cookie", cookie)), http.StatusOK); got.Via != "cookie" {
		t.Errorf("session %+v, want one by cookie", got)
	}
	out := b.do("POST", "/v1/logout", header("Cookie", cookie), header("Content-Type", "application/json"))
	out.empty()
	if got := len(out.header.Values("Set-Cookie")); got != 2 {
		t.Errorf("logout removes %d cookies, want that of HTTPS and that of HTTP", got)
	}
}

func TestSetupWithADeviceInvite(t *testing.T) {
	b := newBox(t)
	code := b.invite(auth.Grant{Subject: "cam-7", Rooms: []string{"line-3"}, Rights: auth.DeviceRights})
	done := want[api.SetupDone](b.do("POST", "/v1/setup", body(`{"code":%q}`, code)), http.StatusOK)
	if done.Subject != "cam-7" || len(done.Rights) != 3 {
		t.Errorf("setup gave %+v, want the device the invite was for", done)
	}
	// A token that no cookie holds is handed out instead of lost.
	var rooms []string
	for range 60 {
		rooms = append(rooms, strings.Repeat("long-room-name-", 4))
	}
	code = b.invite(auth.Grant{Subject: "cam-8", Rooms: rooms, Rights: auth.DeviceRights})
	answer := b.do("POST", "/v1/setup", body(`{"code":%q}`, code))
	if done := want[api.SetupDone](answer, http.StatusOK); done.Token == "" || done.Via != "bearer" || answer.header.Get("Set-Cookie") != "" {
		t.Errorf("token of %d bytes, via %s, cookie %q", len(done.Token), done.Via, answer.header.Get("Set-Cookie"))
	}
}

func TestRedeem(t *testing.T) {
	b := newBox(t)
	code := b.invite(auth.Grant{Subject: "cam-*", Rooms: []string{"line-3"}, Rights: auth.DeviceRights})
	token := want[api.Token](b.do("POST", "/v1/invites/redeem", body(`{"code":%q}`, strings.ToLower(code))), http.StatusOK)
	if !strings.HasPrefix(token.Subject, "cam-") || token.Subject == "cam-*" || token.Rooms[0] != "line-3" {
		t.Errorf("token %+v, want one for line-3 with a name of its own", token)
	}
	if id, err := b.auth.Verify(token.Token); err != nil || id.Subject != token.Subject || id.TokenID != token.ID {
		t.Errorf("the token is %+v, %v; want what was told about it", id, err)
	}
	for name, test := range map[string]struct {
		body       string
		status     int
		code, text string
	}{
		"used up":  {`{"code":"` + code + `"}`, 404, "invite_unknown", "new invite"},
		"mistyped": {`{"code":"` + code[:len(code)-1] + `*"}`, 400, "bad_request", "'*'"},
		"short":    {`{"code":"ABCD"}`, 400, "bad_request", "4 characters"},
		"missing":  {`{}`, 400, "bad_request", "code is missing"},
		"number":   {`{"code":1234}`, 400, "bad_request", "the number 1234"},
		"bearer":   {`{"code":"x","bearer":true}`, 400, "bad_request", `"bearer"`},
	} {
		t.Run(name, func(t *testing.T) {
			b.do("POST", "/v1/invites/redeem", body("%s", test.body)).refused(test.status, test.code, test.text)
		})
	}
}

func TestExpiredInvite(t *testing.T) {
	b := newBox(t, func(c *api.Config) { c.Invites = tooLate{c.Invites.(*auth.Authority)} })
	b.do("POST", "/v1/invites/redeem", body(`{"code":%q}`, b.setupCode())).refused(http.StatusGone, "invite_expired", "new one")
}

// tooLate is Invites long after every one was made.
type tooLate struct{ *auth.Authority }

func (tooLate) Redeem(context.Context, string) (string, auth.Identity, error) {
	return "", auth.Identity{}, auth.ErrInviteExpired
}

func TestCodesAreLimitedPerSource(t *testing.T) {
	b := newBox(t)
	paths := []string{"/v1/setup", "/v1/invites/redeem"}
	var got jsonapi.Error
	tries := 0
	for ; got.Code != "rate_limited" && tries < 100; tries++ {
		answer := b.do("POST", paths[tries%2], body(`{"code":"ABCD"}`))
		got = want[jsonapi.Failure](answer, answer.status).Error
		if got.Code == "rate_limited" && (answer.status != http.StatusTooManyRequests || answer.header.Get("Retry-After") == "") {
			t.Errorf("status %d, Retry-After %q", answer.status, answer.header.Get("Retry-After"))
		}
	}
	if tries < 20 || tries > 25 || !got.Temporary || got.RetryAfterMS < 1 || got.RetryAfterMS > 2000 {
		t.Errorf("after %d tries %+v, want a limit after about 20 and at most 2 s to wait", tries, got)
	}
	if metrics := string(b.do("GET", "/metrics").body); !strings.Contains(metrics, "signalbox_http_codes_limited_total 1") {
		t.Error("the refusal is not counted")
	}
}
