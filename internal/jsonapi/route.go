package jsonapi

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

// Call is one request on its way through a route of a service.
type Call interface {
	Exchange() (http.ResponseWriter, *http.Request)
	// Who names the caller in the log; empty for nobody in particular.
	Who() string
}

// Access is who may use a route. Each service has its own steps.
type Access interface {
	comparable
	// Credentials tells whether a route looks at credentials, and needs them.
	Credentials() Credentials
	// Forbids reports that a known caller may still lack the right.
	Forbids() bool
	// Words are for the document; may be empty.
	Words() string
}

// Credentials is what a route wants of them.
type Credentials int

const (
	Ignored Credentials = iota
	Welcome             // anybody may call, and gets more when known
	Needed
)

// Route is one line of a table: what the mux serves, what the document says,
// and what tests check are all read from it. S is the service, C its call.
type Route[S any, C Call, A Access] struct {
	Method  string
	Path    string // with {wildcards} for single, percent-encoded segments
	Access  A
	Summary string
	Detail  string // for the document; may be empty
	Query   []Query
	IfMatch bool  // takes If-Match, may answer 412
	Limited bool  // limited per source, may answer 429
	Status  int   // of success; 200 or 204 unless set
	Refuses []int // besides those that access, body and path imply
	Body    Body[S, C]
}

// Query is a parameter after the question mark.
type Query struct {
	Name, Kind, About string
}

// Body is what a route takes and gives, and the function in between.
type Body[S any, C Call] struct {
	In    reflect.Type   // nil: no request body
	Out   []reflect.Type // any of these; empty: no response body
	Media []string       // of the response; application/json unless set
	run   func(S, C) (any, error)
}

// streamed is the result of a handler that has written the response itself.
type streamed struct{}

// Take is a handler with a request body of type In.
func Take[S any, C Call, In, Out any](handle func(S, C, *In) (Out, error)) Body[S, C] {
	return Body[S, C]{
		In:  reflect.TypeFor[In](),
		Out: []reflect.Type{reflect.TypeFor[Out]()},
		run: func(s S, c C) (any, error) {
			in := new(In)
			w, r := c.Exchange()
			if err := ReadBody(w, r, in); err != nil {
				return nil, err
			}
			return handle(s, c, in)
		},
	}
}

// TakeOnly is a handler with a request body and an empty answer.
func TakeOnly[S any, C Call, In any](handle func(S, C, *In) error) Body[S, C] {
	b := Take(func(s S, c C, in *In) (any, error) { return nil, handle(s, c, in) })
	b.Out = nil
	return b
}

// Give is a handler without a request body.
func Give[S any, C Call, Out any](handle func(S, C) (Out, error)) Body[S, C] {
	return Body[S, C]{
		Out: []reflect.Type{reflect.TypeFor[Out]()},
		run: func(s S, c C) (any, error) { return handle(s, c) },
	}
}

// Act is a handler with neither a request body nor an answer.
func Act[S any, C Call](handle func(S, C) error) Body[S, C] {
	return Body[S, C]{run: func(s S, c C) (any, error) { return nil, handle(s, c) }}
}

// Write is a handler that writes a response of its own media types.
func Write[S any, C Call](handle func(S, C) error, media ...string) Body[S, C] {
	return Body[S, C]{Media: media, run: func(s S, c C) (any, error) { return streamed{}, handle(s, c) }}
}

// Of names the types that a handler gives when it gives one of several.
func (b Body[S, C]) Of(types ...any) Body[S, C] {
	b.Out = nil
	for _, t := range types {
		b.Out = append(b.Out, reflect.TypeOf(t))
	}
	return b
}

// Success is the HTTP status when nothing goes wrong.
func (rt Route[S, C, A]) Success() int {
	switch {
	case rt.Status != 0:
		return rt.Status
	case len(rt.Body.Out) == 0 && len(rt.Body.Media) == 0:
		return http.StatusNoContent
	default:
		return http.StatusOK
	}
}

// Failures lists every other status the route may answer, for the document;
// tests refuse an answer that is not in it.
func (rt Route[S, C, A]) Failures() []int {
	var all []int
	if rt.Access.Credentials() != Ignored {
		all = append(all, http.StatusUnauthorized, http.StatusServiceUnavailable)
	}
	if rt.Access.Forbids() || rt.Changes() { // a change may come from another site's page
		all = append(all, http.StatusForbidden)
	}
	if rt.Body.In != nil {
		all = append(all, http.StatusBadRequest, http.StatusRequestTimeout,
			http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if rt.Body.In == nil && rt.Changes() && rt.Method != http.MethodDelete {
		all = append(all, http.StatusUnsupportedMediaType) // with a cookie
	}
	if rt.Changes() {
		all = append(all, http.StatusInsufficientStorage, http.StatusServiceUnavailable)
	}
	if len(rt.Wildcards()) > 0 {
		all = append(all, http.StatusNotFound)
	}
	if len(rt.Query) > 0 || rt.IfMatch {
		all = append(all, http.StatusBadRequest)
	}
	if rt.IfMatch {
		all = append(all, http.StatusPreconditionFailed)
	}
	if rt.Limited {
		all = append(all, http.StatusTooManyRequests)
	}
	all = append(append(all, rt.Refuses...), http.StatusInternalServerError)
	slices.Sort(all)
	return slices.Compact(all)
}

// Changes reports whether the route may change something.
func (rt Route[S, C, A]) Changes() bool { return rt.Method != http.MethodGet }

func (rt Route[S, C, A]) String() string { return rt.Method + " " + rt.Path }

var wildcard = regexp.MustCompile(`\{(\w+)\}`)

// Wildcards are the names in the path.
func (rt Route[S, C, A]) Wildcards() []string {
	var names []string
	for _, m := range wildcard.FindAllStringSubmatch(rt.Path, -1) {
		names = append(names, m[1])
	}
	return names
}

// Tag groups routes in the document: the first word of the path after /v1.
func (rt Route[S, C, A]) Tag() string {
	if !strings.HasPrefix(rt.Path, "/v1/") {
		return "operating"
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(rt.Path, "/v1/"), "/")
	return first
}

// Streams reports whether an answer goes on until the caller leaves.
func (rt Route[S, C, A]) Streams() bool { return slices.Contains(rt.Body.Media, "text/event-stream") }

// Description is a route without its function and types of its service.
type Description struct {
	Method, Path, Tag, Summary, Detail string
	Credentials                        Credentials
	In                                 reflect.Type
	Out                                []reflect.Type
	Media                              []string
	Wildcards                          []string
	Query                              []Query
	IfMatch                            bool
	Success                            int
	Failures                           []int
}

// Describe gives what a document needs to know.
func (rt Route[S, C, A]) Describe() Description {
	return Description{
		Method: rt.Method, Path: rt.Path, Tag: rt.Tag(), Summary: rt.Summary, Detail: strings.TrimSpace(rt.Detail + " " + rt.Access.Words()),
		Credentials: rt.Access.Credentials(), In: rt.Body.In, Out: rt.Body.Out, Media: rt.Body.Media,
		Wildcards: rt.Wildcards(), Query: rt.Query, IfMatch: rt.IfMatch, Success: rt.Success(), Failures: rt.Failures(),
	}
}

// DescribeAll describes a table.
func DescribeAll[S any, C Call, A Access](table []Route[S, C, A]) []Description {
	all := make([]Description, 0, len(table))
	for _, rt := range table {
		all = append(all, rt.Describe())
	}
	return all
}
