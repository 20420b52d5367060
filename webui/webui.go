// Package webui serves the box's pages and its browser client library. The
// files are embedded and need no build step; they are prepared when the first
// page is asked for, so that a box that nobody looks at spends neither the time nor
// the memory. What a page loads is compressed once and cached by browsers for good,
// under a name that changes with the content.
//
//	/                     the console of a box, the dashboard of a cloud node
//	/call                 the test call
//	/site/NAME and more   the dashboard's pages
//	/client/signalbox.js  the browser client library, for pages of anyone's
//	/static/HASH/…        what the pages load
package webui

import (
	"embed"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync"
)

//go:embed client/*.js assets/*.html assets/*.css assets/*.svg assets/*/*.js assets/*/*.css
var embedded embed.FS

// Options are what Handler may be told.
type Options struct {
	// Files replaces the embedded files, to work on the pages without building
	// again: os.DirFS("webui"). They are read once. Nil is the embedded ones.
	Files fs.FS
}

// Handler serves the pages of a box. It answers GET and HEAD, sets its own
// security headers on every answer, and says 404 to every path it does not know.
// It panics when a page of opts.Files names a file that does not exist.
func Handler(opts Options) http.Handler { return handler(opts, boxPages) }

// Dashboard serves the pages of a cloud node, in the same way.
func Dashboard(opts Options) http.Handler { return handler(opts, cloudPages) }

func handler(opts Options, pages map[string]string) http.Handler {
	if opts.Files != nil {
		return mustLoad(opts.Files, pages)
	}
	prepared := sync.OnceValue(func() site { return mustLoad(embedded, pages) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { prepared().ServeHTTP(w, r) })
}

func mustLoad(files fs.FS, pages map[string]string) site {
	answers, err := load(files, pages)
	if err != nil {
		panic(fmt.Sprintf("webui: %v", err))
	}
	return answers
}

// site maps paths to what is served there. It does not change once made.
type site map[string]*answer

func (s site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setSecurity(w.Header(), r.TLS != nil)
	a, ok := s[r.URL.Path]
	if name, isSite := strings.CutPrefix(r.URL.Path, sitePath); !ok && isSite && name != "" && !strings.Contains(name, "/") {
		a, ok = s[sitePath]
	}
	switch {
	case !ok:
		http.Error(w, fmt.Sprintf("there is no page %.200q here; the first page is at /", r.URL.Path), http.StatusNotFound)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, fmt.Sprintf("%.20q is not for pages; use GET", r.Method), http.StatusMethodNotAllowed)
	default:
		a.serve(w, r)
	}
}
