package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"

	"signalbox/appliance/auth"
	"signalbox/internal/jsonapi"
)

const (
	maxSubjectBytes = 255
	turnLifetime    = time.Hour
	// turnOverlap is more than the life of what live sessions have: they get
	// new credentials in time.
	turnOverlap     = 24 * time.Hour
	maxTURNLifetime = 30 * 24 * time.Hour
)

func (a *API) createToken(c *call, in *TokenCreate) (Token, error) {
	if in.Subject == "" {
		return Token{}, jsonapi.Wrong("subject", "subject is missing; name the device or person the token is for")
	}
	grant, err := grantOf(in.Subject, in.Rooms, in.Rights)
	if err != nil {
		return Token{}, err
	}
	if grant.TTL, err = lifetime("ttl_s", in.TTL, auth.MaxTTL); err != nil {
		return Token{}, err
	}
	token, id, err := a.cfg.Tokens.Issue(grant)
	if err != nil {
		return Token{}, grantFault(err)
	}
	if id.Has(auth.RightAdmin) {
		ctx, cancel := c.change()
		defer cancel()
		if err := a.cfg.Invites.Claim(ctx, id.Subject); err != nil {
			return Token{}, err
		}
	}
	return tokenOf(token, id), nil
}

// renewToken lets a device or a browser that is in use stay signed in without
// an administrator. A revoked or expired token is not renewed.
func (a *API) renewToken(c *call) (Token, error) {
	if c.local {
		return Token{}, jsonapi.Refuse(http.StatusForbidden, "forbidden", "the control socket needs no token; make one with POST /v1/tokens")
	}
	token, id, err := a.cfg.Tokens.Renew(c.who.token)
	if err != nil {
		return Token{}, err
	}
	if c.who.via == viaCookie {
		a.setCookie(c, token, id.Expires)
	}
	return tokenOf(token, id), nil
}

func (a *API) createTURN(c *call, in *TURNCreate) (TURNCredential, error) {
	if a.cfg.Relay == nil {
		return TURNCredential{}, jsonapi.Refuse(http.StatusServiceUnavailable, "unavailable", "this box runs without its relay; set turn.listen to start it")
	}
	subject := in.Subject
	if subject == "" {
		subject = c.who.Subject
	}
	if err := checkSubject(subject); err != nil {
		return TURNCredential{}, err
	}
	ttl, err := lifetime("ttl_s", in.TTL, maxTURNLifetime)
	if err != nil {
		return TURNCredential{}, err
	}
	if ttl == 0 {
		ttl = turnLifetime
	}
	host := ""
	if !c.local {
		u := url.URL{Host: c.r.Host}
		host = u.Hostname()
	}
	credential, err := a.cfg.Relay.Credential(host, subject, ttl)
	if err != nil {
		return TURNCredential{}, err
	}
	credential.URLs = emptyList(credential.URLs)
	return credential, nil
}

// rotateRelay changes the secret that credentials of the relay are made from.
func (a *API) rotateRelay(c *call, in *RelayRotate) (RelayRotated, error) {
	if a.cfg.Relay == nil {
		return RelayRotated{}, jsonapi.Refuse(http.StatusServiceUnavailable, "unavailable", "this box runs without its relay; set turn.listen to start it")
	}
	overlap := turnOverlap
	if in.Overlap != nil {
		var err error
		if overlap, err = lifetime("overlap_s", *in.Overlap, maxTURNLifetime); err != nil {
			return RelayRotated{}, err
		}
	}
	ctx, cancel := c.change()
	defer cancel()
	now := time.Now()
	err := a.cfg.Relay.Rotate(ctx, overlap)
	if errors.Is(err, ErrRelaySecrets) {
		return RelayRotated{}, jsonapi.Refuse(http.StatusConflict, "limit", "%v", err)
	}
	return RelayRotated{OlderUntil: now.Add(overlap).UTC()}, err
}

func (a *API) revoke(c *call, in *Revocation) error {
	if (in.TokenID == "") == (in.Subject == "") {
		return jsonapi.Wrong("token_id", "send token_id or subject, and not both")
	}
	if in.Subject != "" {
		if err := checkSubject(in.Subject); err != nil {
			return err
		}
	}
	if len(in.TokenID) > maxSubjectBytes {
		return jsonapi.Wrong("token_id", "token_id has %d bytes; want at most %d", len(in.TokenID), maxSubjectBytes)
	}
	ctx, cancel := c.change()
	defer cancel()
	if in.Lift {
		return a.cfg.Tokens.Lift(ctx, auth.Revocation{TokenID: in.TokenID, Subject: in.Subject})
	}
	return a.cfg.Tokens.Revoke(ctx, auth.Revocation{
		TokenID: in.TokenID, Subject: in.Subject, Reason: "revoked by " + c.who.Subject,
	})
}

// grantOf is what a token or an invite is to give.
func grantOf(subject string, rooms, rights []string) (auth.Grant, error) {
	parsed, err := auth.ParseRights(rights)
	if err != nil {
		return auth.Grant{}, jsonapi.Wrong("rights", "%v", err)
	}
	if len(rights) == 0 {
		parsed = auth.DeviceRights
	}
	if len(rooms) == 0 && parsed&auth.RightAdmin != 0 {
		rooms = []string{"*"}
	}
	if len(rooms) == 0 {
		return auth.Grant{}, jsonapi.Wrong("rooms", `rooms is missing; name rooms or patterns, like ["line-3", "hall-*"]`)
	}
	return auth.Grant{Subject: subject, Rooms: rooms, Rights: parsed}, nil
}

// tryGrant makes a token that nobody gets: what is wrong with the grant should
// be told to who makes an invite, and not to the device that brings it.
func (a *API) tryGrant(grant auth.Grant) error {
	grant.Subject = strings.Replace(grant.Subject, "*", "00000000", 1)
	if _, _, err := a.cfg.Tokens.Issue(grant); err != nil {
		return grantFault(err)
	}
	return nil
}

// grantFault is the refusal for an error of Tokens.Issue, which begins with the
// word for what is wrong.
func grantFault(err error) *jsonapi.Fault {
	word, _, _ := strings.Cut(err.Error(), " ")
	field := map[string]string{"subject": "subject", "room": "rooms", "rights": "rights", "ttl": "ttl_s"}[word]
	return jsonapi.Wrong(field, "%v", err)
}

func checkSubject(subject string) error {
	if len(subject) > maxSubjectBytes || strings.ContainsFunc(subject, unprintable) {
		return jsonapi.Wrong("subject", "subject has %d bytes; want at most %d of printable text", len(subject), maxSubjectBytes)
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// lifetime reads a number of seconds; 0 leaves the choice to who makes the token.
func lifetime(field string, seconds int64, longest time.Duration) (time.Duration, error) {
	if most := int64(longest / time.Second); seconds < 0 || seconds > most {
		return 0, jsonapi.Wrong(field, "%s is %d; want 1 to %d seconds", field, seconds, most)
	}
	return time.Duration(seconds) * time.Second, nil
}

func tokenOf(token string, id auth.Identity) Token {
	return Token{
		Token: token, ID: id.TokenID, Subject: id.Subject, Rooms: emptyList(id.Rooms),
		Rights: id.Rights.Names(), Expires: id.Expires.UTC(),
	}
}
