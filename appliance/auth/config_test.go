package auth_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"

	"signalbox/appliance/auth"
)

// TestValidate: every fault at once, each with what would be accepted.
func TestValidate(t *testing.T) {
	err := auth.Config{
		Admission: "anyone", TokenTTL: time.Second, OpenRooms: []string{"a b"}, OpenRights: []string{"join", "admin", "fly"},
		Issuers: []auth.IssuerConfig{
			{Issuer: "a", JWKSFile: "f", Algorithms: []string{"none", "HS256"}, Rooms: []string{""}, Rights: []string{"x"}},
			{Issuer: "a", JWKSFile: "f", HS256SecretFile: "g", Audience: []string{""}, SubjectPrefix: "\n"},
			{HS256SecretFile: "g", Algorithms: []string{"RS256"}, SubjectPrefix: strings.Repeat("p", 65)},
		},
	}.Validate()
	for _, want := range []string{
		`auth.admission: got "anyone", want token or open`,
		`auth.token_ttl: got "1s", want 1m to 87600h`,
		`auth.open_rooms: got "a b", want a room name`,
		`auth.open_rights: got "fly", want join, send, create, manage or admin`,
		`auth.issuers[0].algorithms: got "none", want EdDSA, ES256`,
		`auth.issuers[0].algorithms: got "HS256", want EdDSA, ES256`,
		`auth.issuers[0].rooms: got ""`,
		`auth.issuers[0].rights: got "x"`,
		`auth.issuers[1].issuer: got "a", want an issuer that issuers[0] does not name already`,
		`auth.issuers[1].jwks_file: got "f", want either jwks_file or hs256_secret_file`,
		`auth.issuers[1].audience: got ""`,
		`auth.issuers[1].subject_prefix: got "\n"`,
		`auth.issuers[2].issuer: got ""`,
		`auth.issuers[2].algorithms: got "RS256", want HS256`,
		`auth.issuers[2].subject_prefix: got "ppp`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate does not say %q:\n%v", want, err)
		}
	}
	if _, ok := errors.AsType[*auth.FieldError](err); !ok {
		t.Errorf("%T holds no *FieldError", err)
	}
	if err := (auth.Config{OpenRights: []string{"join", "admin"}}).Validate(); err == nil || !strings.Contains(err.Error(), "administer") {
		t.Errorf("Validate: %v, want open_rights with admin refused", err)
	}
	if err := (auth.Config{}).Check(); err != nil {
		t.Error("the zero Config:", err)
	}
}

func TestConfigText(t *testing.T) {
	var got auth.Config
	err := toml.NewDecoder(strings.NewReader(`
		admission = "token"
		[[issuers]]
		name = "corp"
		issuer = "https://id.example.com/"
		jwks_file = "/etc/signalbox/corp.jwks"
		rooms = ["line-*"]
	`)).DisallowUnknownFields().Decode(&got)
	want := auth.Config{Admission: "token", Issuers: []auth.IssuerConfig{{
		Name: "corp", Issuer: "https://id.example.com/", JWKSFile: "/etc/signalbox/corp.jwks", Rooms: []string{"line-*"},
	}}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("decoded %+v, %v, want %+v", got, err, want)
	}
}

func TestNewRefuses(t *testing.T) {
	key := newKey(t)
	for name, make := range map[string]func() (*auth.Authority, error){
		"itself as an outside issuer": func() (*auth.Authority, error) {
			return auth.New(auth.Config{Issuers: []auth.IssuerConfig{{Issuer: "signalbox:" + box, JWKSFile: "f"}}}, key, box)
		},
		"faulty configuration": func() (*auth.Authority, error) { return auth.New(auth.Config{Admission: "x"}, key, box) },
		"no key":               func() (*auth.Authority, error) { return auth.New(auth.Config{}, nil, box) },
		"no box id":            func() (*auth.Authority, error) { return auth.New(auth.Config{}, key, "") },
	} {
		if _, err := make(); err == nil {
			t.Errorf("%s: New made an authority", name)
		}
	}
}

func TestOpen(t *testing.T) {
	closed, _ := newAuthority(t, auth.Config{})
	if id, err := closed.Open("cam-7"); !errors.Is(err, auth.ErrClosed) {
		t.Errorf("Open = %+v, %v, want ErrClosed", id, err)
	}
	a, _ := newAuthority(t, auth.Config{Admission: auth.AdmissionOpen})
	id, err := a.Open("cam-7")
	if err != nil || id.Subject != "open:cam-7" || !id.MayJoin("x") || id.Has(auth.RightManage) || id.Expired(time.Now()) {
		t.Errorf("Open = %+v, %v", id, err)
	}
	first, _ := a.Open("")
	second, _ := a.Open("")
	if first.Subject == second.Subject {
		t.Errorf("two without a name are both %q", first.Subject)
	}
	if _, err := a.Open("a\x00b"); !errors.Is(err, auth.ErrMalformed) {
		t.Errorf("Open with a control character: %v, want ErrMalformed", err)
	}
	narrow, _ := newAuthority(t, auth.Config{
		Admission: auth.AdmissionOpen, OpenRooms: []string{"lobby"}, OpenRights: []string{"join"},
	})
	if id, err := narrow.Open("x"); err != nil || id.MayJoin("x") || !id.MayJoin("lobby") || id.Rights != auth.RightJoin {
		t.Errorf("Open = %+v, %v, want the lobby only", id, err)
	}
}

func TestRights(t *testing.T) {
	encoded, err := json.Marshal(auth.RightJoin | auth.RightAdmin)
	if err != nil || string(encoded) != `["join","admin"]` {
		t.Errorf("Marshal = %s, %v", encoded, err)
	}
	for r := range auth.AllRights + 1 {
		back, err := auth.ParseRights(r.Names())
		if err != nil || back != r {
			t.Errorf("ParseRights(%v) = %v, %v", r, back, err)
		}
	}
	var r auth.Rights
	for _, bad := range []string{`"join"`, `["fly"]`, `7`} {
		if err := json.Unmarshal([]byte(bad), &r); err == nil {
			t.Errorf("Unmarshal(%s) gave %v", bad, r)
		}
	}
	if got := auth.Rights(0).String(); got != "none" {
		t.Errorf("the empty set is %q", got)
	}
	if !(auth.Identity{Rights: auth.AllRights}).Has(auth.RightManage|auth.RightSend) || (auth.Identity{Rights: auth.RightJoin}).Has(auth.DeviceRights) {
		t.Error("Has does not ask for every right")
	}
}

func TestMayJoin(t *testing.T) {
	for _, test := range []struct {
		pattern, room string
		want          bool
	}{
		{"line-3", "line-3", true},
		{"line-3", "line-30", false},
		{"*", "", true},
		{"*", "anything", true},
		{"line-*", "line-", true},
		{"line-*", "line", false},
		{"*-cam", "hall-2-cam", true},
		{"*-cam", "hall-2-cams", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"a**c", "abc", true},
		{"line-?", "line-3", false},
		{"Line-3", "line-3", false},
		{strings.Repeat("a*", 60) + "b", strings.Repeat("a", 5000), false}, // at once, not after ages
	} {
		id := auth.Identity{Rooms: []string{"never", test.pattern}, Rights: auth.RightJoin}
		if got := id.MayJoin(test.room); got != test.want {
			t.Errorf("%q: MayJoin(%q) = %v, want %v", test.pattern, test.room, got, test.want)
		}
	}
	if (auth.Identity{Rooms: []string{"*"}, Rights: auth.RightSend}).MayJoin("x") {
		t.Error("may join without the right to")
	}
}

// TestSecretDoesNotPrint tries the ways a secret has ended up in logs before.
func TestSecretDoesNotPrint(t *testing.T) {
	s := auth.NewSecret("hunter2")
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", s, "in", struct{ S auth.Secret }{s})
	encoded, err := json.Marshal(map[string]any{"s": s, "p": &s})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		s.String(), fmt.Sprint(s), fmt.Sprintf("%s %q %v %+v %#v %x %X %d", s, s, s, s, s, s, s, s), fmt.Sprintf("%+v", struct{ S auth.Secret }{s}),
		fmt.Sprintf("%#v", &s), log.String(), string(encoded),
	} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, fmt.Sprintf("%x", "hunter2")) {
			t.Errorf("the secret shows in %q", text)
		}
		if !strings.Contains(text, "[redacted]") {
			t.Errorf("%q, want [redacted] in it", text)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Errorf("Reveal = %q", s.Reveal())
	}
}

func TestReason(t *testing.T) {
	if got := auth.Reason(fmt.Errorf("step: %w", auth.ErrExpired)); got != "expired" {
		t.Errorf("Reason = %q", got)
	}
	if got := auth.Reason(errors.New("x")); got != "other" {
		t.Errorf("Reason = %q", got)
	}
}

func TestParseBoxKey(t *testing.T) {
	ec := "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAAAAAAAAAAAAAAAA\n-----END PRIVATE KEY-----\n"
	for name, encoded := range map[string]string{"empty": "", "not PEM": "hello", "zeros": strings.Repeat("\x00", 119), "cut short": ec} {
		if _, err := auth.ParseBoxKey([]byte(encoded)); err == nil {
			t.Errorf("%s: parsed", name)
		}
	}
}
