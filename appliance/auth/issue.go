package auth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// tokenType is the typ header of the box's tokens: the box key may sign other
// kinds of statements, which must never pass for a device token.
const tokenType = "signalbox+jwt"

// Issue makes a token of the box's own. It is not kept: whoever loses it gets
// another one. Its iat is later than any revocation of the subject.
func (a *Authority) Issue(grant Grant) (token string, id Identity, err error) {
	if err := grant.check(); err != nil {
		return "", Identity{}, err
	}
	if strings.Contains(grant.Subject, "*") {
		return "", Identity{}, fmt.Errorf("subject %q has a *, which only an invite fills in", grant.Subject)
	}
	ttl := grant.TTL
	if ttl == 0 {
		ttl = a.ttl
	}
	now := time.Now().UTC()
	id = Identity{
		Subject: grant.Subject, Rooms: grant.Rooms, Rights: grant.Rights,
		Issued: a.revoked.after(grant.Subject, now).Truncate(time.Second), Expires: now.Add(ttl).Truncate(time.Second),
		TokenID: rand.Text(), Issuer: a.self,
	}
	if id.Rooms == nil {
		id.Rooms = []string{}
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"iss": a.self, "aud": a.self, "sub": id.Subject, "jti": id.TokenID,
		"iat": id.Issued.Unix(), "exp": id.Expires.Unix(), "rooms": id.Rooms, "rights": id.Rights,
	})
	t.Header["typ"], t.Header["kid"] = tokenType, a.keyID
	token, err = t.SignedString(a.key)
	if err != nil {
		return "", Identity{}, fmt.Errorf("sign token: %w", err)
	}
	if len(token) > MaxTokenBytes {
		return "", Identity{}, fmt.Errorf("the token would have %d bytes, want at most %d: name fewer rooms", len(token), MaxTokenBytes)
	}
	a.sawIssued(id.Issued)
	return token, id, nil
}

// Renew exchanges a valid token of the box's own for a fresh one with the same
// grant and the same length of life. The old one stays valid until it expires.
// Another issuer's token gives ErrIssuer: that issuer renews it.
func (a *Authority) Renew(token string) (fresh string, id Identity, err error) {
	old, err := a.Verify(token)
	if err != nil {
		return "", Identity{}, err
	}
	if old.Issuer != a.self {
		return "", Identity{}, fmt.Errorf("%w: %q made it and has to renew it", ErrIssuer, old.Issuer)
	}
	ttl := min(max(old.Expires.Sub(old.Issued), time.Minute), MaxTTL)
	return a.Issue(Grant{Subject: old.Subject, Rooms: old.Rooms, Rights: old.Rights, TTL: ttl})
}

// check says what is wrong with a grant.
func (g Grant) check() error {
	if err := checkSubject(g.Subject); err != nil {
		return err
	}
	if err := checkPatterns(g.Rooms); err != nil {
		return err
	}
	if g.Rights&^AllRights != 0 {
		return fmt.Errorf("rights %#x hold unknown bits", uint32(g.Rights&^AllRights))
	}
	if g.TTL < 0 || g.TTL > MaxTTL {
		return fmt.Errorf("ttl is %v, want more than nothing and at most %dh", g.TTL, int(MaxTTL.Hours()))
	}
	return nil
}

// sawIssued notes how late it was when a token of the box's own was made.
func (a *Authority) sawIssued(issued time.Time) {
	for at := issued.Unix(); ; {
		old := a.newest.Load()
		if at <= old || a.newest.CompareAndSwap(old, at) {
			return
		}
	}
}

// openGrant is what open admission gives to everybody.
type openGrant struct {
	rooms  []string
	rights Rights
}

func newOpenGrant(cfg Config) *openGrant {
	g := &openGrant{rooms: cfg.OpenRooms, rights: rightsOr(cfg.OpenRights, DeviceRights)}
	if g.rooms == nil {
		g.rooms = []string{"*"}
	}
	return g
}

// Open is the identity of somebody without a token, under a name of their own
// choice or, when it is empty, a random one. The subject begins with "open:", so
// nobody takes the name of a device that has a token. It does not expire.
// ErrClosed unless admission is open.
func (a *Authority) Open(name string) (Identity, error) {
	if a.open == nil {
		return Identity{}, ErrClosed
	}
	if name == "" {
		name = randomName()
	}
	subject := "open:" + name
	if err := checkSubject(subject); err != nil {
		return Identity{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return Identity{
		Subject: subject, Rooms: a.open.rooms, Rights: a.open.rights, Issued: time.Now().UTC(), Issuer: "open",
	}, nil
}

// randomName is short enough to read out and has 40 bits.
func randomName() string { return strings.ToLower(rand.Text()[:8]) }

var errNoInvites = errors.New("this box keeps no invites")
