package webui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// How browsers keep what they got.
const (
	cacheForGood = "public, max-age=31536000, immutable"
	cacheChecked = "no-cache" // kept, but asked about each time
)

var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// answer is one file, ready to be sent.
type answer struct {
	contentType string
	cache       string
	tag         string
	plain       []byte
	packed      func() []byte // gzip, made when first asked for; nil where it is not smaller
	anyOrigin   bool          // pages of other origins may load it
}

func newAnswer(name string, data []byte, cache string) *answer {
	sum := sha256.Sum256(data)
	return &answer{
		contentType: contentTypes[path.Ext(name)],
		cache:       cache,
		tag:         hex.EncodeToString(sum[:8]),
		plain:       data,
		packed:      sync.OnceValue(func() []byte { return pack(data) }),
	}
}

// packers are used again: one has 900 KB of tables, and a page asks for thirty files.
var packers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestCompression) // the level is valid
	return z
}}

func pack(data []byte) []byte {
	var buf bytes.Buffer
	z := packers.Get().(*gzip.Writer)
	defer packers.Put(z)
	z.Reset(&buf)
	// Writing to a Buffer does not fail.
	_, _ = z.Write(data)
	_ = z.Close()
	if buf.Len() >= len(data) {
		return nil
	}
	return bytes.Clone(buf.Bytes())
}

func (a *answer) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	body, tag := a.plain, `"`+a.tag+`"`
	if packed := a.packed(); packed != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r.Header.Get("Accept-Encoding")) {
			body, tag = packed, `"`+a.tag+`-gz"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", a.cache)
	h.Set("ETag", tag)
	if a.anyOrigin {
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	}
	if matches(r.Header.Get("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		h.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(body) // the browser went away: nothing to tell anyone
}

// acceptsGzip reads an Accept-Encoding header (RFC 9110 §12.5.3).
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "gzip" && coding != "*" {
			continue
		}
		q, isQ := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return !isQ || err == nil && weight > 0
	}
	return false
}

// matches compares entity tags the weak way, which is the one for If-None-Match
// (RFC 9110 §13.1.2).
func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimPrefix(strings.TrimSpace(part), "W/"); part == tag || part == "*" {
			return true
		}
	}
	return false
}
