package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
)

func TestRoomsInvitesRevocations(t *testing.T) {
	s := openTest(t, Config{Dir: t.TempDir()})
	ctx := context.Background()
	rooms := room.New(room.Origin{Box: s.BoxID(), Incarnation: 1}, room.Limits{})
	for _, name := range []string{"a", "b"} {
		if _, err := rooms.Create(room.Info{Name: name}); err != nil {
			t.Fatal(err)
		}
		e, _ := rooms.Durable(name)
		if err := s.PutRoom(ctx, e, rooms.Vector()); err != nil {
			t.Fatal(err)
		}
	}
	if err := rooms.Delete("a"); err != nil {
		t.Fatal(err)
	}
	e, _ := rooms.Durable("a")
	if err := s.PutRoom(ctx, e, rooms.Vector()); err != nil {
		t.Fatal(err)
	}
	entries, v, err := s.Rooms()
	if err != nil || len(entries) != 1 || entries[0].Name != "b" || !v.Covers(rooms.Vector()) || !rooms.Vector().Covers(v) {
		t.Errorf("Rooms = %v, %v, %v, want b and %v", entries, v, err, rooms.Vector())
	}

	now := time.Now()
	for _, invite := range []auth.Invite{
		{ID: "once", Hash: "h1", Uses: 1, Expires: now.Add(time.Hour)},
		{ID: "twice", Hash: "h2", Uses: 2, Expires: now.Add(time.Hour)},
		{ID: "late", Hash: "h3", Uses: 1, Expires: now.Add(-time.Hour)},
		{ID: "mark"},
	} {
		if err := s.PutInvite(ctx, invite); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		hash string
		left int
		err  error
	}{
		{"h1", 0, nil},
		{"h1", 0, auth.ErrInviteUnknown},
		{"h2", 1, nil},
		{"h2", 0, nil},
		{"h2", 0, auth.ErrInviteUnknown},
		{"h3", 0, auth.ErrInviteExpired},
		{"h4", 0, auth.ErrInviteUnknown},
		{"", 0, auth.ErrInviteUnknown},
	} {
		if got, err := s.TakeInvite(ctx, test.hash, now); !errors.Is(err, test.err) || got.Uses != test.left {
			t.Errorf("TakeInvite(%s) = %d left, %v, want %d, %v", test.hash, got.Uses, err, test.left, test.err)
		}
	}
	if err := errors.Join(s.DeleteInvite(ctx, "late"), s.DeleteInvite(ctx, "late")); err != nil {
		t.Error(err)
	}
	if left, err := s.Invites(); err != nil || len(left) != 1 || left[0].ID != "mark" {
		t.Errorf("Invites = %+v, %v, want the mark alone", left, err)
	}

	r := auth.Revocation{TokenID: "t", Issuer: "i", At: now}
	if err := errors.Join(s.PutRevocation(ctx, r), s.PutRevocation(ctx, auth.Revocation{Subject: "s"}), s.DeleteRevocation(ctx, "subject:s")); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Revocations(); err != nil || len(all) != 1 || all[0].Key() != r.Key() {
		t.Errorf("Revocations = %+v, %v", all, err)
	}
}

func TestOneTimeInviteIsTakenOnce(t *testing.T) {
	s := openTest(t, Config{Dir: t.TempDir()})
	ctx := context.Background()
	if err := s.PutInvite(ctx, auth.Invite{ID: "x", Hash: "h", Uses: 1, Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	for range 20 {
		go func() {
			_, err := s.TakeInvite(ctx, "h", time.Now())
			results <- err
		}()
	}
	taken := 0
	for range 20 {
		if err := <-results; err == nil {
			taken++
		} else if !errors.Is(err, auth.ErrInviteUnknown) {
			t.Error(err)
		}
	}
	if taken != 1 {
		t.Errorf("a one-time invite was taken %d times", taken)
	}
}
