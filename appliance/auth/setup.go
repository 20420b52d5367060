package auth

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	// SetupTTL is how long the setup invite of a first start is good.
	SetupTTL = 30 * time.Minute

	adminTTL  = 30 * 24 * time.Hour
	claimedID = "first-administrator"
)

// setupClock measures the setup invite's half hour by the monotonic clock. A
// box without a battery sets its wall clock minutes after its first start, and
// the link on its console must outlive that, and not by years either.
type setupClock struct {
	mu   sync.Mutex
	hash string
	at   time.Time // with its monotonic reading
}

func (s *setupClock) made(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hash, s.at = hash, time.Now()
}

// clock is the time by which the invite with that hash is judged.
func (s *setupClock) clock(hash string) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hash != hash {
		return time.Now()
	}
	return s.at.Add(time.Since(s.at)).Round(0)
}

// NewSetup makes the invite by which the first administrator gets in, and
// withdraws an older one. It is good for SetupTTL or until there is an
// administrator. Whoever may call it may administer the box: it is for a first
// start and for somebody who has a shell on the machine.
func (a *Authority) NewSetup(ctx context.Context) (code Secret, invite Invite, err error) {
	a.setupMu.Lock()
	defer a.setupMu.Unlock()
	if err := a.withdrawSetup(ctx); err != nil {
		return Secret{}, Invite{}, err
	}
	code, invite, err = a.putInvite(ctx, KindAdmin, InviteOptions{
		Grant: Grant{Subject: "admin", Rooms: []string{"*"}, Rights: AllRights, TTL: adminTTL},
		TTL:   SetupTTL, Uses: 1, Note: "setup of this box",
	})
	if err == nil {
		a.setup.made(invite.Hash)
	}
	return code, invite, err
}

// NeedsSetup reports whether the box has never had an administrator.
func (a *Authority) NeedsSetup() (bool, error) {
	all, err := a.storedInvites()
	return err == nil && !slices.ContainsFunc(all, func(i Invite) bool { return i.Kind == KindClaimed }), err
}

// Claim records that the box has an administrator and withdraws the setup
// invite. Redeem does so; whoever makes an administrator with Issue does it too.
func (a *Authority) Claim(ctx context.Context, subject string) error {
	a.setupMu.Lock()
	defer a.setupMu.Unlock()
	needed, err := a.NeedsSetup()
	if err != nil {
		return err
	}
	if needed {
		mark := Invite{ID: claimedID, Kind: KindClaimed, Created: time.Now().UTC(), Note: subject}
		if err := a.invites.PutInvite(ctx, mark); err != nil {
			return fmt.Errorf("record the first administrator: %w", err)
		}
	}
	return a.withdrawSetup(ctx)
}

// withdrawSetup deletes setup invites. The caller holds setupMu.
func (a *Authority) withdrawSetup(ctx context.Context) error {
	all, err := a.storedInvites()
	if err != nil {
		return err
	}
	for _, invite := range all {
		if invite.Kind != KindAdmin {
			continue
		}
		if err := a.invites.DeleteInvite(ctx, invite.ID); err != nil {
			return fmt.Errorf("withdraw setup invite: %w", err)
		}
	}
	return nil
}
