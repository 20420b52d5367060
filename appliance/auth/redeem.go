package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"signalbox/internal/order"
)

const (
	// MaxInvites bounds the open invites.
	MaxInvites = 1024

	defaultInviteTTL = 24 * time.Hour
	maxInviteTTL     = 366 * 24 * time.Hour
	maxInviteUses    = 10_000
	maxNoteBytes     = 256
)

// NewInvite makes an invite and the code that redeems it. The code is not kept:
// it is shown once.
func (a *Authority) NewInvite(ctx context.Context, opts InviteOptions) (code Secret, invite Invite, err error) {
	if opts.TTL == 0 {
		opts.TTL = defaultInviteTTL
	}
	if opts.Uses == 0 {
		opts.Uses = 1
	}
	if err := opts.check(); err != nil {
		return Secret{}, Invite{}, err
	}
	trial := opts.Grant
	trial.Subject = fill(trial.Subject)
	if _, _, err := a.Issue(trial); err != nil { // not only when a device brings the code
		return Secret{}, Invite{}, err
	}
	if err := a.roomForInvite(ctx); err != nil {
		return Secret{}, Invite{}, err
	}
	return a.putInvite(ctx, KindDevice, opts)
}

func (o InviteOptions) check() error {
	if err := o.Grant.check(); err != nil {
		return err
	}
	stars := strings.Count(o.Grant.Subject, "*")
	switch {
	case stars > 1:
		return fmt.Errorf("subject %q has %d *, want at most one", o.Grant.Subject, stars)
	case o.Uses < 1 || o.Uses > maxInviteUses:
		return fmt.Errorf("uses is %d, want 1 to %d", o.Uses, maxInviteUses)
	case o.Uses > 1 && stars == 0:
		return fmt.Errorf("subject %q is for one device and the invite for %d: put a * in it", o.Grant.Subject, o.Uses)
	case o.TTL < time.Second || o.TTL > maxInviteTTL:
		return fmt.Errorf("invite ttl is %v, want 1s to %dh", o.TTL, int(maxInviteTTL.Hours()))
	case len(o.Note) > maxNoteBytes || strings.ContainsFunc(o.Note, unprintable):
		return fmt.Errorf("note has %d bytes, want at most %d of printable text", len(o.Note), maxNoteBytes)
	}
	return nil
}

// roomForInvite clears out what has expired and refuses when the rest is too much.
func (a *Authority) roomForInvite(ctx context.Context) error {
	all, err := a.storedInvites()
	if err != nil {
		return err
	}
	open, now := 0, time.Now()
	for _, invite := range all {
		if now.Before(invite.Expires) || invite.Kind == KindClaimed {
			open++
			continue
		}
		if err := a.invites.DeleteInvite(ctx, invite.ID); err != nil {
			return fmt.Errorf("delete expired invite: %w", err)
		}
	}
	if open > MaxInvites {
		return fmt.Errorf("%d invites are open, want at most %d: delete some", open, MaxInvites)
	}
	return nil
}

func (a *Authority) putInvite(ctx context.Context, kind string, opts InviteOptions) (Secret, Invite, error) {
	code, now := newCode(), time.Now().UTC()
	invite := Invite{
		ID: randomName(), Hash: code.hash(), Grant: opts.Grant, Kind: kind,
		Created: now, Expires: now.Add(opts.TTL), Uses: opts.Uses, Note: opts.Note,
	}
	if err := a.invites.PutInvite(ctx, invite); err != nil {
		return Secret{}, Invite{}, fmt.Errorf("store invite: %w", err)
	}
	return code.text(), invite, nil
}

// Redeem exchanges an invite code for a token. Whatever is wrong with the code
// gives ErrInviteUnknown, or ErrInviteExpired to somebody who has the right one
// too late; other errors are the box's own. It does not slow down guessing:
// callers limit attempts per source, and 128 bits do the rest.
func (a *Authority) Redeem(ctx context.Context, code string) (token string, id Identity, err error) {
	if a.invites == nil {
		return "", Identity{}, ErrInviteUnknown
	}
	c, err := parseCode(code)
	if err != nil {
		return "", Identity{}, ErrInviteUnknown
	}
	hash := c.hash()
	invite, err := a.invites.TakeInvite(ctx, hash, a.setup.clock(hash))
	switch {
	case errors.Is(err, ErrInviteUnknown):
		return "", Identity{}, ErrInviteUnknown
	case errors.Is(err, ErrInviteExpired):
		return "", Identity{}, ErrInviteExpired
	case err != nil:
		return "", Identity{}, fmt.Errorf("take invite: %w", err)
	}
	grant := invite.Grant
	grant.Subject = fill(grant.Subject)
	if grant.Rights&RightAdmin != 0 {
		if err := a.Claim(ctx, grant.Subject); err != nil {
			return "", Identity{}, err
		}
	}
	return a.Issue(grant)
}

// fill puts random characters for the * of an invite's subject.
func fill(subject string) string { return strings.Replace(subject, "*", randomName(), 1) }

// Invites lists the invites that can still be redeemed, newest first.
func (a *Authority) Invites() ([]Invite, error) {
	all, err := a.storedInvites()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	all = slices.DeleteFunc(all, func(i Invite) bool { return i.Kind == KindClaimed || !now.Before(i.Expires) })
	order.StableBy(all, func(x, y Invite) int { return y.Created.Compare(x.Created) })
	return all, nil
}

// DeleteInvite takes an invite back; one that is not there is no error.
func (a *Authority) DeleteInvite(ctx context.Context, id string) error {
	if a.invites == nil {
		return errNoInvites
	}
	if id == claimedID {
		return nil
	}
	return a.invites.DeleteInvite(ctx, id)
}

func (a *Authority) storedInvites() ([]Invite, error) {
	if a.invites == nil {
		return nil, errNoInvites
	}
	all, err := a.invites.Invites()
	if err != nil {
		return nil, fmt.Errorf("read invites: %w", err)
	}
	return all, nil
}
