package people_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud/people"
)

func TestFirstLinkIsUsedOnce(t *testing.T) {
	f := start(t, broker(t), people.OIDCConfig{})
	ctx := t.Context()
	code, err := f.FirstLink(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct{ name, password string }{{"", goodPassword}, {" anna", goodPassword}, {"anna\n", goodPassword}, {"anna", "short"}} {
		if _, _, err := f.Redeem(ctx, "10.0.0.1", code, bad.name, bad.password); !errors.Is(err, people.ErrInvalid) {
			t.Errorf("Redeem as %q with %q: %v, want ErrInvalid", bad.name, bad.password, err)
		}
	}
	secret, who, err := f.Redeem(ctx, "10.0.0.1", code, "Anna", goodPassword)
	if err != nil || who.Role != people.Administrator {
		t.Fatalf("Redeem = %+v, %v", who, err)
	}
	if got, err := f.Authenticate(ctx, secret); err != nil || got.Name != "Anna" {
		t.Errorf("Authenticate = %+v, %v", got, err)
	}
	if _, _, err := f.Redeem(ctx, "10.0.0.2", code, "eve", goodPassword); !errors.Is(err, people.ErrUnknown) {
		t.Errorf("second Redeem: %v, want ErrUnknown", err)
	}
	if again, err := f.FirstLink(ctx); err != nil || again != "" {
		t.Errorf("FirstLink with an administrator = %q, %v", again, err)
	}
}

func TestOneOfTwoWinsALink(t *testing.T) {
	js := broker(t)
	a, b := start(t, js, people.OIDCConfig{}), start(t, js, people.OIDCConfig{})
	code, err := a.FirstLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error, 2)
	for i, f := range []fixture{a, b} {
		go func() {
			_, _, err := f.Redeem(t.Context(), "10.0.0.1", code, []string{"anna", "bert"}[i], goodPassword)
			results <- err
		}()
	}
	if e1, e2 := <-results, <-results; (e1 == nil) == (e2 == nil) {
		t.Errorf("two redeemed one link: %v, %v; want one to win", e1, e2)
	}
	if list, err := a.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("List = %v, %v; want one person", list, err)
	}
}

func TestSignInAndOut(t *testing.T) {
	js := broker(t)
	f := start(t, js, people.OIDCConfig{})
	f.administrator(t, "anna")
	ctx := t.Context()
	if _, _, err := f.SignIn(ctx, "10.0.0.9", "anna", "wrong password"); !errors.Is(err, people.ErrRefused) {
		t.Errorf("wrong password: %v", err)
	}
	if _, _, err := f.SignIn(ctx, "10.0.0.9", "nobody", goodPassword); !errors.Is(err, people.ErrRefused) {
		t.Errorf("nobody: %v", err)
	}
	secret, _, err := f.SignIn(ctx, "10.0.0.9", "ANNA", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	other := start(t, js, people.OIDCConfig{}) // another node
	if who, err := other.Authenticate(ctx, secret); err != nil || who.Name != "anna" {
		t.Errorf("on another node: %+v, %v", who, err)
	}
	if err := f.SignOut(ctx, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(ctx, secret); !errors.Is(err, people.ErrRefused) {
		t.Errorf("after sign-out: %v", err)
	}
	entries, err := f.audit.List(ctx, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	refused := slices.ContainsFunc(entries, func(e people.Entry) bool {
		return e.Action == "sign-in" && e.Outcome == "refused" && e.By == "nobody" && e.From == "10.0.0.9"
	})
	if !refused || entries[0].Seq < entries[1].Seq {
		t.Errorf("audit log = %+v; want the refusals, newest first", entries)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	f := start(t, broker(t), people.OIDCConfig{})
	f.administrator(t, "anna")
	var slow *people.SlowError
	for range 12 {
		if _, _, err := f.SignIn(t.Context(), "10.6.6.6", "anna", "guess guess guess"); errors.As(err, &slow) {
			break
		}
	}
	if slow == nil || slow.Retry <= 0 {
		t.Fatal("twelve wrong passwords were tried without a wait")
	}
	if _, _, err := f.SignIn(t.Context(), "10.6.6.6", "bert", goodPassword); !errors.Is(err, people.ErrSlow) {
		t.Errorf("the same source with another name: %v, want ErrSlow", err)
	}
}

// TestGuessingFromOneNetwork: whoever has an IPv6 address has a /64 of them.
func TestGuessingFromOneNetwork(t *testing.T) {
	f := start(t, broker(t), people.OIDCConfig{})
	tooLong := strings.Repeat("x", people.MaxPassword+1) // refused without the work of a hash
	for i := range 12 {
		_, _, err := f.SignIn(t.Context(), fmt.Sprintf("2001:db8::%x", i), fmt.Sprintf("guess-%d", i), tooLong)
		if errors.Is(err, people.ErrSlow) {
			_, _, err = f.SignIn(t.Context(), "2001:db8:0:1::1", "carl", tooLong)
			if !errors.Is(err, people.ErrRefused) {
				t.Errorf("another network: %v, want ErrRefused", err)
			}
			return
		}
	}
	t.Error("twelve guesses from one network were tried without a wait")
}

// TestRefusalsDoNotFloodTheLog: somebody with many addresses guesses, and what
// people did is still among the newest entries.
func TestRefusalsDoNotFloodTheLog(t *testing.T) {
	f := start(t, broker(t), people.OIDCConfig{})
	tooLong := strings.Repeat("x", people.MaxPassword+1)
	for i := range 300 {
		if _, _, err := f.SignIn(t.Context(), fmt.Sprintf("10.1.%d.%d", i/250, i%250), fmt.Sprintf("guess-%d", i), tooLong); !errors.Is(err, people.ErrRefused) {
			t.Fatal(err)
		}
	}
	entries, err := f.audit.List(t.Context(), 0, people.MaxEntries)
	if err != nil || len(entries) < 100 || len(entries) > 200 {
		t.Errorf("300 refusals made %d entries (%v), want the first 100 and a few", len(entries), err)
	}
}

func TestRoles(t *testing.T) {
	f := start(t, broker(t), people.OIDCConfig{})
	_, anna := f.administrator(t, "anna")
	ctx := t.Context()
	code, err := f.Link(ctx, anna, "bert", people.Viewer)
	if err != nil {
		t.Fatal(err)
	}
	secret, bert, err := f.Redeem(ctx, "10.0.0.3", code, "ignored", goodPassword)
	if err != nil || bert.Name != "bert" || bert.Role != people.Viewer || bert.By != "anna" {
		t.Fatalf("Redeem = %+v, %v", bert, err)
	}
	if bert.Role.Includes(people.Operator) || !people.Administrator.Includes(people.Viewer) || people.Role("").Includes("") {
		t.Error("roles include what they must not, or not what they must")
	}
	if err := f.SetRole(ctx, anna, "anna", people.Viewer); !errors.Is(err, people.ErrLast) {
		t.Errorf("SetRole of the last administrator: %v", err)
	}
	if err := f.Remove(ctx, anna, "anna"); !errors.Is(err, people.ErrLast) {
		t.Errorf("Remove of the last administrator: %v", err)
	}
	if err := f.SetRole(ctx, anna, "bert", people.Operator); err != nil {
		t.Fatal(err)
	}
	if who, err := f.Authenticate(ctx, secret); err != nil || who.Role != people.Operator {
		t.Errorf("after SetRole: %+v, %v", who, err)
	}
	if err := f.Remove(ctx, anna, "bert"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(ctx, secret); !errors.Is(err, people.ErrRefused) {
		t.Errorf("after Remove: %v", err)
	}
	// Let in again under the same name, bert's old session stays ended.
	code, err = f.Link(ctx, anna, "bert", people.Viewer)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Redeem(ctx, "10.0.0.3", code, "", goodPassword); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(ctx, secret); !errors.Is(err, people.ErrRefused) {
		t.Errorf("the session of the one before: %v", err)
	}
}

func TestAPIKeys(t *testing.T) {
	f := start(t, broker(t), people.OIDCConfig{})
	_, anna := f.administrator(t, "anna")
	ctx := t.Context()
	secret, err := f.NewAPIKey(ctx, anna, "prometheus", people.Viewer, 0)
	if err != nil || !strings.HasPrefix(secret, "sbk-") {
		t.Fatalf("NewAPIKey = %q, %v", secret, err)
	}
	if who, err := f.Authenticate(ctx, secret); err != nil || who.Via != people.ViaKey || who.Role != people.Viewer {
		t.Errorf("Authenticate = %+v, %v", who, err)
	}
	brief, err := f.NewAPIKey(ctx, anna, "brief", people.Viewer, time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(ctx, brief); !errors.Is(err, people.ErrRefused) {
		t.Errorf("a key past its end: %v", err)
	}
	keys, err := f.APIKeys(ctx)
	if err != nil || len(keys) != 2 {
		t.Fatalf("APIKeys = %+v, %v", keys, err)
	}
	if err := f.RemoveAPIKey(ctx, anna, keys[1].ID); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Authenticate(ctx, secret); !errors.Is(err, people.ErrRefused) {
		t.Errorf("a removed key: %v", err)
	}
	if err := f.RemoveAPIKey(ctx, anna, "person.*"); !errors.Is(err, people.ErrUnknown) {
		t.Errorf("RemoveAPIKey of a pattern: %v", err)
	}
}
