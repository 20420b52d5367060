package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/auth/authtest"
)

var device = auth.Grant{Subject: "cam-*", Rooms: []string{"line-3"}, Rights: auth.DeviceRights, TTL: time.Hour}

func newInvite(t testing.TB, a *auth.Authority, opts auth.InviteOptions) (string, auth.Invite) {
	t.Helper()
	code, invite, err := a.NewInvite(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	return code.Reveal(), invite
}

func TestRedeem(t *testing.T) {
	store := new(authtest.Invites)
	a, _ := newAuthority(t, auth.Config{Invites: store})
	code, invite := newInvite(t, a, auth.InviteOptions{Grant: device, Note: "camera above line 3"})

	if listed, err := a.Invites(); err != nil || len(listed) != 1 || listed[0].ID != invite.ID {
		t.Errorf("Invites() = %+v, %v, want the new one", listed, err)
	}
	if stored := fmt.Sprintf("%+v", invite); strings.Contains(stored, code) || strings.Contains(stored, strings.ReplaceAll(code, "-", "")) {
		t.Errorf("the invite that is stored holds its code: %s", stored)
	}
	token, id, err := a.Redeem(t.Context(), "  "+strings.ToLower(code))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := a.Verify(token); err != nil || got.Subject != id.Subject || got.Rights != auth.DeviceRights {
		t.Errorf("Verify(Redeem) = %+v, %v", got, err)
	}
	if !strings.HasPrefix(id.Subject, "cam-") || strings.Contains(id.Subject, "*") || len(id.Subject) != len("cam-")+8 {
		t.Errorf("subject %q, want cam- and random characters", id.Subject)
	}
	if _, _, err := a.Redeem(t.Context(), code); !errors.Is(err, auth.ErrInviteUnknown) {
		t.Errorf("second use: %v, want ErrInviteUnknown", err)
	}
	if listed, _ := a.Invites(); len(listed) != 0 {
		t.Errorf("Invites() = %+v after use, want none", listed)
	}
}

// TestRedeemSaysLittle: from outside, a mistyped, a used and a deleted code are
// one and the same; only a right code that comes late learns that.
func TestRedeemSaysLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newAuthority(t, auth.Config{Invites: new(authtest.Invites)})
		used, _ := newInvite(t, a, auth.InviteOptions{Grant: device})
		if _, _, err := a.Redeem(t.Context(), used); err != nil {
			t.Fatal(err)
		}
		deleted, invite := newInvite(t, a, auth.InviteOptions{Grant: device})
		if err := a.DeleteInvite(t.Context(), invite.ID); err != nil {
			t.Fatal(err)
		}
		late, _ := newInvite(t, a, auth.InviteOptions{Grant: device, TTL: time.Minute})
		never, err := auth.ParseCode("0000-0000-0000-0000-0000-0000-0000")
		if err == nil {
			t.Fatalf("zeros parse to %s, pick another example", never.Reveal())
		}
		time.Sleep(time.Minute)
		for name, code := range map[string]string{
			"used": used, "deleted": deleted, "empty": "", "mistyped": used[:len(used)-1] + "Z", "endless": strings.Repeat("A", 1<<20),
		} {
			if _, _, err := a.Redeem(t.Context(), code); !bare(err, auth.ErrInviteUnknown) {
				t.Errorf("%s: %v, want ErrInviteUnknown without a word more", name, err)
			}
		}
		if _, _, err := a.Redeem(t.Context(), late); !bare(err, auth.ErrInviteExpired) {
			t.Errorf("late: %v, want ErrInviteExpired", err)
		}
	})
}

// bare reports whether err is want without a word added.
func bare(err, want error) bool { return errors.Is(err, want) && err.Error() == want.Error() }

func TestRedeemOnceAmongMany(t *testing.T) {
	a, _ := newAuthority(t, auth.Config{Invites: new(authtest.Invites)})
	for uses := range 4 {
		uses++
		code, _ := newInvite(t, a, auth.InviteOptions{Grant: device, Uses: uses})
		var won atomic.Int32
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				if _, _, err := a.Redeem(t.Context(), code); err == nil {
					won.Add(1)
				} else if !errors.Is(err, auth.ErrInviteUnknown) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if got := int(won.Load()); got != uses {
			t.Errorf("%d of 16 redeemed an invite for %d", got, uses)
		}
	}
}

func TestNewInviteRefuses(t *testing.T) {
	a, _ := newAuthority(t, auth.Config{Invites: new(authtest.Invites)})
	fixed := auth.Grant{Subject: "cam-7", Rights: auth.RightJoin}
	for name, opts := range map[string]auth.InviteOptions{
		"no subject":         {},
		"one name for two":   {Grant: fixed, Uses: 2},
		"two stars":          {Grant: auth.Grant{Subject: "*-*"}},
		"uses below none":    {Grant: fixed, Uses: -1},
		"too many uses":      {Grant: device, Uses: 10_001},
		"over before it was": {Grant: fixed, TTL: -time.Hour},
		"for ever":           {Grant: fixed, TTL: 367 * 24 * time.Hour},
		"note of two lines":  {Grant: fixed, Note: "a\nb"},
		"note too long":      {Grant: fixed, Note: strings.Repeat("n", 257)},
		"token too large":    {Grant: auth.Grant{Subject: "c", Rooms: repeat(strings.Repeat("r", 128), 60)}},
	} {
		if _, invite, err := a.NewInvite(t.Context(), opts); err == nil {
			t.Errorf("%s: made %+v", name, invite)
		}
	}
	if listed, err := a.Invites(); err != nil || len(listed) != 0 {
		t.Errorf("Invites() = %+v, %v, want none", listed, err)
	}
}

func TestInvitesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(authtest.Invites)
		a, _ := newAuthority(t, auth.Config{Invites: store})
		if err := a.Claim(t.Context(), "admin"); err != nil {
			t.Fatal(err)
		}
		for range auth.MaxInvites {
			newInvite(t, a, auth.InviteOptions{Grant: device, TTL: time.Hour})
		}
		if _, _, err := a.NewInvite(t.Context(), auth.InviteOptions{Grant: device}); err == nil {
			t.Fatal("more than MaxInvites were made")
		}
		time.Sleep(time.Hour)
		newInvite(t, a, auth.InviteOptions{Grant: device})
		if all, _ := store.Invites(); len(all) != 2 { // and the mark of the first administrator
			t.Errorf("%d records are stored, want the expired ones gone", len(all))
		}
		if needed, err := a.NeedsSetup(); needed || err != nil {
			t.Errorf("NeedsSetup() = %v, %v after clearing, want false", needed, err)
		}
	})
}

func TestSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(authtest.Invites)
		a, _ := newAuthority(t, auth.Config{Invites: store})
		if needed, err := a.NeedsSetup(); !needed || err != nil {
			t.Fatalf("NeedsSetup() = %v, %v on a new box, want true", needed, err)
		}
		setup := func() string {
			t.Helper()
			code, invite, err := a.NewSetup(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if invite.Kind != auth.KindAdmin || !invite.Expires.Equal(invite.Created.Add(auth.SetupTTL)) {
				t.Errorf("setup invite is %+v", invite)
			}
			return code.Reveal()
		}
		old := setup()
		current := setup()
		if _, _, err := a.Redeem(t.Context(), old); !errors.Is(err, auth.ErrInviteUnknown) {
			t.Errorf("replaced setup code: %v, want ErrInviteUnknown", err)
		}
		time.Sleep(auth.SetupTTL)
		if _, _, err := a.Redeem(t.Context(), current); !errors.Is(err, auth.ErrInviteExpired) {
			t.Errorf("after half an hour: %v, want ErrInviteExpired", err)
		}
		if needed, _ := a.NeedsSetup(); !needed {
			t.Error("an expired setup counts as done")
		}
		current = setup()
		token, id, err := a.Redeem(t.Context(), current)
		if err != nil || !id.Has(auth.RightAdmin) || !id.MayJoin("anything") {
			t.Fatalf("Redeem = %+v, %v, want an administrator", id, err)
		}
		if _, err := a.Verify(token); err != nil {
			t.Error(err)
		}
		if needed, _ := a.NeedsSetup(); needed {
			t.Error("setup is still needed with an administrator there")
		}
		if listed, _ := a.Invites(); len(listed) != 0 {
			t.Errorf("Invites() = %+v, want the mark of the first administrator left out", listed)
		}
		// Deleting invites must not make the box ask for a first administrator again.
		all, _ := store.Invites()
		for _, invite := range all {
			if err := a.DeleteInvite(t.Context(), invite.ID); err != nil {
				t.Fatal(err)
			}
		}
		if needed, _ := a.NeedsSetup(); needed {
			t.Error("the mark of the first administrator was deleted through DeleteInvite")
		}
	})
}

// TestSetupEndsWithFirstAdministrator: another way in closes the setup link.
func TestSetupEndsWithFirstAdministrator(t *testing.T) {
	a, _ := newAuthority(t, auth.Config{Invites: new(authtest.Invites)})
	code, _, err := a.NewSetup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, _ := newInvite(t, a, auth.InviteOptions{Grant: auth.Grant{Subject: "ada", Rights: auth.AllRights}})
	if _, _, err := a.Redeem(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Redeem(t.Context(), code.Reveal()); !errors.Is(err, auth.ErrInviteUnknown) {
		t.Errorf("setup code beside an administrator: %v, want ErrInviteUnknown", err)
	}
}

func TestWithoutInviteStore(t *testing.T) {
	a, _ := newAuthority(t, auth.Config{})
	if _, _, err := a.Redeem(t.Context(), "x"); !errors.Is(err, auth.ErrInviteUnknown) {
		t.Errorf("Redeem: %v, want ErrInviteUnknown", err)
	}
	if _, _, err := a.NewSetup(t.Context()); err == nil {
		t.Error("NewSetup made an invite that nothing keeps")
	}
}

func TestStoreFailure(t *testing.T) {
	broken := errors.New("disk is full")
	a, _ := newAuthority(t, auth.Config{Invites: brokenInvites{broken}})
	code, err := auth.ParseCode(someCode(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Redeem(t.Context(), code.Reveal()); !errors.Is(err, broken) || auth.Reason(err) != "other" {
		t.Errorf("Redeem: %v, want the store's error", err)
	}
	if _, _, err := a.NewInvite(t.Context(), auth.InviteOptions{Grant: device}); !errors.Is(err, broken) {
		t.Errorf("NewInvite: %v, want the store's error", err)
	}
}

func someCode(t *testing.T) string {
	t.Helper()
	a, _ := newAuthority(t, auth.Config{Invites: new(authtest.Invites)})
	code, _ := newInvite(t, a, auth.InviteOptions{Grant: device})
	return code
}

type brokenInvites struct{ err error }

func (s brokenInvites) PutInvite(context.Context, auth.Invite) error { return s.err }
func (s brokenInvites) TakeInvite(context.Context, string, time.Time) (auth.Invite, error) {
	return auth.Invite{}, s.err
}
func (s brokenInvites) Invites() ([]auth.Invite, error)            { return nil, s.err }
func (s brokenInvites) DeleteInvite(context.Context, string) error { return s.err }
