package api_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
	"signalbox/appliance/signaling"
	"signalbox/appliance/store"
	"signalbox/appliance/store/storetest"
)

// open builds a box on the real store and signaling of a data folder, with its
// control side on a unix socket.
func open(t *testing.T, dir string) *box {
	t.Helper()
	db := storetest.OpenConfig(t, store.Config{Dir: dir})
	encoded, err := db.CreateKey(t.Context(), "box", auth.NewBoxKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.ParseBoxKey(encoded)
	if err != nil {
		t.Fatal(err)
	}
	epoch, err := db.NextIncarnation(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	authority, err := auth.New(auth.Config{Admission: auth.AdmissionToken, Invites: db, Revocations: db}, key, db.BoxID())
	if err != nil {
		t.Fatal(err)
	}
	cfg := signaling.DefaultConfig()
	cfg.Authority, cfg.Journal, cfg.Rooms = authority, db, db
	cfg.ResumeKey, cfg.Box, cfg.Epoch = make([]byte, 32), db.BoxID(), epoch
	cfg.ICE = func(netip.Addr, auth.Identity) signaling.ICE { return signaling.ICE{} }
	halls, err := signaling.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- halls.Run(ctx) }()
	b := newUnserved(t, func(c *api.Config) {
		c.BoxID, c.Rooms, c.Tokens, c.Invites, c.Archive = db.BoxID(), halls, authority, authority, db
		c.StoreFull = store.ErrFull
	})
	server, control := httptest.NewServer(b.api.Handler()), httptest.NewUnstartedServer(b.api.Control())
	socket := filepath.Join(t.TempDir(), "control.sock")
	_ = control.Listener.Close()
	if control.Listener, err = net.Listen("unix", socket); err != nil {
		t.Fatal(err)
	}
	control.Start()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == "control:80" {
			network, addr = "unix", socket
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}
	b.url, b.control, b.client, b.auth = server.URL, "http://control", &http.Client{Transport: transport}, authority
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		control.Close()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("signaling: %v", err)
		}
	})
	return b
}

// TestWhatWasAnsweredIsThereAfterARestart runs one data folder twice.
func TestWhatWasAnsweredIsThereAfterARestart(t *testing.T) {
	dir := t.TempDir()
	var invite api.InviteCreated
	var device, revoked api.Token
	t.Run("first", func(t *testing.T) {
		b := open(t, dir)
		done := want[api.SetupDone](b.do("POST", "/v1/setup", body(`{"code":%q,"bearer":true}`, b.setupCode())), http.StatusOK)
		boss := bearer(done.Token)
		want[api.Room](b.do("POST", "/v1/rooms", boss, body(`{"name":"hall/line-3","pinned":true,"capacity":4}`)), http.StatusCreated)
		want[api.Room](b.do("PATCH", "/v1/rooms/hall%2Fline-3", boss, body(`{"description":"Press"}`)), http.StatusOK)
		want[api.Value](b.do("PUT", "/v1/rooms/hall%2Fline-3/metadata/layout", boss, body(`{"data":{"cols":2}}`)), http.StatusOK)
		want[api.Room](b.do("POST", "/v1/rooms", boss, body(`{"name":"gone","pinned":true}`)), http.StatusCreated)
		b.do("DELETE", "/v1/rooms/gone", boss).empty()
		b.do("DELETE", "/v1/rooms/hall%2Fline-3/members/m_1", boss).refused(http.StatusNotFound, "member_not_found", "m_1")
		invite = want[api.InviteCreated](b.do("POST", "/v1/invites", boss, body(`{"room":"hall/line-3","uses":2}`)), http.StatusCreated)
		device = want[api.Token](b.do("POST", "/v1/invites/redeem", body(`{"code":%q}`, invite.Code)), http.StatusOK)
		revoked = want[api.Token](b.do("POST", "/v1/tokens", boss, body(`{"subject":"old","rooms":["*"]}`)), http.StatusCreated)
		b.do("POST", "/v1/revocations", boss, body(`{"token_id":%q}`, revoked.ID)).empty()
	})
	t.Run("second", func(t *testing.T) {
		b := open(t, dir)
		if want[api.Summary](b.do("GET", "/v1/status"), http.StatusOK).SetupNeeded {
			t.Error("the box needs setup again")
		}
		list := want[api.RoomList](b.onControl("GET", "/v1/rooms"), http.StatusOK)
		if len(list.Rooms) != 1 || list.Rooms[0].Description != "Press" || string(list.Rooms[0].Metadata["layout"].Data) != `{"cols":2}` {
			t.Errorf("rooms %+v, want the one that was not deleted, as it was", list.Rooms)
		}
		want[api.Session](b.do("GET", "/v1/session", bearer(device.Token)), http.StatusOK)
		b.do("GET", "/v1/session", bearer(revoked.Token)).refused(http.StatusUnauthorized, "token_revoked", "old")
		want[api.Token](b.do("POST", "/v1/invites/redeem", body(`{"code":%q}`, invite.Code)), http.StatusOK)
		b.do("POST", "/v1/invites/redeem", body(`{"code":%q}`, invite.Code)).refused(http.StatusNotFound, "invite_unknown", "used up")

		path := filepath.Join(t.TempDir(), "copy.db")
		if err := os.WriteFile(path, b.onControl("GET", "/v1/backup").body, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := store.Verify(path); err != nil {
			t.Error(err)
		}
	})
}
