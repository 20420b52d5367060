package api_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

func TestTokensAreMadeAndRevoked(t *testing.T) {
	b := newBox(t)
	boss := bearer(b.admin)
	made := want[api.Token](b.do("POST", "/v1/tokens", boss, body(`{"subject":"cam-7","rooms":["line-3"],"ttl_s":3600}`)), http.StatusCreated)
	if made.Subject != "cam-7" || strings.Join(made.Rights, ",") != "join,send,create" || time.Until(made.Expires) > time.Hour {
		t.Errorf("token %+v, want join, send and create for an hour", made)
	}
	device := bearer(made.Token)
	if got := want[api.Session](b.do("GET", "/v1/session", device), http.StatusOK); got.Subject != "cam-7" || got.TokenID != made.ID || got.Via != "bearer" {
		t.Errorf("session %+v, want that of the token", got)
	}
	fresh := want[api.Token](b.do("POST", "/v1/tokens/renew", device), http.StatusCreated)
	if fresh.ID == made.ID || fresh.Subject != "cam-7" || fresh.Rooms[0] != "line-3" {
		t.Errorf("renewed %+v, want another token of the same grant", fresh)
	}
	b.do("POST", "/v1/revocations", boss, body(`{"token_id":%q}`, made.ID)).empty()
	b.do("GET", "/v1/session", device).refused(http.StatusUnauthorized, "token_revoked", "cam-7")
	want[api.Session](b.do("GET", "/v1/session", bearer(fresh.Token)), http.StatusOK)
	b.do("POST", "/v1/revocations", boss, body(`{"subject":"cam-7"}`)).empty()
	b.do("POST", "/v1/tokens/renew", bearer(fresh.Token)).refused(http.StatusUnauthorized, "token_revoked", "cam-7")
}

func TestTokenOfAnAdministratorEndsSetup(t *testing.T) {
	b := newBox(t)
	made := want[api.Token](b.onControl("POST", "/v1/tokens", body(`{"subject":"ops","rights":["admin"]}`)), http.StatusCreated)
	want[api.RoomList](b.do("GET", "/v1/rooms", bearer(made.Token)), http.StatusOK)
	if want[api.Summary](b.do("GET", "/v1/status"), http.StatusOK).SetupNeeded {
		t.Error("setup is still needed")
	}
}

func TestTokenAndRevocationRefusals(t *testing.T) {
	b := newBox(t)
	long := strings.Repeat("x", 300)
	for name, test := range map[string]struct{ path, body, field, text string }{
		"no subject":   {"/v1/tokens", `{"rooms":["r"]}`, "subject", "subject is missing"},
		"no rooms":     {"/v1/tokens", `{"subject":"cam"}`, "rooms", "rooms is missing"},
		"star":         {"/v1/tokens", `{"subject":"cam-*","rooms":["r"]}`, "subject", "invite"},
		"long subject": {"/v1/tokens", `{"subject":"` + long + `","rooms":["r"]}`, "subject", "300 bytes"},
		"long pattern": {"/v1/tokens", `{"subject":"cam","rooms":["` + long + `"]}`, "rooms", "300 bytes"},
		"right":        {"/v1/tokens", `{"subject":"cam","rooms":["r"],"rights":["root"]}`, "rights", `"root"`},
		"ttl":          {"/v1/tokens", `{"subject":"cam","rooms":["r"],"ttl_s":-1}`, "ttl_s", "-1"},
		"rooms text":   {"/v1/tokens", `{"subject":"cam","rooms":"r"}`, "rooms", "a list of texts"},
		"none":         {"/v1/revocations", `{}`, "token_id", "not both"},
		"both":         {"/v1/revocations", `{"token_id":"a","subject":"b"}`, "token_id", "not both"},
		"long id":      {"/v1/revocations", `{"token_id":"` + long + `"}`, "token_id", "300 bytes"},
		"long revoked": {"/v1/revocations", `{"subject":"` + long + `"}`, "subject", "300 bytes"},
		"turn subject": {"/v1/tokens/turn", `{"subject":"` + long + `"}`, "subject", "300 bytes"},
		"turn ttl":     {"/v1/tokens/turn", `{"ttl_s":99999999}`, "ttl_s", "99999999"},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.do("POST", test.path, bearer(b.admin), body("%s", test.body)).refused(http.StatusBadRequest, "bad_request", test.text)
			if got.Field != test.field {
				t.Errorf("field %q, want %q", got.Field, test.field)
			}
		})
	}
}

func TestTURNCredentials(t *testing.T) {
	b := newBox(t)
	got := want[api.TURNCredential](b.do("POST", "/v1/tokens/turn", bearer(b.admin), body(`{"ttl_s":600}`)), http.StatusCreated)
	if got.URLs[0] != "turn:127.0.0.1:3478?transport=udp" || got.Username != "1790000000:boss" || time.Until(got.Expires) > 10*time.Minute {
		t.Errorf("credential %+v, want one of boss for 10 minutes at the request's host", got)
	}
	got = want[api.TURNCredential](b.onControl("POST", "/v1/tokens/turn", body(`{"subject":"cam-7"}`)), http.StatusCreated)
	if got.Username != "1790000000:cam-7" || time.Until(got.Expires) < 59*time.Minute {
		t.Errorf("credential %+v, want one of cam-7 for an hour", got)
	}
	without := newBox(t, func(c *api.Config) { c.Relay = nil })
	without.do("POST", "/v1/tokens/turn", bearer(without.admin), body(`{}`)).refused(http.StatusServiceUnavailable, "unavailable", "turn.listen")
}

func TestRotateRelay(t *testing.T) {
	b := newBox(t)
	for text, overlap := range map[string]time.Duration{`{}`: 24 * time.Hour, `{"overlap_s":60}`: time.Minute, `{"overlap_s":0}`: 0} {
		got := want[api.RelayRotated](b.do("POST", "/v1/relay/rotate", bearer(b.admin), body("%s", text)), http.StatusOK)
		if left := time.Until(got.OlderUntil) - overlap; left > 0 || left < -10*time.Second {
			t.Errorf("%s: older secrets until %v, want %v from now", text, got.OlderUntil, overlap)
		}
	}
	b.do("POST", "/v1/relay/rotate", bearer(b.admin), body(`{"overlap_s":-1}`)).refused(http.StatusBadRequest, "bad_request", "overlap_s is -1")
	b.do("POST", "/v1/relay/rotate", bearer(b.admin), body(`{"overlap_s":7}`)).refused(http.StatusConflict, "limit", "wait")
	without := newBox(t, func(c *api.Config) { c.Relay = nil })
	without.do("POST", "/v1/relay/rotate", bearer(without.admin), body(`{}`)).refused(http.StatusServiceUnavailable, "unavailable", "turn.listen")
}

func TestLiftRevocation(t *testing.T) {
	b := newBox(t)
	device := b.token("cam-7", auth.DeviceRights, "*")
	b.do("POST", "/v1/revocations", bearer(b.admin), body(`{"subject":"cam-7","lift":true}`)).refused(http.StatusNotFound, "not_revoked", "cam-7")
	b.do("POST", "/v1/revocations", bearer(b.admin), body(`{"subject":"cam-7"}`)).empty()
	b.do("POST", "/v1/tokens/renew", bearer(device)).refused(http.StatusUnauthorized, "token_revoked", "")
	b.do("POST", "/v1/revocations", bearer(b.admin), body(`{"subject":"cam-7","lift":true}`)).empty()
	if _, err := b.auth.Verify(device); err != nil {
		t.Errorf("after lifting: %v", err)
	}
}

func TestManyRevocationsAreRefused(t *testing.T) {
	b := newBox(t)
	for i := range auth.MaxRevocations {
		if err := b.auth.Revoke(t.Context(), auth.Revocation{TokenID: itoa(uint64(i))}); err != nil {
			t.Fatal(err)
		}
	}
	b.do("POST", "/v1/revocations", bearer(b.admin), body(`{"token_id":"one-more"}`)).refused(http.StatusConflict, "limit", "lift")
}
