package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
)

// changeTimeout is for the disk to take a change.
const changeTimeout = 20 * time.Second

// call is one request on its way through a route.
type call struct {
	w     http.ResponseWriter
	r     *http.Request
	who   caller
	local bool // through the control socket
}

// Exchange is the request and where its answer goes.
func (c *call) Exchange() (http.ResponseWriter, *http.Request) { return c.w, c.r }

// Who names the caller in the log.
func (c *call) Who() string { return c.who.Subject }

// change is the context for what must happen entirely or not at all: a caller
// who hangs up in the middle would otherwise leave a room that is in memory and
// not on disk.
func (c *call) change() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(c.r.Context()), changeTimeout)
}

// mux serves every route, to the network or to the control socket.
func (a *API) mux(local bool) http.Handler {
	s := jsonapi.Service[*API, *call, access]{
		Self: a, Routes: routes, Log: a.log, Metrics: a.metrics.http, Admit: a.admit, FaultOf: a.faultOf, Hint: roomHint, Unknown: open,
		NewCall: func(w http.ResponseWriter, r *http.Request, local bool) *call { return &call{w: w, r: r, local: local} },
	}
	return s.Mux(local)
}

// admit is the way to the handler: nothing of the body is read before the
// caller is known to have the right.
func (a *API) admit(c *call, rt route) error {
	if err := a.identify(c, rt); err != nil {
		return err
	}
	if err := a.guard(c, rt); err != nil {
		return err
	}
	if rt.Limited && !c.local {
		if wait, ok := a.redeems.Allow(c.r.RemoteAddr, time.Now()); !ok {
			a.metrics.limited.Inc()
			return jsonapi.Later(http.StatusTooManyRequests, "rate_limited", wait,
				"too many codes were tried from your address; try again in %v", wait.Round(time.Second))
		}
	}
	return nil
}

// roomHint explains the commonest mistake in a path.
func roomHint(r *http.Request) *jsonapi.Fault {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1/rooms/")
	if !ok || !strings.Contains(rest, "/") {
		return nil
	}
	return jsonapi.Refuse(http.StatusNotFound, "not_found",
		"there is nothing at %s; a / in a room's name is written %%2F in paths", r.URL.Path)
}
