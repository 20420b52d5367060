package people

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// link is an invitation as it is kept, under the digest of its code.
type link struct {
	Name    string    `json:"name"` // whom it lets in; empty: they choose
	Role    Role      `json:"role"`
	By      string    `json:"by"`
	Expires time.Time `json:"expires"`
}

// Link makes the code of a one-time link that lets somebody in, or gives
// somebody who is known a new password. It is good for LinkTTL.
func (p *People) Link(ctx context.Context, by Person, name string, role Role) (code string, err error) {
	if _, err := ParseRole(string(role)); err != nil {
		return "", err
	}
	if name != "" {
		if err := checkName(name); err != nil {
			return "", err
		}
	}
	code = secretText()
	l := link{Name: name, Role: role, By: by.Name, Expires: time.Now().Add(LinkTTL).UTC()}
	if err := write(ctx, p.cfg.Registry, linkPrefix+digest(code), l, 0); err != nil {
		return "", err
	}
	return code, p.cfg.Audit.Write(ctx, Entry{By: by.Name, Action: "link", Target: name, Detail: string(role)})
}

// FirstLink makes a link for the first administrator, or "" when there is
// somebody who can sign in as one.
func (p *People) FirstLink(ctx context.Context) (code string, err error) {
	needed, err := p.NeedsSetup(ctx)
	if err != nil || !needed {
		return "", err
	}
	return p.Link(ctx, Local, "", Administrator)
}

// NeedsSetup reports whether nobody can sign in as administrator with a password.
func (p *People) NeedsSetup(ctx context.Context) (bool, error) {
	records, err := p.records(ctx)
	able := func(r record) bool { return r.Role == Administrator && r.Hash != "" }
	return err == nil && !slices.ContainsFunc(records, able), err
}

// Redeem uses a link up: its holder chooses a password, and a name unless the
// link has one, and is signed in. ErrUnknown for a code that is mistyped, used
// or too old, ErrTaken for a name that somebody else has, ErrInvalid, ErrSlow.
func (p *People) Redeem(ctx context.Context, source, code, name, password string) (secret string, who Person, err error) {
	if err := p.brakes.check(source, ""); err != nil {
		return "", Person{}, err
	}
	key := linkPrefix + digest(code)
	l, revision, found, err := read[link](ctx, p.cfg.Registry, key)
	if err != nil {
		return "", Person{}, err
	}
	if !found || time.Now().After(l.Expires) {
		p.brakes.failed(source, "")
		return "", Person{}, fmt.Errorf("%w: this link was used or is older than a day; ask for a new one", ErrUnknown)
	}
	if l.Name != "" {
		name = l.Name
	}
	if err := checkName(name); err != nil {
		return "", Person{}, err
	}
	old, oldRevision, exists, err := read[record](ctx, p.cfg.Registry, personKey(name))
	if err != nil {
		return "", Person{}, err
	}
	if exists && l.Name == "" {
		return "", Person{}, fmt.Errorf("%w: somebody has the name %q; choose another", ErrTaken, name)
	}
	if err := p.room(ctx, exists); err != nil {
		return "", Person{}, err
	}
	hash, err := p.hasher.hash(ctx, password)
	if err != nil {
		return "", Person{}, err
	}
	// The link goes first: of two who use it at once only one gets past here.
	used := l
	used.Expires = time.Time{}
	if err := write(ctx, p.cfg.Registry, key, used, revision); err != nil {
		return "", Person{}, fmt.Errorf("%w: this link was used a moment ago", ErrUnknown)
	}
	_ = p.cfg.Registry.Purge(ctx, key)
	now := time.Now().UTC()
	r := record{Person: Person{Name: name, Role: l.Role, Created: now, By: l.By, Via: ViaPassword, Seen: now}, Hash: hash}
	if exists {
		r.Name = old.Name // as it was written first
	}
	if err := write(ctx, p.cfg.Registry, personKey(name), r, oldRevision); err != nil {
		return "", Person{}, err
	}
	p.forget()
	if err := p.cfg.Audit.Write(ctx, Entry{By: r.Name, Action: "person-added", Target: r.Name, From: source, Detail: string(r.Role) + " by " + l.By}); err != nil {
		return "", Person{}, err
	}
	return p.begin(ctx, source, r.Person, ViaPassword)
}

// room refuses more people than there may be.
func (p *People) room(ctx context.Context, exists bool) error {
	if exists {
		return nil
	}
	keys, err := keysOf(ctx, p.cfg.Registry, personPrefix)
	if err == nil && len(keys) >= MaxPeople {
		err = fmt.Errorf("%w: there are %d people, the most there may be; remove some", ErrInvalid, len(keys))
	}
	return err
}
