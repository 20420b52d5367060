package jsonapi

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"
)

// writeTimeout is for a request, until its answer has been read.
const writeTimeout = 30 * time.Second

// Service serves a table of routes.
type Service[S any, C Call, A Access] struct {
	Self    S
	Routes  []Route[S, C, A]
	Log     *slog.Logger
	Metrics *Metrics
	// NewCall begins a call. local is true for requests that came by a way that
	// only administrators of the machine have.
	NewCall func(w http.ResponseWriter, r *http.Request, local bool) C
	// Admit finds out who is calling and refuses who may not. Nothing of the
	// body has been read by then.
	Admit func(C, Route[S, C, A]) error
	// FaultOf finds the answer to an error of a handler; nil means that the
	// error is none a caller could have caused.
	FaultOf func(error) *Fault
	// Hint is added to the refusal of a path that nothing is at; may be nil.
	Hint func(*http.Request) *Fault
	// Unknown is the access of the route that answers for no route.
	Unknown A
}

// Mux serves every route, and answers in JSON what fits none.
func (s *Service[S, C, A]) Mux(local bool) http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.Routes {
		mux.Handle(rt.String(), endpoint[S, C, A]{s, rt, local})
	}
	unknown := Route[S, C, A]{Method: "*", Path: "unknown", Access: s.Unknown, Body: Act(func(_ S, c C) error {
		_, r := c.Exchange()
		return s.noRoute(mux, r)
	})}
	mux.Handle("/", endpoint[S, C, A]{s, unknown, local})
	return mux
}

// noRoute says why a request fits no route: the method, or the path.
func (s *Service[S, C, A]) noRoute(mux *http.ServeMux, r *http.Request) error {
	if allowed := methodsFor(mux, r); len(allowed) > 0 {
		f := Refuse(http.StatusMethodNotAllowed, "method_not_allowed",
			"%s does not take %s; it takes %s", r.URL.Path, r.Method, strings.Join(allowed, ", "))
		f.allow = allowed
		return f
	}
	if s.Hint != nil {
		if f := s.Hint(r); f != nil {
			return f
		}
	}
	return Refuse(http.StatusNotFound, "not_found", "there is nothing at %s; see /v1/openapi.json", r.URL.Path)
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

// endpoint is a route as served by one of the muxes.
type endpoint[S any, C Call, A Access] struct {
	*Service[S, C, A]
	route Route[S, C, A]
	local bool
}

// ServeHTTP runs the route and sees to it that every outcome, a panic included,
// is answered, counted and logged.
func (e endpoint[S, C, A]) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(start.Add(writeTimeout)) // a recorder in a test has none
	c := e.NewCall(rec, r, e.local)
	e.Metrics.begin()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			e.Log.Error("panic in request", e.answerInternal(c, rec), slog.Any("reason", p), slog.String("stack", string(debug.Stack())))
		}
		// Written out now, while the deadline holds: the next request on this
		// connection may belong to a handler that sets none.
		_ = control.Flush()
		_ = control.SetWriteDeadline(time.Time{})
		dur := time.Since(start)
		e.Metrics.done(e.route.Method, e.route.Path, rec.code(), dur, e.route.Streams())
		e.Log.Debug("request", "route", e.route.String(), "status", rec.code(), "remote", r.RemoteAddr,
			"user", c.Who(), "bytes", rec.written, "dur", dur)
	}()
	result, err := e.run(c)
	if err != nil {
		e.answerError(c, rec, err)
		return
	}
	e.answer(c, rec, e.route.Success(), result)
}

func (e endpoint[S, C, A]) run(c C) (any, error) {
	if err := e.Admit(c, e.route); err != nil {
		return nil, err
	}
	return e.route.Body.run(e.Self, c)
}

func (e endpoint[S, C, A]) answer(c C, rec *recorder, status int, result any) {
	if _, ok := result.(streamed); ok {
		return
	}
	if err := Answer(rec, status, result); err != nil {
		e.Log.Error("answer cannot be encoded", e.answerInternal(c, rec), slog.Any("err", err))
	}
}

// Answer writes result as JSON, or only the status when result is nil. The
// error is that of encoding; nothing has been written then.
func Answer(w http.ResponseWriter, status int, result any) error {
	var body []byte
	if result != nil {
		var err error
		if body, err = json.Marshal(result); err != nil {
			return err
		}
	}
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if result == nil {
		w.WriteHeader(status)
		return nil
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the caller is gone when this fails
	return nil
}

func (e endpoint[S, C, A]) answerError(c C, rec *recorder, err error) {
	f, ok := errors.AsType[*Fault](err)
	if !ok {
		f = e.FaultOf(err)
	}
	if f == nil {
		e.Log.Error("request failed", e.answerInternal(c, rec), slog.Any("err", err))
		return
	}
	header := rec.Header()
	if f.Status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="signalbox"`)
	}
	if len(f.allow) > 0 {
		header.Set("Allow", strings.Join(f.allow, ", "))
	}
	if f.Body.RetryAfterMS > 0 {
		header.Set("Retry-After", strconv.FormatInt((f.Body.RetryAfterMS+999)/1000, 10))
	}
	e.answer(c, rec, f.Status, Failure{Error: f.Body})
}

// answerInternal tells the caller no more than an id. What it returns goes into
// the log beside the reason, so that the two can be brought together.
func (e endpoint[S, C, A]) answerInternal(c C, rec *recorder) slog.Attr {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:])
	_, r := c.Exchange()
	what := slog.Group("request", slog.String("fault", id), slog.String("remote", r.RemoteAddr),
		slog.String("user", c.Who()), slog.String("method", r.Method), slog.String("path", r.URL.Path))
	if rec.status != 0 {
		return what // too late to say anything
	}
	f := Later(http.StatusInternalServerError, "internal", time.Second,
		"this failed here; the log says why: look for fault %s", id)
	f.Body.ID = id
	clear(rec.Header())
	e.answer(c, rec, f.Status, Failure{Error: f.Body})
	return what
}
