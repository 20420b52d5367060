package api

import (
	"net/http"
	"strings"
)

// mux serves every route, and answers in JSON what fits none.
func (a *API) mux(local bool) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.Handle(rt.String(), endpoint{API: a, route: rt, local: local})
	}
	unknown := route{method: "*", path: "unknown", access: open, body: act(func(_ *API, c *call) error {
		return noRoute(mux, c.r)
	})}
	mux.Handle("/", endpoint{API: a, route: unknown, local: local})
	return mux
}

// noRoute says why a request fits no route: the method, or the path.
func noRoute(mux *http.ServeMux, r *http.Request) error {
	if allowed := methodsFor(mux, r); len(allowed) > 0 {
		f := refuse(http.StatusMethodNotAllowed, "method_not_allowed",
			"%s does not take %s; it takes %s", r.URL.Path, r.Method, strings.Join(allowed, ", "))
		f.allow = allowed
		return f
	}
	if rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1/rooms/"); ok && strings.Contains(rest, "/") {
		return refuse(http.StatusNotFound, "not_found",
			"there is nothing at %s; a / in a room's name is written %%2F in paths", r.URL.Path)
	}
	return refuse(http.StatusNotFound, "not_found", "there is nothing at %s; see /v1/openapi.json", r.URL.Path)
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// methodsFor lists the methods that have a route at the request's path.
func methodsFor(mux *http.ServeMux, r *http.Request) []string {
	var allowed []string
	for _, method := range methods {
		probe := *r
		probe.Method = method
		if _, pattern := mux.Handler(&probe); pattern != "/" {
			allowed = append(allowed, method)
		}
	}
	return allowed
}
