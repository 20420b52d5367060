package api

import (
	"net/http"

	"signalbox/appliance/auth"
	"signalbox/internal/jsonapi"
)

func (a *API) getSession(c *call) (Session, error) { return sessionOf(c.who), nil }

func sessionOf(who caller) Session {
	if who.via == "" {
		return Session{}
	}
	s := Session{
		SignedIn: true, Via: who.via, Subject: who.Subject, Rooms: who.Rooms,
		Rights: who.Rights.Names(), TokenID: who.TokenID,
	}
	if !who.Expires.IsZero() {
		expires := who.Expires.UTC()
		s.Expires = &expires
	}
	return s
}

// setup redeems the code of a setup link, or of an invite for an administrator,
// and signs this browser in. A device's invite signs in as that device: there is
// no looking at a code without using it up.
func (a *API) setup(c *call, in *Setup) (SetupDone, error) {
	if c.local {
		return SetupDone{}, jsonapi.Refuse(http.StatusForbidden, "forbidden", "the control socket is administrator already; open the link in a browser")
	}
	token, id, err := a.redeem(c, in.Code)
	if err != nil {
		return SetupDone{}, err
	}
	c.who = caller{Identity: id, via: viaCookie, token: token}
	if !a.setCookie(c, token, id.Expires) {
		c.who.via, in.Bearer = viaBearer, true
	}
	done := SetupDone{Session: sessionOf(c.who)}
	if in.Bearer {
		done.Token = token
	}
	return done, nil
}

func (a *API) redeemInvite(c *call, in *Redeem) (Token, error) {
	token, id, err := a.redeem(c, in.Code)
	if err != nil {
		return Token{}, err
	}
	return tokenOf(token, id), nil
}

func (a *API) redeem(c *call, code string) (string, auth.Identity, error) {
	if code == "" {
		return "", auth.Identity{}, jsonapi.Wrong("code", "code is missing; send what follows the = in the link")
	}
	if _, err := auth.ParseCode(code); err != nil {
		return "", auth.Identity{}, jsonapi.Wrong("code", "%v", err)
	}
	ctx, cancel := c.change()
	defer cancel()
	return a.cfg.Invites.Redeem(ctx, code)
}

// logout makes the token of this session worthless, so that a copy of it is too.
func (a *API) logout(c *call) error {
	if !c.local {
		a.clearCookie(c)
	}
	if c.who.TokenID == "" {
		return nil // nobody, the control socket, or a token that cannot be named
	}
	ctx, cancel := c.change()
	defer cancel()
	return a.cfg.Tokens.Revoke(ctx, auth.Revocation{
		TokenID: c.who.TokenID, Issuer: c.who.Issuer, Expires: c.who.Expires, Reason: "signed out",
	})
}
