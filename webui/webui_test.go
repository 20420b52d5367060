package webui_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"signalbox/webui"
)

var handler = webui.Handler(webui.Options{})

// answer is a response in memory.
type answer struct {
	Status        string
	StatusCode    int
	Header        http.Header
	ContentLength int64
	Body          *bytes.Buffer
}

func get(t *testing.T, method, target string, headers ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	res := w.Result()
	defer res.Body.Close()
	return answer{res.Status, res.StatusCode, res.Header, res.ContentLength, w.Body}
}

func body(t *testing.T, target string) string {
	t.Helper()
	res := get(t, "GET", target)
	data, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s, %v", target, res.Status, err)
	}
	return string(data)
}

var (
	named    = regexp.MustCompile(`(?:src|href)="(/static/[^"]+)"`)
	imported = regexp.MustCompile(`(?m)^(?:import|export)\s(?:[^'"]*?\sfrom\s)?['"]([^'"]+)['"]|\bimport\(['"]([^'"]+)['"]\)`)
)

// assets is everything the two pages load, by its path.
func assets(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, page := range []string{"/", "/call"} {
		for _, m := range named.FindAllStringSubmatch(body(t, page), -1) {
			found[m[1]] = body(t, m[1])
		}
	}
	return found
}

func TestSecurityHeaders(t *testing.T) {
	for _, target := range []string{"/", "/call", "/client/signalbox.js", "/nothing"} {
		h := get(t, "GET", target).Header
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: policy %q, want %s in it", target, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q allows something unsafe", target, policy)
		}
		for key, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "",
		} {
			if got := h.Get(key); got != want {
				t.Errorf("%s: %s %q, want %q", target, key, got, want)
			}
		}
		if got := h.Get("Permissions-Policy"); !strings.Contains(got, "camera=(self), microphone=(self)") {
			t.Errorf("%s: Permissions-Policy %q", target, got)
		}
	}
}

func TestOpenerPolicyIsForHTTPS(t *testing.T) {
	if got := get(t, "GET", "https://box/").Header.Get("Cross-Origin-Opener-Policy"); got != "same-origin" {
		t.Errorf("Cross-Origin-Opener-Policy %q over HTTPS, want same-origin", got)
	}
}

func TestWholeUIStaysSmall(t *testing.T) {
	const most = 60_000
	all := assets(t)
	all["/"], all["/call"] = body(t, "/"), body(t, "/call")
	total, style := 0, 0
	for name, content := range all {
		size := packed(t, content)
		total += size
		if path.Ext(name) == ".css" {
			style += len(content)
		}
		if res := get(t, "HEAD", name, "Accept-Encoding", "gzip"); res.Header.Get("Content-Encoding") == "gzip" && res.ContentLength > int64(size) {
			t.Errorf("%s: sent as %d bytes, gzip makes %d", name, res.ContentLength, size)
		}
	}
	if total > most {
		t.Errorf("the pages are %d bytes gzipped, want at most %d", total, most)
	}
	t.Logf("%d files, %d bytes gzipped, style sheet %d bytes", len(all), total, style)
}

func packed(t *testing.T, content string) int {
	t.Helper()
	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(z, content); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Len()
}

func TestEveryImportIsServedAndPreloaded(t *testing.T) {
	all := assets(t)
	scripts := 0
	for name, content := range all {
		if path.Ext(name) != ".js" {
			continue
		}
		scripts++
		for _, m := range imported.FindAllStringSubmatch(content, -1) {
			target := path.Join(path.Dir(name), m[1]+m[2])
			if _, ok := all[target]; !ok {
				t.Errorf("%s imports %q, which no page names: it would be loaded late or not at all", name, m[1]+m[2])
			}
		}
	}
	if scripts < 20 {
		t.Errorf("%d scripts found: the test looks in the wrong place", scripts)
	}
	library := body(t, "/client/signalbox.js")
	for _, m := range imported.FindAllStringSubmatch(library, -1) {
		body(t, path.Join("/client", m[1]+m[2]))
	}
}

func TestNothingInline(t *testing.T) {
	forbidden := regexp.MustCompile(`(?i)<script(?:\s[^>]*)?>[^<]|<style|\sstyle=|\son[a-z]+=|javascript:|https?://`)
	for _, page := range []string{"/", "/call"} {
		if got := forbidden.FindString(body(t, page)); got != "" {
			t.Errorf("%s has %q; the policy forbids what is inline, and the pages work without the internet", page, got)
		}
	}
	for name, content := range assets(t) {
		if strings.Contains(content, "innerHTML") && !strings.Contains(name, "/vendor/") {
			t.Errorf("%s uses innerHTML", name)
		}
	}
}

func TestCaching(t *testing.T) {
	for name := range assets(t) {
		if got := get(t, "GET", name).Header.Get("Cache-Control"); got != "public, max-age=31536000, immutable" {
			t.Errorf("%s: Cache-Control %q", name, got)
		}
	}
	for _, target := range []string{"/", "/call", "/client/signalbox.js"} {
		plain := get(t, "GET", target)
		zipped := get(t, "GET", target, "Accept-Encoding", "br, gzip")
		if plain.Header.Get("Cache-Control") != "no-cache" || plain.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", target, plain.Header)
		}
		tag := zipped.Header.Get("ETag")
		if tag == "" || tag == plain.Header.Get("ETag") {
			t.Errorf("%s: tags %q and %q, want two", target, tag, plain.Header.Get("ETag"))
		}
		again := get(t, "GET", target, "Accept-Encoding", "gzip", "If-None-Match", `"x", W/`+tag)
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s: %s for the tag it has", target, again.Status)
		}
		if data, _ := io.ReadAll(again.Body); len(data) > 0 {
			t.Errorf("%s: a body with 304", target)
		}
	}
}

func TestCompression(t *testing.T) {
	for header, want := range map[string]string{
		"gzip": "gzip", "deflate, gzip;q=0.5": "gzip", "*": "gzip", "GZIP": "gzip",
		"": "", "gzip;q=0": "", "gzip; q=0.0": "", "br": "", "gzip;q=x": "",
	} {
		res := get(t, "GET", "/", "Accept-Encoding", header)
		if got := res.Header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: Content-Encoding %q, want %q", header, got, want)
		}
	}
	res := get(t, "GET", "/", "Accept-Encoding", "gzip")
	z, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(z); err != nil || string(data) != body(t, "/") {
		t.Errorf("unpacked page differs: %v", err)
	}
}

func TestMethodsAndUnknownPaths(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "X"} {
		res := get(t, method, "/")
		if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s /: %s, Allow %q", method, res.Status, res.Header.Get("Allow"))
		}
	}
	for _, target := range []string{
		"/nothing", "/call/", "/static/", "/static/0/assets/style.css", "/assets/style.css", "/assets/console.html",
		"/client/", "/client/../webui.go", "/assets/vendor/README.md", "/webui.go",
	} {
		if res := get(t, "GET", target); res.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: %s, want 404", target, res.Status)
		}
	}
	head := get(t, "HEAD", "/")
	if data, _ := io.ReadAll(head.Body); len(data) > 0 || head.ContentLength != int64(len(body(t, "/"))) {
		t.Errorf("HEAD /: %d bytes, Content-Length %d", len(data), head.ContentLength)
	}
}

func TestLibraryIsForPagesOfAnyone(t *testing.T) {
	res := get(t, "GET", "/client/signalbox.js")
	if res.Header.Get("Access-Control-Allow-Origin") != "*" || res.Header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
		t.Errorf("headers %v", res.Header)
	}
	if !strings.Contains(body(t, "/client/signalbox.js"), "@typedef") {
		t.Error("the library lost its comments")
	}
	if got := get(t, "GET", "/").Header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("the console is open to %q", got)
	}
}

func TestVendoredFilesAreTheOnesDescribed(t *testing.T) {
	readme, err := os.ReadFile("assets/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"preact-htm.js", "uplot.js", "uplot.css"} {
		data, err := os.ReadFile("assets/vendor/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); !strings.Contains(string(readme), hex.EncodeToString(sum[:])) {
			t.Errorf("%s has SHA-256 %x; say its version and sum in README.md", name, sum)
		}
	}
}

func TestDashboardPaths(t *testing.T) {
	dashboard := webui.Dashboard(webui.Options{})
	for target, want := range map[string]int{
		"/": http.StatusOK, "/problems": http.StatusOK, "/webhooks": http.StatusOK, "/site/%ff": http.StatusOK, "/site/hall-3": http.StatusOK, "/site/%C3%A9": http.StatusOK,
		"/site/": http.StatusOK, "/site/a/b": http.StatusNotFound, "/call": http.StatusNotFound, "/nothing": http.StatusNotFound,
	} {
		w := httptest.NewRecorder()
		dashboard.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
		if w.Code != want {
			t.Errorf("GET %s: %d, want %d", target, w.Code, want)
		}
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("GET %s has no content policy", target)
		}
	}
	if get(t, http.MethodGet, "/site/hall-3").StatusCode != http.StatusNotFound {
		t.Error("a box serves the cloud's pages")
	}
}

func TestBrokenFilesAreFoundAtStart(t *testing.T) {
	page := func(script string) fstest.MapFS {
		return fstest.MapFS{
			"assets/console.html": {Data: []byte(`<head><script type="module" src="/static/assets/a/main.js"></script></head>`)},
			"assets/call.html":    {Data: []byte("<head></head>")},
			"assets/a/main.js":    {Data: []byte(script)},
		}
	}
	for name, test := range map[string]struct {
		files fstest.MapFS
		want  string
	}{
		"missing import": {page("import './b.js';\n"), "assets/a/main.js imports ./b.js, which does not exist"},
		"missing script": {fstest.MapFS{"assets/console.html": {Data: []byte(`<img src="/static/assets/x.svg">`)}, "assets/call.html": {}}, "assets/x.svg, which does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, test.want) {
					t.Errorf("panic %q, want %q", got, test.want)
				}
			}()
			webui.Handler(webui.Options{Files: test.files})
		})
	}
	webui.Handler(webui.Options{Files: page("import {x} from './main.js';\n")}) // a circle is fine
}

// TestNothingIsPreparedUnasked: a box that nobody looks at does not pay for pages.
func TestNothingIsPreparedUnasked(t *testing.T) {
	got := testing.AllocsPerRun(10, func() { webui.Handler(webui.Options{}) })
	if got > 10 {
		t.Errorf("Handler allocates %v times before a page is asked for, want at most 10", got)
	}
}
