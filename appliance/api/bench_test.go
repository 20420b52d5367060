package api_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"signalbox/appliance/api"
)

// BenchmarkRequest is what a request costs the box, without the socket.
func BenchmarkRequest(b *testing.B) {
	box := newUnserved(b, func(c *api.Config) { c.Logger = nil })
	handler := box.api.Handler()
	for _, c := range []struct{ name, method, path, token, body string }{
		{"healthz", "GET", "/healthz", "", ""},
		{"status-stranger", "GET", "/v1/status", "", ""},
		{"status-admin", "GET", "/v1/status", box.admin, ""},
		{"token", "POST", "/v1/tokens", box.admin, `{"subject":"cam","rooms":["r"]}`},
		{"refused-token", "GET", "/v1/rooms", "x.y.z", ""},
		{"unknown-path", "GET", "/nothing", "", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequestWithContext(b.Context(), c.method, c.path, strings.NewReader(c.body))
				if c.body != "" {
					r.Header.Set("Content-Type", "application/json")
				}
				if c.token != "" {
					r.Header.Set("Authorization", "Bearer "+c.token)
				}
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				_, _ = io.Copy(io.Discard, w.Body)
				if w.Code >= http.StatusInternalServerError {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
