package dashboard

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/sync/cloud/people"
)

// changeTimeout is for the broker to take a change.
const changeTimeout = 10 * time.Second

// call is one request on its way through a route.
type call struct {
	w      http.ResponseWriter
	r      *http.Request
	who    people.Person
	secret string // of the session or key; empty on the control socket
	cookie bool   // it came in a cookie
	local  bool   // through the control socket
	source string
}

// Exchange is the request and where its answer goes.
func (c *call) Exchange() (http.ResponseWriter, *http.Request) { return c.w, c.r }

// Who names the caller in the log.
func (c *call) Who() string { return c.who.Name }

// change is the context for what must happen entirely or not at all, also when
// the caller hangs up. It carries where the change comes from into the audit log.
func (c *call) change() (context.Context, context.CancelFunc) {
	return context.WithTimeout(people.From(context.WithoutCancel(c.r.Context()), c.source), changeTimeout)
}

// note writes into the audit log what the caller has done.
func (d *Dashboard) note(ctx context.Context, c *call, action, target, detail string) error {
	return d.cfg.Audit.Write(ctx, people.Entry{By: c.who.Name, Action: action, Target: target, Detail: detail})
}

// mux serves every route, to the network or to the control socket.
func (d *Dashboard) mux(local bool) http.Handler {
	s := jsonapi.Service[*Dashboard, *call, access]{
		Self: d, Routes: routes, Log: d.log, Metrics: d.metrics.http, Admit: d.admit, FaultOf: d.faultOf, Unknown: open,
		NewCall: func(w http.ResponseWriter, r *http.Request, local bool) *call {
			return &call{w: w, r: r, local: local, source: d.source(r, local)}
		},
	}
	return s.Mux(local)
}

func (d *Dashboard) source(r *http.Request, local bool) string {
	if local {
		return "control socket"
	}
	return d.cfg.Source(r)
}

// admit is the way to the handler: nothing of the body is read before the
// caller is known to have the right.
func (d *Dashboard) admit(c *call, rt route) error {
	if err := d.identify(c, rt); err != nil {
		return err
	}
	if err := d.guard(c, rt); err != nil {
		return err
	}
	if rt.Limited && !c.local {
		if wait, ok := d.signIns.Allow(c.source+":0", time.Now()); !ok {
			d.metrics.limited.Inc()
			return jsonapi.Later(http.StatusTooManyRequests, "rate_limited", wait,
				"too many sign-ins were tried from your address; try again in %v", wait.Round(time.Second))
		}
	}
	return nil
}

// identify finds out who is calling, and refuses who must be known and is not.
// A bearer that is not good is refused even where none is needed: its sender
// means to be somebody. A stale cookie is only forgotten there.
func (d *Dashboard) identify(c *call, rt route) error {
	if c.local {
		c.who = people.Local
		return nil
	}
	if rt.Access == open {
		return nil
	}
	secret, cookie, err := credential(c.r)
	if err != nil {
		return err
	}
	if secret == "" {
		if rt.Access == anyone {
			return nil
		}
		return jsonapi.Refuse(http.StatusUnauthorized, "unauthorized", "this needs somebody: sign in, or send Authorization: Bearer KEY")
	}
	who, err := d.cfg.People.Authenticate(c.r.Context(), secret)
	if err == nil {
		c.who, c.secret, c.cookie = who, secret, cookie
		return nil
	}
	if !errors.Is(err, people.ErrRefused) {
		return err
	}
	if cookie {
		d.clearCookie(c)
		if rt.Access == anyone {
			return nil
		}
	}
	return jsonapi.Refuse(http.StatusUnauthorized, "unauthorized", "%v", err)
}

// credential takes the secret out of the request; the header goes before the cookie.
func credential(r *http.Request) (secret string, cookie bool, err error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, secret, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || secret == "" {
			return "", false, jsonapi.Refuse(http.StatusUnauthorized, "unauthorized",
				"Authorization has the scheme %.20q; send Authorization: Bearer KEY", scheme)
		}
		return strings.TrimSpace(secret), false, nil
	}
	for _, name := range []string{hostCookie, plainCookie} {
		if found, err := r.Cookie(name); err == nil && found.Value != "" {
			return found.Value, true, nil
		}
	}
	return "", false, nil
}

// guard refuses what the caller may not do, and requests that another site's
// page made a browser send.
func (d *Dashboard) guard(c *call, rt route) error {
	if rt.Changes() && !c.local {
		if err := d.origin.Check(c.r); err != nil {
			return jsonapi.Refuse(http.StatusForbidden, "cross_origin", "this request comes from the page of another site; open the cloud's own page")
		}
		if c.cookie && rt.Method != http.MethodDelete {
			// A form of another site cannot send this type without asking first.
			if err := jsonapi.CheckJSONType(c.r.Header.Get("Content-Type")); err != nil {
				return err
			}
		}
	}
	if want := rt.Access.role(); want != "" && !c.who.Role.Includes(want) {
		return jsonapi.Refuse(http.StatusForbidden, "forbidden", "%q is %s; this needs the role %s", c.who.Name, c.who.Role, want)
	}
	return nil
}

// Names of the session's cookie. The first exists on HTTPS only, where browsers
// keep its promise that no plain page and no other host has set it.
const (
	hostCookie  = "__Host-signalbox-cloud"
	plainCookie = "signalbox-cloud"
)

func (d *Dashboard) setCookie(c *call, secret string) {
	http.SetCookie(c.w, d.newCookie(c, hostCookie, plainCookie, secret, people.SessionTTL, http.SameSiteStrictMode))
}

func (d *Dashboard) clearCookie(c *call) {
	http.SetCookie(c.w, d.newCookie(c, hostCookie, plainCookie, "", -1, http.SameSiteStrictMode))
}

// newCookie makes one of the names host and plain; a negative ttl forgets it.
func (d *Dashboard) newCookie(c *call, host, plain, value string, ttl time.Duration, same http.SameSite) *http.Cookie {
	cookie := &http.Cookie{Name: plain, Value: value, Path: "/", HttpOnly: true, SameSite: same, MaxAge: int(ttl / time.Second)}
	if ttl < 0 {
		cookie.MaxAge = -1
	}
	if d.cfg.Secure(c.r) {
		cookie.Name, cookie.Secure = host, true
	}
	return cookie
}
