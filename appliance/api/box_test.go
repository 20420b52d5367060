package api_test

import (
	"bytes"
	"crypto/ed25519"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
	"signalbox/appliance/auth/authtest"
)

const boxID = "k3x7abcdef"

// box is an API on real rooms and a real authority, served on a real socket.
type box struct {
	t       testing.TB
	api     *api.API
	auth    *auth.Authority
	rooms   *rooms
	log     *safeBuffer
	url     string // of the network side
	control string // of the control side
	admin   string // an administrator's token
	client  *http.Client
	started time.Time

	mu    sync.Mutex
	parts []api.Part
}

func newBox(t testing.TB, change ...func(*api.Config)) *box {
	t.Helper()
	b := newUnserved(t, change...)
	server, control := httptest.NewServer(b.api.Handler()), httptest.NewServer(b.api.Control())
	b.url, b.control, b.client = server.URL, control.URL, server.Client()
	t.Cleanup(func() {
		_ = b.api.Close()
		server.Close()
		control.Close()
	})
	return b
}

func newUnserved(t testing.TB, change ...func(*api.Config)) *box {
	t.Helper()
	b := &box{t: t, log: new(safeBuffer), rooms: newRooms(), started: time.Now().Add(-90 * time.Second), parts: []api.Part{
		{Name: "signaling", OK: true, Required: true}, {Name: "discovery", OK: true},
	}}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b.auth, err = auth.New(auth.Config{
		Admission: auth.AdmissionToken, Invites: new(authtest.Invites), Revocations: new(authtest.Revocations),
	}, key, boxID)
	if err != nil {
		t.Fatal(err)
	}
	cfg := api.Config{
		BoxID: boxID, Rooms: b.rooms, Tokens: b.auth, Invites: b.auth, Box: b, Relay: relay{}, Allocations: new(allocations), StoreFull: errFull,
		Logger: slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, fn := range change {
		if fn != nil {
			fn(&cfg)
		}
	}
	if b.api, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	b.admin = b.token("boss", auth.AllRights, "*")
	return b
}

func (b *box) token(subject string, rights auth.Rights, rooms ...string) string {
	b.t.Helper()
	token, _, err := b.auth.Issue(auth.Grant{Subject: subject, Rooms: rooms, Rights: rights, TTL: time.Hour})
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// Status leaves out what the API has to fill in.
func (b *box) Status() api.Status {
	return api.Status{Summary: api.Summary{ID: boxID, Site: "hall-2", Version: "1.2.3"}, Started: b.started}
}

func (b *box) Parts() []api.Part {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.parts)
}

func (b *box) setPart(part api.Part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parts[0] = part
}

func (b *box) WellKnown() api.WellKnown {
	return api.WellKnown{
		ID: boxID, Site: "hall-2", Version: "1.2.3", API: "/v1/openapi.json", HTTP: 8080,
		Signal: map[string]string{"signalbox.v1.json": "/v1/signal"},
	}
}

func (b *box) BaseURL() string { return "https://10.0.0.5:8443/" }

type relay struct{}

func (relay) Credential(host, subject string, ttl time.Duration) (api.TURNCredential, error) {
	return api.TURNCredential{
		URLs: []string{"turn:" + host + ":3478?transport=udp"}, Username: "1790000000:" + subject,
		Credential: "s3cret", Expires: time.Now().Add(ttl).UTC(),
	}, nil
}

// safeBuffer is a bytes.Buffer that a server may write while a test reads.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
