package api

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// access is who may use a route.
type access int

const (
	// open routes do not look at credentials at all.
	open access = iota
	// anyone may call, and gets more when signed in.
	anyone
	// signedIn needs a valid token or session of any rights.
	signedIn
	// manager needs the right manage and a token that names the room, or admin.
	manager
	// admin needs the right admin.
	admin
	// control is admin through the control socket, on the box itself.
	control
)

// route is one line of the table: what the mux serves, what openapi.json says,
// and what the tests check are all read from it.
type route struct {
	method  string
	path    string // with {wildcards} for single, percent-encoded segments
	access  access
	summary string
	detail  string // for the document; may be empty
	query   []queryParam
	ifMatch bool  // takes If-Match, may answer 412
	limited bool  // limited per source, may answer 429
	status  int   // of success; 200 unless set
	refuses []int // besides those that access, body and path imply
	body    body
}

// queryParam is a parameter after the question mark.
type queryParam struct {
	name, kind, about string
}

// body is what a route takes and gives, and the function in between.
type body struct {
	in    reflect.Type   // nil: no request body
	out   []reflect.Type // any of these; empty: no response body
	media []string       // of the response; application/json unless set
	run   func(*API, *call) (any, error)
}

// streamed is the result of a handler that has written the response itself.
type streamed struct{}

// take is a handler with a request body of type In.
func take[In, Out any](handle func(*API, *call, *In) (Out, error)) body {
	return body{
		in:  reflect.TypeFor[In](),
		out: []reflect.Type{reflect.TypeFor[Out]()},
		run: func(a *API, c *call) (any, error) {
			in := new(In)
			if err := readBody(c.w, c.r, in); err != nil {
				return nil, err
			}
			return handle(a, c, in)
		},
	}
}

// takeOnly is a handler with a request body and an empty answer.
func takeOnly[In any](handle func(*API, *call, *In) error) body {
	b := take(func(a *API, c *call, in *In) (any, error) { return nil, handle(a, c, in) })
	b.out = nil
	return b
}

// give is a handler without a request body.
func give[Out any](handle func(*API, *call) (Out, error)) body {
	return body{
		out: []reflect.Type{reflect.TypeFor[Out]()},
		run: func(a *API, c *call) (any, error) { return handle(a, c) },
	}
}

// act is a handler with neither a request body nor an answer.
func act(handle func(*API, *call) error) body {
	return body{run: func(a *API, c *call) (any, error) { return nil, handle(a, c) }}
}

// write is a handler that writes a response of its own media types.
func write(handle func(*API, *call) error, media ...string) body {
	return body{media: media, run: func(a *API, c *call) (any, error) { return streamed{}, handle(a, c) }}
}

// of names the types that a handler gives when it gives one of several.
func (b body) of(types ...any) body {
	b.out = nil
	for _, t := range types {
		b.out = append(b.out, reflect.TypeOf(t))
	}
	return b
}

// success is the HTTP status when nothing goes wrong.
func (rt route) success() int {
	switch {
	case rt.status != 0:
		return rt.status
	case len(rt.body.out) == 0 && len(rt.body.media) == 0:
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

// failures lists every other status the route may answer, for the document;
// the tests refuse an answer that is not in it.
func (rt route) failures() []int {
	var all []int
	if rt.access != open {
		all = append(all, http.StatusUnauthorized, http.StatusServiceUnavailable)
	}
	if rt.access >= manager {
		all = append(all, http.StatusForbidden)
	} else if rt.changes() {
		all = append(all, http.StatusForbidden) // from another site's page
	}
	if rt.body.in != nil {
		all = append(all, http.StatusBadRequest, http.StatusRequestTimeout,
			http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if rt.body.in == nil && rt.changes() && rt.method != http.MethodDelete {
		all = append(all, http.StatusUnsupportedMediaType) // with a cookie
	}
	if rt.changes() {
		all = append(all, http.StatusInsufficientStorage, http.StatusServiceUnavailable)
	}
	if len(rt.wildcards()) > 0 {
		all = append(all, http.StatusNotFound)
	}
	if len(rt.query) > 0 || rt.ifMatch {
		all = append(all, http.StatusBadRequest)
	}
	if rt.ifMatch {
		all = append(all, http.StatusPreconditionFailed)
	}
	if rt.limited {
		all = append(all, http.StatusTooManyRequests)
	}
	all = append(append(all, rt.refuses...), http.StatusInternalServerError)
	slices.Sort(all)
	return slices.Compact(all)
}

// changes reports whether the route may change something on the box.
func (rt route) changes() bool { return rt.method != http.MethodGet }

func (rt route) String() string { return rt.method + " " + rt.path }

var wildcard = regexp.MustCompile(`\{(\w+)\}`)

func (rt route) wildcards() []string {
	var names []string
	for _, m := range wildcard.FindAllStringSubmatch(rt.path, -1) {
		names = append(names, m[1])
	}
	return names
}

// tag groups routes in the document: the first word of the path after /v1.
func (rt route) tag() string {
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(rt.path, "/v1"), "/"), "/")
	if !strings.HasPrefix(rt.path, "/v1/") {
		return "operating"
	}
	return first
}

// streams reports whether an answer goes on until the caller leaves.
func (rt route) streams() bool { return slices.Contains(rt.body.media, "text/event-stream") }
