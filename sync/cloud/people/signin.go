package people

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// session is a sign-in as it is kept, under the digest of its secret.
type session struct {
	Name  string    `json:"name"`
	Since time.Time `json:"since"`
	Via   string    `json:"via"`
}

// SignIn checks name and password and begins a session; secret goes into the
// cookie. source is where the attempt comes from. ErrRefused, ErrSlow.
func (p *People) SignIn(ctx context.Context, source, name, password string) (secret string, who Person, err error) {
	if err := p.brakes.check(source, name); err != nil {
		return "", Person{}, err
	}
	r, revision, _, err := read[record](ctx, p.cfg.Registry, personKey(name))
	if err != nil {
		return "", Person{}, err
	}
	ok, err := p.hasher.matches(ctx, r.Hash, password)
	if err != nil {
		return "", Person{}, err
	}
	if !ok {
		p.brakes.failed(source, name)
		p.refusals.write(ctx, source, name, "")
		return "", Person{}, fmt.Errorf("%w: the name or the password is not right", ErrRefused)
	}
	p.brakes.succeeded(source, name)
	r.Seen = time.Now().UTC()
	_ = write(ctx, p.cfg.Registry, personKey(name), r, revision) // a moment lost between two sign-ins is no harm
	return p.begin(ctx, source, r.Person, ViaPassword)
}

// begin starts a session of a person who has been recognised.
func (p *People) begin(ctx context.Context, source string, who Person, via string) (string, Person, error) {
	secret := secretText()
	err := write(ctx, p.cfg.SignIn, digest(secret), session{Name: who.Name, Since: time.Now().UTC(), Via: via}, 0)
	if err != nil {
		return "", Person{}, err
	}
	who.Via = via
	return secret, who, p.cfg.Audit.Write(ctx, Entry{By: who.Name, Action: "sign-in", From: source, Detail: via})
}

// SignOut ends a session; one that is not known has ended.
func (p *People) SignOut(ctx context.Context, secret string) error {
	p.forget()
	err := p.cfg.SignIn.Delete(ctx, digest(secret))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil
	}
	return err
}

// Authenticate finds who has the secret of a session or an API key. ErrRefused
// when nobody has it; any other error means that the broker did not answer.
func (p *People) Authenticate(ctx context.Context, secret string) (Person, error) {
	id := digest(secret)
	p.mu.Lock()
	c, ok := p.known[id]
	p.mu.Unlock()
	if ok && time.Now().Before(c.until) {
		return c.person, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	who, err := p.lookup(ctx, secret, id)
	if err != nil {
		return Person{}, err
	}
	p.mu.Lock()
	if len(p.known) >= maxCache {
		clear(p.known)
	}
	p.known[id] = cached{who, time.Now().Add(cacheFor)}
	p.mu.Unlock()
	return who, nil
}

func (p *People) lookup(ctx context.Context, secret, id string) (Person, error) {
	if isAPIKey(secret) {
		return p.apiKey(ctx, id)
	}
	s, _, found, err := read[session](ctx, p.cfg.SignIn, id)
	if err != nil {
		return Person{}, err
	}
	if !found || time.Since(s.Since) > SessionTTL {
		return Person{}, fmt.Errorf("%w: this session has ended; sign in again", ErrRefused)
	}
	r, _, found, err := read[record](ctx, p.cfg.Registry, personKey(s.Name))
	if err != nil {
		return Person{}, err
	}
	// Whoever was let in anew under the same name is somebody else.
	if !found || r.Created.After(s.Since) {
		return Person{}, fmt.Errorf("%w: %q has no access any more", ErrRefused, s.Name)
	}
	r.Person.Via = s.Via
	return r.Person, nil
}

func shortened(text string) string {
	if len(text) > MaxNameBytes {
		return text[:MaxNameBytes]
	}
	return text
}
