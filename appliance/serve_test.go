package appliance

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A port for HTTPS serves what came by TLS and nothing else. People who typed
// http are sent on; a client that would send its token in the clear is not.
func TestSecureOnly(t *testing.T) {
	served := secureOnly(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, test := range []struct {
		method, host, upgrade string
		tls                   *tls.ConnectionState
		code                  int
		location              string
	}{
		{"GET", "box.local:8443", "", nil, 308, "https://box.local:8443/call?room=a%20b"},
		{"HEAD", "[fd00::1]:8443", "", nil, 308, "https://[fd00::1]:8443/call?room=a%20b"},
		{"GET", "", "", nil, 400, ""}, // HTTP/1.0
		{"POST", "box.local:8443", "", nil, 400, ""},
		{"GET", "box.local:8443", "websocket", nil, 400, ""}, // WebSocket clients do not follow
		{"GET", "box.local:8443", "", new(tls.ConnectionState), 204, ""},
		{"POST", "box.local:8443", "", new(tls.ConnectionState), 204, ""},
		{"GET", "box.local:8443", "websocket", new(tls.ConnectionState), 204, ""},
	} {
		r := httptest.NewRequest(test.method, "/call?room=a%20b", nil)
		r.Host, r.TLS = test.host, test.tls
		if test.upgrade != "" {
			r.Header.Set("Upgrade", test.upgrade)
		}
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != test.code || got != test.location {
			t.Errorf("%s %s, upgrade %q, tls %v: got %d to %q, want %d to %q",
				test.method, test.host, test.upgrade, test.tls != nil, w.Code, got, test.code, test.location)
		}
	}
}
