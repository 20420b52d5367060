package wire_test

import (
	"fmt"
	"testing"
	"time"

	"signalbox/sync/wire"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// told makes a frame of these rooms.
func told(t *testing.T, v *wire.Veil, reported *wire.Reported, open ...wire.RoomFacts) *wire.Frame {
	t.Helper()
	d := v.Draft(wire.Span{Start: noon, End: noon.Add(time.Minute)})
	d.Rooms(reported, open)
	f, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRoomsTellsChanges(t *testing.T) {
	v, reported := veil(t, wire.Default), wire.Reported{}
	a, b := wire.RoomFacts{Name: "a", Members: 1, Created: noon}, wire.RoomFacts{Name: "b", Members: 2, Created: noon}
	first := told(t, v, &reported, a, b)
	if !first.GetAllRooms() || len(first.GetRooms()) != 2 || len(first.GetRooms()[0].GetId()) != 16 {
		t.Fatalf("at first it tells of %v", first)
	}
	if f := told(t, v, &reported, a, b); f.GetAllRooms() || len(f.GetRooms()) != 0 {
		t.Errorf("of nothing it tells %v", f)
	}
	b.Members = 5
	if f := told(t, v, &reported, a, b); len(f.GetRooms()) != 1 || f.GetRooms()[0].GetMembers() != 5 {
		t.Errorf("of one change it tells %v", f)
	}
	if f := told(t, v, &reported, b); len(f.GetRooms()) != 1 || !f.GetRooms()[0].GetGone() {
		t.Errorf("of a room that is gone it tells %v", f)
	}
	if f := told(t, v, &reported, b, b, wire.RoomFacts{Name: "b"}); len(f.GetRooms()) != 0 {
		t.Errorf("of a room that is listed twice it tells %v", f)
	}
	reported.Whole = true
	if f := told(t, v, &reported, a, b); !f.GetAllRooms() || len(f.GetRooms()) != 2 || reported.Whole {
		t.Errorf("asked for all it tells %v", f)
	}
}

// TestRoomsAfterAnotherLevel: ids of before never appear again, not even to say
// that they are gone.
func TestRoomsAfterAnotherLevel(t *testing.T) {
	var reported wire.Reported
	a := wire.RoomFacts{Name: "line-3", Members: 1, Created: noon}
	told(t, veil(t, wire.Named), &reported, a)
	if f := told(t, veil(t, wire.Minimal), &reported, a); !f.GetAllRooms() || len(f.GetRooms()) != 0 {
		t.Errorf("at minimal it tells %v", f)
	}
	if f := told(t, veil(t, wire.Minimal), &reported, a); f.GetAllRooms() || len(f.GetRooms()) != 0 {
		t.Errorf("at minimal it tells again %v", f)
	}
	before := told(t, veil(t, wire.Default), &reported, a)
	other, err := wire.NewVeil(wire.Default, []byte("another key of the site"))
	if err != nil {
		t.Fatal(err)
	}
	after := told(t, other, &reported, a)
	if !after.GetAllRooms() || len(after.GetRooms()) != 1 || after.GetRooms()[0].GetId() == before.GetRooms()[0].GetId() {
		t.Errorf("with another key it tells %v", after)
	}
	if f := told(t, veil(t, wire.Named), &reported, a); f.GetRooms()[0].GetId() != "line-3" {
		t.Errorf("at named it tells %v", f)
	}
}

// TestManyRooms: what one frame does not take, the next ones do.
func TestManyRooms(t *testing.T) {
	v, reported, c := veil(t, wire.Default), wire.Reported{}, newView()
	var open []wire.RoomFacts
	for i := range 2500 {
		open = append(open, wire.RoomFacts{Name: fmt.Sprint(i), Members: 1, Created: noon})
	}
	for seq, want := range []int{1024, 2048, 2500, 2500} {
		f := told(t, v, &reported, open...)
		f.Last = uint64(seq + 1)
		c.apply(f)
		if len(c.rooms) != want || len(f.GetRooms()) > wire.MaxRooms {
			t.Fatalf("after frame %d the cloud has %d rooms, want %d", seq, len(c.rooms), want)
		}
	}
	for seq := range 3 {
		f := told(t, v, &reported)
		f.Last = uint64(seq + 10)
		c.apply(f)
	}
	if len(c.rooms) != 0 {
		t.Errorf("%d rooms are left", len(c.rooms))
	}
}

func TestVeil(t *testing.T) {
	if _, err := wire.NewVeil("loud", siteKey); err == nil {
		t.Error("a level that is not one")
	}
	if _, err := wire.NewVeil(wire.Default, siteKey[:15]); err == nil {
		t.Error("a short key")
	}
	v := veil(t, wire.Default)
	other, err := wire.NewVeil(wire.Default, []byte("another key of the site"))
	if err != nil {
		t.Fatal(err)
	}
	if again := veil(t, wire.Default); v.Hash("cam-7") != again.Hash("cam-7") || v.Hash("cam-7") == v.Hash("cam-8") || v.Hash("cam-7") == other.Hash("cam-7") {
		t.Error("hashes do not depend on device and key alone")
	}
	if v.Level() != wire.Default {
		t.Errorf("level %q", v.Level())
	}
}
