package api_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

func TestStatusTellsStrangersOnlyTheSummary(t *testing.T) {
	b := newBox(t)
	summary := b.do("GET", "/v1/status")
	if got := want[api.Summary](summary, http.StatusOK); got.ID != boxID || got.Site != "hall-2" || got.Version != "1.2.3" || !got.Ready {
		t.Errorf("summary %+v", got)
	}
	for _, secret := range []string{"parts", "store", "relay", "uptime_s"} {
		if bytes.Contains(summary.body, []byte(`"`+secret+`"`)) {
			t.Errorf("a stranger reads %s in %s", secret, summary.body)
		}
	}
	device := b.do("GET", "/v1/status", bearer(b.token("cam-7", auth.DeviceRights, "*")))
	if !bytes.Equal(device.body, summary.body) {
		t.Errorf("a device reads %s", device.body)
	}
	full := want[api.Status](b.do("GET", "/v1/status", bearer(b.admin)), http.StatusOK)
	if full.UptimeSeconds < 90 || full.UptimeSeconds > 100 || len(full.Parts) != 2 || !full.Ready || full.Relay.UDP == nil {
		t.Errorf("status %+v, want the uptime, both parts and empty lists", full)
	}
}

func TestStatusSurvivesItsStore(t *testing.T) {
	b := newBox(t, func(c *api.Config) { c.Invites = noStore{c.Invites.(*auth.Authority)} })
	want[api.Status](b.do("GET", "/v1/status", bearer(b.admin)), http.StatusOK)
	if !strings.Contains(b.log.String(), "disk is gone") {
		t.Error("the log does not say why")
	}
	got := b.do("GET", "/v1/invites", bearer(b.admin)).refused(http.StatusInternalServerError, "internal", "look for fault")
	if strings.Contains(got.Message, "disk") || !strings.Contains(b.log.String(), got.ID) {
		t.Errorf("message %q, want the reason in the log only", got.Message)
	}
	b.do("POST", "/v1/invites/redeem", body(`{"code":%q}`, b.setupCode())).
		refused(http.StatusInsufficientStorage, "store_full", "store.max_bytes")
	late := b.do("DELETE", "/v1/rooms/r", bearer(b.admin))
	late.refused(http.StatusNotFound, "room_not_found", "")
}

var errFull = errors.New("store is full; raise store.max_bytes")

// noStore is Invites whose store has failed.
type noStore struct{ *auth.Authority }

func (noStore) NeedsSetup() (bool, error) { return false, errors.New("disk is gone") }

func (noStore) Invites() ([]auth.Invite, error) { return nil, errors.New("disk is gone") }

func (noStore) Redeem(context.Context, string) (string, auth.Identity, error) {
	return "", auth.Identity{}, errFull
}

func TestHealth(t *testing.T) {
	b := newBox(t)
	if got := want[api.Health](b.do("GET", "/healthz"), http.StatusOK); !got.OK {
		t.Errorf("health %+v", got)
	}
	if got := want[api.Health](b.do("GET", "/readyz"), http.StatusOK); !got.OK || len(got.Parts) != 2 {
		t.Errorf("readiness %+v", got)
	}
	b.setPart(api.Part{Name: "signaling", Reason: "port 8080 is in use", OK: false})
	if got := want[api.Health](b.do("GET", "/readyz"), http.StatusOK); !got.OK || got.Parts[0].OK {
		t.Errorf("readiness %+v, want ready without a part that is not required", got)
	}
	b.setPart(api.Part{Name: "store", Required: true, Reason: "the disk is full; free some space"})
	if got := want[api.Health](b.do("GET", "/readyz"), http.StatusServiceUnavailable); got.OK || got.Parts[0].Reason == "" {
		t.Errorf("readiness %+v, want the part that fails with its reason", got)
	}
	if want[api.Summary](b.do("GET", "/v1/status"), http.StatusOK).Ready {
		t.Error("the summary says ready")
	}
	text := b.do("GET", "/readyz", header("Accept", "text/plain"))
	if want := "failing\nstore failing: the disk is full; free some space\ndiscovery ok\n"; string(text.body) != want || text.status != 503 {
		t.Errorf("%d %q, want 503 %q", text.status, text.body, want)
	}
	if got := b.do("GET", "/healthz", header("Accept", "text/plain")); string(got.body) != "ok\n" {
		t.Errorf("health as text is %q", got.body)
	}
}

func TestWellKnownAndOpenAPI(t *testing.T) {
	b := newBox(t)
	known := want[api.WellKnown](b.do("GET", "/.well-known/signalbox"), http.StatusOK)
	if known.Signal["signalbox.v1.json"] != "/v1/signal" || known.ID != boxID {
		t.Errorf("well-known %+v", known)
	}
	doc := b.do("GET", known.API)
	if !bytes.Equal(doc.body, api.OpenAPI()) {
		t.Error("the document served is another one")
	}
	again := b.raw("GET", known.API, header("If-None-Match", doc.header.Get("ETag")))
	if again.status != http.StatusNotModified {
		t.Errorf("status %d for a document the client has, want 304", again.status)
	}
	if head := b.raw("HEAD", "/v1/status"); head.status != http.StatusOK || len(head.body) > 0 {
		t.Errorf("HEAD gives %d with %d bytes", head.status, len(head.body))
	}
}

func TestMetricsHaveRouteTemplates(t *testing.T) {
	b := newBox(t)
	b.do("GET", "/v1/rooms/secret-name", bearer(b.admin)).refused(http.StatusNotFound, "room_not_found", "")
	b.do("GET", "/no/such/path").refused(http.StatusNotFound, "not_found", "")
	text := string(b.do("GET", "/metrics").body)
	for _, line := range []string{
		`signalbox_http_requests_total{code="404",method="GET",route="/v1/rooms/{name}"} 1`,
		`signalbox_http_requests_total{code="404",method="*",route="unknown"} 1`,
		`signalbox_http_request_seconds_count{method="GET",route="/v1/rooms/{name}"} 1`,
		`signalbox_http_event_streams_ended_total{reason="slow"} 0`,
		"go_goroutines ",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("metrics lack %s", line)
		}
	}
	if strings.Contains(text, "secret-name") || strings.Contains(text, "/no/such/path") {
		t.Error("a label comes from a request")
	}
}

// A backup holds the keys of the box: it is for administrators alone.
func TestBackup(t *testing.T) {
	b := newBox(t, func(c *api.Config) { c.Archive = copies("12345") })
	for _, got := range []answer{b.do("GET", "/v1/backup", bearer(b.admin)), b.onControl("GET", "/v1/backup")} {
		if got.status != http.StatusOK || string(got.body) != "12345" || got.header.Get("Content-Length") != "5" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("backup: %d %q %v", got.status, got.body, got.header)
		}
	}
	b.do("GET", "/v1/backup").refused(http.StatusUnauthorized, "unauthorized", "token")
	b.do("GET", "/v1/backup", bearer(b.token("cam-7", auth.DeviceRights, "*"))).refused(http.StatusForbidden, "forbidden", "")
	without := newBox(t)
	without.onControl("GET", "/v1/backup").refused(http.StatusServiceUnavailable, "unavailable", "no store")
}

// copies is an Archive of that content.
type copies string

func (c copies) Copy(_ context.Context, begin func(int64) io.Writer) error {
	_, err := io.WriteString(begin(int64(len(c))), string(c))
	return err
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := api.New(api.Config{}); err == nil || !strings.Contains(err.Error(), "BoxID") {
		t.Errorf("New without a box id: %v", err)
	}
	if _, err := api.New(api.Config{BoxID: boxID}); err == nil || !strings.Contains(err.Error(), "Rooms") {
		t.Errorf("New without parts: %v", err)
	}
}
