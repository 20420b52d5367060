package api

import (
	"net/http"
	"strings"
	"time"

	"signalbox/appliance/auth"
	"signalbox/internal/jsonapi"
)

// How a caller was recognised.
const (
	viaBearer  = "bearer"
	viaCookie  = "cookie"
	viaControl = "control"
)

// caller is who sent a request; via is empty for nobody in particular.
type caller struct {
	auth.Identity
	via   string
	token string // as it came; empty on the control socket
}

// onControl is whoever may open the control socket: file permissions decide.
var onControl = caller{via: viaControl, Identity: auth.Identity{Subject: "control", Rooms: []string{"*"}, Rights: auth.AllRights}}

// identify finds out who is calling, and refuses who must be known and is not.
// A bearer token that does not verify is refused even where none is needed: its
// sender means to be somebody. A stale cookie is only forgotten there.
func (a *API) identify(c *call, rt route) error {
	if c.local {
		c.who = onControl
		return nil
	}
	if rt.Access == open {
		return nil
	}
	token, via, err := a.credential(c.r)
	if err != nil {
		return err
	}
	if via == "" {
		if rt.Access == anyone {
			return nil
		}
		return jsonapi.Refuse(http.StatusUnauthorized, "unauthorized",
			"this needs a token: send Authorization: Bearer TOKEN, or sign in with the setup link or an invite")
	}
	id, err := a.cfg.Tokens.Verify(token)
	if err == nil {
		c.who = caller{Identity: id, via: via, token: token}
		return nil
	}
	f := tokenFault(err)
	if f == nil {
		return err
	}
	if via == viaCookie && f.Status == http.StatusUnauthorized {
		a.clearCookie(c)
		if rt.Access == anyone {
			return nil
		}
	}
	return f
}

// credential takes the token out of the request; the header goes before the
// cookie.
func (a *API) credential(r *http.Request) (token, via string, err error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return "", "", jsonapi.Refuse(http.StatusUnauthorized, "unauthorized",
				"Authorization has the scheme %.20q; send Authorization: Bearer TOKEN", scheme)
		}
		return strings.TrimSpace(token), viaBearer, nil
	}
	for _, name := range []string{hostCookie + a.cfg.BoxID, plainCookie + a.cfg.BoxID} {
		if cookie, err := r.Cookie(name); err == nil && cookie.Value != "" {
			return cookie.Value, viaCookie, nil
		}
	}
	return "", "", nil
}

// guard refuses what the caller may not do, and requests that another site's
// page made a browser send.
func (a *API) guard(c *call, rt route) error {
	if rt.Changes() && !c.local {
		if err := a.origin.Check(c.r); err != nil {
			return jsonapi.Refuse(http.StatusForbidden, "cross_origin",
				"this request comes from the page of another site; open the box's own page")
		}
		if c.who.via == viaCookie && rt.Method != http.MethodDelete {
			// A form of another site cannot send this type without asking first.
			if err := jsonapi.CheckJSONType(c.r.Header.Get("Content-Type")); err != nil {
				return err
			}
		}
	}
	switch rt.Access {
	case manager:
		return mayManage(c.who, c.r.PathValue("name"))
	case admin:
		if !c.who.Has(auth.RightAdmin) {
			return jsonapi.Refuse(http.StatusForbidden, "forbidden", "%q has the rights %v; this needs admin", c.who.Subject, c.who.Rights)
		}
	}
	return nil
}

func mayManage(who caller, name string) error {
	if who.Has(auth.RightAdmin) {
		return nil
	}
	if !who.Has(auth.RightManage) {
		return jsonapi.Refuse(http.StatusForbidden, "forbidden", "%q has the rights %v; this needs manage or admin", who.Subject, who.Rights)
	}
	if id := who.Identity; !mayEnter(id, name) {
		return jsonapi.Refuse(http.StatusForbidden, "forbidden", "%q may manage the rooms %q; %q is none of them", who.Subject, id.Rooms, name)
	}
	return nil
}

// mayEnter reports whether the identity's patterns name the room. Managing from
// outside does not need the right to join.
func mayEnter(id auth.Identity, name string) bool {
	id.Rights |= auth.RightJoin
	return id.MayJoin(name)
}

// Cookie names end in the box's id: cookies do not tell ports apart, and two
// boxes behind one address would sign each other's people out. The first one
// exists on HTTPS only, where browsers keep its promise that no plain page and
// no other host has set it.
const (
	hostCookie  = "__Host-signalbox-"
	plainCookie = "signalbox-"
)

// maxCookieBytes is what browsers keep of a name and a value together (RFC 6265
// §6.1); they forget a longer cookie without a word.
const maxCookieBytes = 4096

// setCookie signs the browser in; false when the token does not fit a cookie.
func (a *API) setCookie(c *call, token string, expires time.Time) bool {
	cookie := a.cookie(c, token, expires)
	if len(cookie.Name)+len(cookie.Value) > maxCookieBytes {
		return false
	}
	http.SetCookie(c.w, cookie)
	return true
}

func (a *API) clearCookie(c *call) {
	cookie := a.cookie(c, "", time.Time{})
	cookie.MaxAge = -1
	http.SetCookie(c.w, cookie)
	if c.r.TLS != nil { // one from a time before HTTPS goes too
		plain := *cookie
		plain.Name = plainCookie + a.cfg.BoxID
		http.SetCookie(c.w, &plain)
	}
}

func (a *API) cookie(c *call, token string, expires time.Time) *http.Cookie {
	cookie := &http.Cookie{
		Name: plainCookie + a.cfg.BoxID, Value: token, Path: "/", Expires: expires,
		HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if c.r.TLS != nil {
		cookie.Name, cookie.Secure = hostCookie+a.cfg.BoxID, true
	}
	return cookie
}
