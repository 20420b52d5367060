package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

func TestInviteHasALinkAndAQRCode(t *testing.T) {
	b := newBox(t)
	boss := bearer(b.admin)
	created := want[api.InviteCreated](b.do("POST", "/v1/invites", boss,
		body(`{"room":"hall/line-3","rooms":["hall/*"],"rights":["join","send","create"],"ttl_s":600,"token_ttl_s":7200,"uses":3,"note":"for the new cameras"}`)), http.StatusCreated)
	link, err := url.Parse(created.URL)
	if err != nil {
		t.Fatal(err)
	}
	fragment, err := url.ParseQuery(link.EscapedFragment())
	if err != nil {
		t.Fatal(err)
	}
	if base := link.Scheme + "://" + link.Host; base != b.url || link.Path != "/call" || link.RawQuery != "" {
		t.Errorf("link %s, want the call page of %s", created.URL, b.url)
	}
	if fragment.Get("invite") != created.Code || fragment.Get("room") != "hall/line-3" {
		t.Errorf("fragment %v, want the code and the room", fragment)
	}
	if !strings.HasPrefix(created.QR, "<svg ") || !strings.HasSuffix(created.QR, "</svg>") {
		t.Errorf("QR code %.80q is no svg element", created.QR)
	}
	if life := created.Expires.Sub(created.Created); life != 10*time.Minute || created.TokenTTL != 7200 || created.Uses != 3 ||
		created.Kind != "device" || created.Subject != "device-*" {
		t.Errorf("invite %+v, want what was asked for", created.Invite)
	}

	token := want[api.Token](b.do("POST", "/v1/invites/redeem", body(`{"code":%q}`, created.Code)), http.StatusOK)
	if strings.Join(token.Rights, ",") != "join,send,create" || strings.Join(token.Rooms, ",") != "hall/*" {
		t.Errorf("token %+v, want what the invite grants", token)
	}
	list := want[api.InviteList](b.do("GET", "/v1/invites", boss), http.StatusOK)
	if len(list.Invites) != 1 || list.Invites[0].ID != created.ID || list.Invites[0].Uses != 2 {
		t.Errorf("invites %+v, want the one with 2 uses left", list.Invites)
	}
	b.do("DELETE", "/v1/invites/"+created.ID, boss).empty()
	b.do("DELETE", "/v1/invites/"+created.ID, boss).refused(http.StatusNotFound, "invite_unknown", created.ID)
	b.do("POST", "/v1/invites/redeem", body(`{"code":%q}`, created.Code)).refused(http.StatusNotFound, "invite_unknown", "")
	if strings.Contains(b.log.String(), created.Code) {
		t.Error("the log holds the code")
	}
}

func TestInviteOfAnAdministrator(t *testing.T) {
	b := newBox(t)
	created := want[api.InviteCreated](b.do("POST", "/v1/invites", bearer(b.admin), body(`{"kind":"admin"}`)), http.StatusCreated)
	if want := b.url + "/#setup=" + created.Code; created.URL != want || created.Kind != "admin" {
		t.Errorf("link %s of kind %s, want %s", created.URL, created.Kind, want)
	}
	done := want[api.SetupDone](b.do("POST", "/v1/setup", body(`{"code":%q,"bearer":true}`, created.Code)), http.StatusOK)
	if !strings.HasPrefix(done.Subject, "admin-") || len(done.Rights) != 5 {
		t.Errorf("the invited is %+v, want an administrator with a name of its own", done)
	}
}

func TestInviteTakesTheRoomOfTheLinkFromRooms(t *testing.T) {
	b := newBox(t)
	for body1, want1 := range map[string]string{
		`{"rooms":["line-*","office"]}`:        "&room=office",
		`{"rooms":["line-*"]}`:                 "",
		`{"rooms":["line-*"],"room":"line-3"}`: "&room=line-3",
	} {
		created := want[api.InviteCreated](b.do("POST", "/v1/invites", bearer(b.admin), body("%s", body1)), http.StatusCreated)
		if got := strings.TrimPrefix(created.URL, b.url+"/call#invite="+created.Code); got != want1 {
			t.Errorf("%s gives a link that ends in %q, want %q", body1, got, want1)
		}
	}
}

func TestInviteRefusals(t *testing.T) {
	b := newBox(t)
	for name, test := range map[string]struct{ body, field, text string }{
		"nothing":       {`{}`, "rooms", "rooms is missing"},
		"kind":          {`{"kind":"robot","room":"r"}`, "kind", `"robot"`},
		"room":          {`{"room":"a b"}`, "room", "a b"},
		"other room":    {`{"room":"office","rooms":["line-*"]}`, "room", "fits none"},
		"pattern":       {`{"rooms":[""]}`, "rooms", "empty"},
		"rights":        {`{"room":"r","rights":["fly"]}`, "rights", `"fly"`},
		"admin rights":  {`{"room":"r","rights":["admin"]}`, "rights", "kind to admin"},
		"admin rooms":   {`{"kind":"admin","room":"r"}`, "kind", "leave room"},
		"ttl":           {`{"room":"r","ttl_s":-1}`, "ttl_s", "-1"},
		"long ttl":      {`{"room":"r","ttl_s":99999999999}`, "ttl_s", "99999999999"},
		"token ttl":     {`{"room":"r","token_ttl_s":-5}`, "token_ttl_s", "-5"},
		"fraction":      {`{"room":"r","ttl_s":1.5}`, "ttl_s", "the number 1.5"},
		"uses":          {`{"room":"r","uses":10001}`, "uses", "10001"},
		"negative uses": {`{"room":"r","uses":-1}`, "uses", "-1"},
		"one name":      {`{"room":"r","uses":2,"subject":"cam"}`, "subject", "put a *"},
		"two stars":     {`{"room":"r","subject":"*-*"}`, "subject", "at most one"},
		"subject":       {`{"room":"r","subject":" cam"}`, "subject", "space"},
		"control":       {`{"room":"r","subject":"a\u0007"}`, "subject", "print"},
		"note":          {`{"room":"r","note":"` + strings.Repeat("x", 300) + `"}`, "note", "300"},
		"twice":         {`{"room":"r","room":"s"}`, "room", "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.do("POST", "/v1/invites", bearer(b.admin), body("%s", test.body)).refused(http.StatusBadRequest, "bad_request", test.text)
			if got.Field != test.field {
				t.Errorf("field %q, want %q", got.Field, test.field)
			}
		})
	}
	if got := want[api.InviteList](b.do("GET", "/v1/invites", bearer(b.admin)), http.StatusOK); len(got.Invites) != 0 {
		t.Errorf("refused requests left %d invites", len(got.Invites))
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", b.url+"/v1/invites", strings.NewReader(`{"room":"r"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Host, r.Header = "box/../evil", http.Header{"Authorization": {"Bearer " + b.admin}, "Content-Type": {"application/json"}}
	response, err := b.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("a Host that is no host gives status %d, want 400", response.StatusCode)
	}
}

func TestInvitesRunOut(t *testing.T) {
	b := newBox(t)
	for range auth.MaxInvites {
		b.invite(auth.Grant{Subject: "cam", Rooms: []string{"r"}})
	}
	b.do("POST", "/v1/invites", bearer(b.admin), body(`{"room":"r"}`)).refused(http.StatusConflict, "limit", "delete some")
}
