package api

import (
	"context"
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

const (
	writeTimeout  = 30 * time.Second // for a request, until its answer has been read
	changeTimeout = 20 * time.Second // for the disk to take a change
)

// call is one request on its way through a route.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	who   caller
	local bool // through the control socket
}

// change is the context for what must happen entirely or not at all: a caller
// who hangs up in the middle would otherwise leave a room that is in memory and
// not on disk.
func (c *call) change() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.r.Context()), changeTimeout)
}

// endpoint is a route as served on one of the two muxes.
type endpoint struct {
	*API
	route route
	local bool
}

// ServeHTTP runs the route and sees to it that every outcome, a panic included,
// is answered, counted and logged.
func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	rec := &recorder{ResponseWriter: w}
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(start.Add(writeTimeout)) // a recorder in a test has none
	c := &call{w: rec, r: r, local: e.local}
	done := e.metrics.begin()
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			e.log.Error("panic in request", e.answerInternal(c), slog.Any("reason", p), slog.String("stack", string(debug.Stack())))
		}
		// Written out now, while the deadline holds: the next request on this
		// connection may belong to a handler that sets none.
		_ = control.Flush()
		_ = control.SetWriteDeadline(time.Time{})
		dur := time.Since(start)
		done(e.route, rec.code(), dur)
		e.log.Debug("request", "route", e.route.String(), "status", rec.code(), "remote", r.RemoteAddr,
			"user", c.who.Subject, "bytes", rec.written, "dur", dur)
	}()
	result, err := e.run(c)
	if err != nil {
		e.answerError(c, err)
		return
	}
	e.answer(c, e.route.success(), result)
}

// run is the way to the handler: nothing of the body is read before the caller
// is known to have the right.
func (e endpoint) run(c *call) (any, error) {
	if err := e.identify(c, e.route); err != nil {
		return nil, err
	}
	if err := e.guard(c, e.route); err != nil {
		return nil, err
	}
	if e.route.limited && !c.local {
		if wait, ok := e.redeems.allow(c.r.RemoteAddr, time.Now()); !ok {
			e.metrics.limited.Inc()
			return nil, later(http.StatusTooManyRequests, "rate_limited", wait,
				"too many codes were tried from your address; try again in %v", wait.Round(time.Second))
		}
	}
	return e.route.body.run(e.API, c)
}

func (a *API) answer(c *call, status int, result any) {
	if _, ok := result.(streamed); ok {
		return
	}
	header := c.w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	if result == nil {
		c.w.WriteHeader(status)
		return
	}
	body, err := json.Marshal(result)
	if err != nil {
		a.log.Error("answer cannot be encoded", a.answerInternal(c), slog.Any("err", err))
		return
	}
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)+1))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(body, '\n')) // the caller is gone when this fails
}

func (a *API) answerError(c *call, err error) {
	f := a.faultOf(err)
	if f == nil {
		a.log.Error("request failed", a.answerInternal(c), slog.Any("err", err))
		return
	}
	header := c.w.Header()
	if f.status == http.StatusUnauthorized {
		header.Set("WWW-Authenticate", `Bearer realm="signalbox"`)
	}
	if len(f.allow) > 0 {
		header.Set("Allow", strings.Join(f.allow, ", "))
	}
	if f.body.RetryAfterMS > 0 {
		header.Set("Retry-After", strconv.FormatInt((f.body.RetryAfterMS+999)/1000, 10))
	}
	a.answer(c, f.status, Failure{Error: f.body})
}

// answerInternal tells the caller no more than an id. What it returns goes into
// the log beside the reason, so that the two can be brought together.
func (a *API) answerInternal(c *call) slog.Attr {
	var random [6]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:])
	what := slog.Group("request", slog.String("fault", id), slog.String("remote", c.r.RemoteAddr),
		slog.String("user", c.who.Subject), slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path))
	if rec, ok := c.w.(*recorder); ok && rec.status != 0 {
		return what // too late to say anything
	}
	f := later(http.StatusInternalServerError, "internal", time.Second,
		"the box failed to do this; its log says why: look for fault %s", id)
	f.body.ID = id
	clear(c.w.Header())
	a.answer(c, f.status, Failure{Error: f.body})
	return what
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status  int // 0: nothing yet
	written int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.written += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() int {
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}
