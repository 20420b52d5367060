package auth_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"signalbox/appliance/auth"
	"signalbox/appliance/auth/authtest"
)

func TestRevokeToken(t *testing.T) {
	store := new(authtest.Revocations)
	a, key := newAuthority(t, auth.Config{Revocations: store})
	grant := auth.Grant{Subject: "cam-7", Rights: auth.RightJoin}
	lost, id := issue(t, a, grant)
	kept, _ := issue(t, a, grant)
	var told []auth.Revocation
	a.OnRevoke(func(r auth.Revocation) { told = append(told, r) })

	if err := a.Revoke(t.Context(), auth.Revocation{TokenID: id.TokenID, Expires: id.Expires, Reason: "lost"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Verify(lost); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("revoked token: %v, want ErrRevoked", err)
	}
	if !a.IsRevoked(id) {
		t.Error("IsRevoked of a live identity is false")
	}
	if _, err := a.Verify(kept); err != nil {
		t.Error("another token of the subject:", err)
	}
	if len(told) != 1 || told[0].TokenID != id.TokenID || told[0].Issuer != a.Issuer() || told[0].At.IsZero() {
		t.Errorf("OnRevoke was told %+v", told)
	}

	again, err := auth.New(auth.Config{Revocations: store}, key, box)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Verify(lost); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("after a restart: %v, want ErrRevoked", err)
	}
	if err := again.Unrevoke(t.Context(), told[0].Key()); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Verify(lost); err != nil {
		t.Error("after lifting:", err)
	}
	if all, _ := store.Revocations(); len(all) != 0 {
		t.Errorf("the store still has %+v", all)
	}
}

// TestRevokeSubject works to the second: whatever was issued up to the
// revocation is gone, what is issued after it is good at once.
func TestRevokeSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, key := newAuthority(t, auth.Config{})
		grant := auth.Grant{Subject: "cam-7", Rights: auth.RightJoin}
		time.Sleep(300 * time.Millisecond)
		old, _ := issue(t, a, grant)
		undated := mint(t, jwt.SigningMethodEdDSA, key, nil, claims(map[string]any{"iat": nil}))
		other, _ := issue(t, a, auth.Grant{Subject: "cam-8", Rights: auth.RightJoin})
		if err := a.Revoke(t.Context(), auth.Revocation{Subject: "cam-7"}); err != nil {
			t.Fatal(err)
		}
		fresh, _ := issue(t, a, grant)
		for name, test := range map[string]struct {
			token string
			want  error
		}{
			"issued before, in the same second": {old, auth.ErrRevoked},
			"issued who knows when":             {undated, auth.ErrRevoked},
			"issued after, in the same second":  {fresh, nil},
			"of another subject":                {other, nil},
		} {
			if _, err := a.Verify(test.token); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
		}
		time.Sleep(time.Hour)
		later, id := issue(t, a, grant)
		if _, err := a.Verify(later); err != nil || !id.Issued.Equal(time.Now().Truncate(time.Second)) {
			t.Errorf("an hour later: issued %v, %v", id.Issued, err)
		}
	})
}

func TestLift(t *testing.T) {
	store := new(authtest.Revocations)
	a, _ := newAuthority(t, auth.Config{Revocations: store})
	told := 0
	a.OnRevoke(func(auth.Revocation) { told++ })
	token, id := issue(t, a, auth.Grant{Subject: "cam-7", Rights: auth.RightJoin})
	for _, r := range []auth.Revocation{{Subject: "cam-7"}, {TokenID: id.TokenID}} {
		if err := a.Lift(t.Context(), r); !errors.Is(err, auth.ErrNotRevoked) {
			t.Errorf("lifting what is not revoked: %v", err)
		}
		if err := a.Revoke(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Verify(token); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("revoked by %+v: %v", r, err)
		}
		if err := a.Lift(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Verify(token); err != nil {
			t.Errorf("lifted: %v", err)
		}
	}
	if kept, err := store.Revocations(); err != nil || len(kept) != 0 || told != 4 {
		t.Errorf("the store has %v, %v; listeners were told %d times, want 4", kept, err, told)
	}
}

// TestRevokeSubjectWithClockBehind: the box lost its time and knows only from a
// token of its own that it has been later once.
func TestRevokeSubjectWithClockBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, key := newAuthority(t, auth.Config{})
		ahead := time.Now().AddDate(20, 0, 0)
		token := mint(t, jwt.SigningMethodEdDSA, key, nil, claims(map[string]any{
			"iat": ahead.Unix(), "exp": ahead.Add(time.Hour).Unix(),
		}))
		if _, err := a.Verify(token); err != nil {
			t.Fatal(err)
		}
		if err := a.Revoke(t.Context(), auth.Revocation{Subject: "cam-7"}); err != nil {
			t.Fatal(err)
		}
		if _, err := a.Verify(token); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("Verify: %v, want ErrRevoked", err)
		}
		fresh, _ := issue(t, a, auth.Grant{Subject: "cam-7", Rights: auth.RightJoin})
		if _, err := a.Verify(fresh); err != nil {
			t.Error("issued after:", err)
		}
	})
}

func TestRevokeRefuses(t *testing.T) {
	a, _ := newAuthority(t, auth.Config{})
	for name, r := range map[string]auth.Revocation{
		"nothing":       {},
		"both":          {TokenID: "t", Subject: "s"},
		"endless":       {TokenID: strings.Repeat("t", 2049)},
		"of the future": {Subject: "s", Before: time.Now().Add(time.Hour)},
	} {
		if err := a.Revoke(t.Context(), r); err == nil {
			t.Errorf("%s: revoked", name)
		}
	}
	if got := a.Revocations(); len(got) != 0 {
		t.Errorf("Revocations() = %+v, want none", got)
	}
}

// TestRevocationsAreBounded: what has expired makes room, what has not is never
// dropped for something newer.
func TestRevocationsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(authtest.Revocations)
		a, _ := newAuthority(t, auth.Config{Revocations: store})
		revoke := func(n int, life time.Duration) error {
			return a.Revoke(t.Context(), auth.Revocation{TokenID: fmt.Sprint(n), Expires: time.Now().Add(life)})
		}
		for n := range auth.MaxRevocations {
			if err := revoke(n, time.Duration(n%2+1)*time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if err := revoke(-1, time.Hour); !errors.Is(err, auth.ErrRevocationsFull) {
			t.Errorf("one more: %v, want ErrRevocationsFull", err)
		}
		if err := revoke(1, 2*time.Hour); err != nil {
			t.Error("one that is there already:", err)
		}
		time.Sleep(time.Hour + auth.Leeway)
		if err := revoke(-1, time.Hour); !errors.Is(err, auth.ErrRevocationsFull) {
			t.Errorf("while the tokens are in their leeway: %v, want ErrRevocationsFull", err)
		}
		time.Sleep(time.Second)
		if err := revoke(-1, time.Hour); err != nil {
			t.Error("with half of them expired:", err)
		}
		stored, _ := store.Revocations()
		if got, want := len(a.Revocations()), auth.MaxRevocations/2+1; got != want || len(stored) != want {
			t.Errorf("%d in force and %d stored, want %d", got, len(stored), want)
		}
	})
}

type brokenRevocations struct{ auth.RevocationStore }

var errDisk = errors.New("disk is full")

func (brokenRevocations) PutRevocation(context.Context, auth.Revocation) error { return errDisk }

// TestRevokeHoldsWithoutStore: an administrator who revokes means it, even on a
// box that cannot write any more.
func TestRevokeHoldsWithoutStore(t *testing.T) {
	a, _ := newAuthority(t, auth.Config{Revocations: brokenRevocations{new(authtest.Revocations)}})
	token, id := issue(t, a, auth.Grant{Subject: "cam-7"})
	if err := a.Revoke(t.Context(), auth.Revocation{TokenID: id.TokenID}); !errors.Is(err, errDisk) {
		t.Errorf("Revoke: %v, want the store's error", err)
	}
	if _, err := a.Verify(token); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("Verify: %v, want ErrRevoked", err)
	}
}
