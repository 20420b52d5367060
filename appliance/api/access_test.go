package api_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// TestEveryOperationAsksWhoIsThere goes through the document: what it calls
// protected is refused to nobody, to a device, and with a bad token.
func TestEveryOperationAsksWhoIsThere(t *testing.T) {
	b := newBox(t)
	device := bearer(b.token("cam-7", auth.DeviceRights, "*"))
	fill := strings.NewReplacer("{name}", "line-3", "{member}", "m_1", "{key}", "k", "{id}", "i", "{user}", "u")
	for _, operation := range document().Protected() {
		method, template, _ := strings.Cut(operation, " ")
		path := fill.Replace(template)
		t.Run(operation, func(t *testing.T) {
			b.do(method, path).refused(http.StatusUnauthorized, "unauthorized", "Bearer")
			b.do(method, path, bearer("x.y.z")).refused(http.StatusUnauthorized, "token_malformed", "malformed")
			b.do(method, path, header("Authorization", "Basic eDp5")).refused(http.StatusUnauthorized, "unauthorized", "Basic")
			b.do(method, path, header("Cookie", "signalbox-"+boxID+"=stale")).refused(http.StatusUnauthorized, "token_malformed", "")
			if template != "/v1/tokens/renew" {
				b.do(method, path, device).refused(http.StatusForbidden, "forbidden", "")
			}
		})
	}
}

func TestTokenRefusals(t *testing.T) {
	b, other := newBox(t), newBox(t)
	revoked := b.token("gone", auth.AllRights, "*")
	if err := b.auth.Revoke(t.Context(), auth.Revocation{Subject: "gone"}); err != nil {
		t.Fatal(err)
	}
	forged := b.admin[:len(b.admin)-8] + "AAAAAAAA"
	for name, test := range map[string]struct{ token, code string }{
		"forged":    {forged, "token_signature"},
		"other box": {other.admin, "token_signature"},
		"revoked":   {revoked, "token_revoked"},
		"too large": {strings.Repeat("x", 9000), "token_malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.do("GET", "/v1/rooms", bearer(test.token))
			got.refused(http.StatusUnauthorized, test.code, "")
			if !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
				t.Error("no WWW-Authenticate")
			}
			b.do("GET", "/v1/status", bearer(test.token)).refused(http.StatusUnauthorized, test.code, "")
		})
	}
	if strings.Contains(b.log.String(), b.admin[:40]) {
		t.Error("the log holds a token")
	}
}

func TestControlSocketNeedsNoToken(t *testing.T) {
	b := newBox(t)
	if got := want[api.Session](b.onControl("GET", "/v1/session"), http.StatusOK); got.Via != "control" || got.Subject != "control" {
		t.Errorf("session %+v, want control", got)
	}
	want[api.Room](b.onControl("POST", "/v1/rooms", body(`{"name":"line-3"}`)), http.StatusCreated)
	invite := want[api.InviteCreated](b.onControl("POST", "/v1/invites", body(`{"room":"line-3"}`)), http.StatusCreated)
	if !strings.HasPrefix(invite.URL, "https://10.0.0.5:8443/call#invite=") {
		t.Errorf("link %q, want one that begins with the box's own address", invite.URL)
	}
	b.onControl("POST", "/v1/tokens/renew").refused(http.StatusForbidden, "forbidden", "POST /v1/tokens")
	b.onControl("POST", "/v1/setup", body(`{"code":"x"}`)).refused(http.StatusForbidden, "forbidden", "browser")
	b.onControl("POST", "/v1/logout").empty()
	for range 60 { // more than the limit of a network source
		b.onControl("POST", "/v1/invites/redeem", body(`{"code":"0"}`)).refused(http.StatusBadRequest, "bad_request", "characters")
	}
}

func TestOtherSitesAreRefused(t *testing.T) {
	b := newBox(t)
	cookie := header("Cookie", "signalbox-"+boxID+"="+b.admin)
	for name, opts := range map[string][]option{
		"fetch metadata": {cookie, header("Sec-Fetch-Site", "cross-site"), body(`{"name":"x"}`)},
		"same site only": {cookie, header("Sec-Fetch-Site", "same-site"), body(`{"name":"x"}`)},
		"origin":         {cookie, header("Origin", "http://evil.example"), body(`{"name":"x"}`)},
		"null origin":    {cookie, header("Origin", "null"), body(`{"name":"x"}`)},
		"bearer too":     {bearer(b.admin), header("Sec-Fetch-Site", "cross-site"), body(`{"name":"x"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			b.do("POST", "/v1/rooms", opts...).refused(http.StatusForbidden, "cross_origin", "another site")
			b.do("DELETE", "/v1/rooms/x", opts...).refused(http.StatusForbidden, "cross_origin", "another site")
			b.do("POST", "/v1/setup", opts...).refused(http.StatusForbidden, "cross_origin", "another site")
		})
	}
	form := []option{cookie, body(`{"name":"x"}`), header("Content-Type", "text/plain")}
	b.do("POST", "/v1/rooms", form...).refused(http.StatusUnsupportedMediaType, "unsupported_media_type", "text/plain")
	b.do("POST", "/v1/logout", cookie).refused(http.StatusUnsupportedMediaType, "unsupported_media_type", "application/json")

	want[api.Room](b.do("POST", "/v1/rooms", cookie, header("Sec-Fetch-Site", "same-origin"), body(`{"name":"x"}`)), http.StatusCreated)
	b.do("DELETE", "/v1/rooms/x", cookie, header("Origin", b.url)).empty()
}

func TestUnknownPathsAndMethods(t *testing.T) {
	b := newBox(t)
	b.do("GET", "/v1/nothing").refused(http.StatusNotFound, "not_found", "/v1/nothing")
	b.do("POST", "/").refused(http.StatusNotFound, "not_found", "openapi.json")
	got := b.do("PUT", "/v1/rooms/line-3")
	got.refused(http.StatusMethodNotAllowed, "method_not_allowed", "GET, HEAD, PATCH, DELETE")
	if allow := got.header.Get("Allow"); allow != "GET, HEAD, PATCH, DELETE" {
		t.Errorf("Allow %q", allow)
	}
	b.do("GET", "/v1/invites/redeem").refused(http.StatusMethodNotAllowed, "method_not_allowed", "POST")
	b.do("OPTIONS", "/v1/status").refused(http.StatusMethodNotAllowed, "method_not_allowed", "GET, HEAD")
}

func TestPanicIsContained(t *testing.T) {
	b := newBox(t, func(c *api.Config) { c.Rooms = (*rooms)(nil) })
	got := b.do("GET", "/v1/rooms", bearer(b.admin)).refused(http.StatusInternalServerError, "internal", "look for fault")
	if !got.Temporary || got.ID == "" || !strings.Contains(b.log.String(), got.ID) {
		t.Errorf("id %q is not in the log", got.ID)
	}
	if !strings.Contains(b.log.String(), "site_test.go") {
		t.Error("the log has no stack")
	}
	want[api.Session](b.do("GET", "/v1/session"), http.StatusOK) // and goes on
}

func TestExpiredTokenOfACookieIsForgotten(t *testing.T) {
	b := newBox(t)
	token, _, err := b.auth.Issue(auth.Grant{Subject: "boss", Rooms: []string{"*"}, Rights: auth.AllRights, TTL: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.auth.Revoke(t.Context(), auth.Revocation{Subject: "boss"}); err != nil {
		t.Fatal(err)
	}
	got := b.do("GET", "/v1/session", header("Cookie", "signalbox-"+boxID+"="+token))
	if want[api.Session](got, http.StatusOK).SignedIn {
		t.Error("signed in with a revoked token")
	}
	if set := got.header.Get("Set-Cookie"); !strings.Contains(set, "Max-Age=0") {
		t.Errorf("Set-Cookie %q, want the cookie removed", set)
	}
}
