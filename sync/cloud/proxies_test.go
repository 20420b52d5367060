package cloud

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

var proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}

func TestBehind(t *testing.T) {
	tests := []struct {
		name, peer string
		header     []string
		want       string
	}{
		{"no proxy", "203.0.113.9:4711", nil, "203.0.113.9:4711"},
		{"somebody who claims to be one", "203.0.113.9:4711", []string{"198.51.100.1"}, "203.0.113.9:4711"},
		{"one proxy", "10.1.2.3:4711", []string{"198.51.100.1"}, "198.51.100.1:0"},
		{"a header that the sender made up", "10.1.2.3:4711", []string{"127.0.0.1, 10.9.9.9, 198.51.100.1"}, "198.51.100.1:0"},
		{"two proxies", "10.1.2.3:4711", []string{"192.0.2.1, 198.51.100.1, 10.4.4.4"}, "198.51.100.1:0"},
		{"two headers", "10.1.2.3:4711", []string{"192.0.2.1", "198.51.100.1,10.4.4.4"}, "198.51.100.1:0"},
		{"only the second header is of use", "10.1.2.3:4711", []string{"192.0.2.1", "10.4.4.4"}, "192.0.2.1:0"},
		{"none but proxies", "10.1.2.3:4711", []string{"10.7.7.7,10.4.4.4"}, "10.7.7.7:0"},
		{"no address", "10.1.2.3:4711", []string{"198.51.100.1, unknown"}, "10.1.2.3:4711"},
		{"no address before a proxy", "10.1.2.3:4711", []string{"x, 10.4.4.4"}, "10.4.4.4:0"},
		{"empty", "10.1.2.3:4711", []string{""}, "10.1.2.3:4711"},
		{"IPv6 with port", "[fd00::1]:4711", []string{"[2001:db8::7]:55"}, "[2001:db8::7]:0"},
		{"IPv6 in brackets", "[fd00::1]:4711", []string{"[2001:db8::7]"}, "[2001:db8::7]:0"},
		{"IPv4 in IPv6", "[::ffff:10.1.2.3]:4711", []string{"::ffff:198.51.100.1"}, "198.51.100.1:0"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := ""
			h := behind(proxies, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.RemoteAddr }))
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr, r.Header[forwardedFor] = test.peer, test.header
			h.ServeHTTP(httptest.NewRecorder(), r)
			if got != test.want {
				t.Errorf("from %q with %q: got %q, want %q", test.peer, test.header, got, test.want)
			}
		})
	}
}

// FuzzOrigin: a request from elsewhere stays what it is, and one through proxies
// is from an address that the header names, or from the proxy.
func FuzzOrigin(f *testing.F) {
	f.Add("10.1.2.3", "198.51.100.1, 10.4.4.4")
	f.Add("203.0.113.9", "198.51.100.1")
	f.Add("fd00::1", "[2001:db8::7]:55,x")
	f.Fuzz(func(t *testing.T, peer, header string) {
		at, err := netip.ParseAddr(peer)
		if err != nil {
			return
		}
		got := origin(at, []string{header}, proxies)
		if !isTrusted(at, proxies) && got != at {
			t.Errorf("%v is no proxy, and came out as %v", at, got)
		}
		if got != at && !strings.Contains(header, ".") && !strings.Contains(header, ":") {
			t.Errorf("%q names no address, and %v came out", header, got)
		}
	})
}

func TestTrustedProxiesAreChecked(t *testing.T) {
	good := HTTP{HTTPS: []string{":8453"}, TrustedProxies: []string{"10.0.0.0/8", "192.0.2.7", "fd00::/8"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"10.0.0.0/33", "balancer", "0.0.0.0/0", "::/0", ""} {
		h := HTTP{HTTPS: []string{":8453"}, TrustedProxies: []string{bad}}
		if err := h.Validate(); err == nil || !strings.Contains(err.Error(), "http.trusted_proxies") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}
