package room

import (
	"errors"
	"reflect"
	"slices"
	"testing"
)

// site makes boxes that know each other's first change, so that deltas between
// them carry single changes.
func site(t *testing.T, names ...string) []*State {
	t.Helper()
	var boxes []*State
	for _, name := range names {
		s := New(Origin{Box: name, Incarnation: 1}, Limits{})
		create(t, s, Info{Name: "room-of-" + name})
		boxes = append(boxes, s)
	}
	for range 2 {
		for _, from := range boxes {
			for _, to := range boxes {
				deliver(t, to, from.Snapshot())
			}
		}
	}
	return boxes
}

func create(t *testing.T, s *State, info Info) View {
	t.Helper()
	v, err := s.Create(info)
	if err != nil {
		t.Fatalf("Create(%q): %v", info.Name, err)
	}
	return v
}

func enter(t *testing.T, s *State, name, id string) Member {
	t.Helper()
	m, err := s.Join(name, Member{ID: id})
	if err != nil {
		t.Fatalf("Join(%q, %q): %v", name, id, err)
	}
	return m
}

// deliver sends d over the wire.
func deliver(t *testing.T, to *State, d Delta) []string {
	t.Helper()
	d, err := DecodeDelta(d.Encode())
	if err != nil {
		t.Fatal(err)
	}
	changed, err := to.Merge(d)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}

// exchange brings two boxes to the same state.
func exchange(t *testing.T, a, b *State) {
	t.Helper()
	deliver(t, b, a.Delta(b.Vector()))
	deliver(t, a, b.Delta(a.Vector()))
	if got, want := canonical(a), canonical(b); got != want {
		t.Fatalf("after an exchange the boxes have\n%v\n%v", a.Rooms(), b.Rooms())
	}
}

func TestOverlappingDeltasArePassedOn(t *testing.T) {
	boxes := site(t, "a", "b", "c")
	a, b, c := boxes[0], boxes[1], boxes[2]
	enter(t, a, "room-of-a", "cam-1")
	first := a.Delta(b.Vector())
	enter(t, a, "room-of-a", "cam-2")
	both := a.Delta(b.Vector())
	deliver(t, b, first)
	deliver(t, b, both)
	d := b.Delta(c.Vector())
	if d.Full() {
		t.Fatal("b does not remember the changes that a told it")
	}
	if got, want := deliver(t, c, d), []string{"room-of-a"}; !slices.Equal(got, want) {
		t.Errorf("changed %q, want %q", got, want)
	}
	if got := c.MemberCount("room-of-a"); got != 2 {
		t.Errorf("c knows %d members, want 2", got)
	}
}

func TestConcurrentChangesOfDifferentFieldsBothStand(t *testing.T) {
	boxes := site(t, "a", "b")
	a, b := boxes[0], boxes[1]
	update(t, a, "room-of-a", func(i *Info) { i.Description = "from a"; i.Capacity = 5 })
	update(t, b, "room-of-a", func(i *Info) { i.Allow = []string{"cam-*"} })
	update(t, b, "room-of-a", func(i *Info) { i.Pinned = true; i.Capacity = 7 }) // later than a's
	exchange(t, a, b)
	v, _ := a.Room("room-of-a")
	want := Info{Name: "room-of-a", Description: "from a", Capacity: 7, Pinned: true, Allow: []string{"cam-*"}}
	if !reflect.DeepEqual(v.Info, want) {
		t.Errorf("got %+v, want %+v", v.Info, want)
	}
}

func update(t *testing.T, s *State, name string, change func(*Info)) View {
	t.Helper()
	v, err := s.Update(name, 0, change)
	if err != nil {
		t.Fatalf("Update(%q): %v", name, err)
	}
	return v
}

func TestConcurrentMetadata(t *testing.T) {
	boxes := site(t, "a", "b")
	a, b := boxes[0], boxes[1]
	setData(t, a, "room-of-a", "shift", `"early"`)
	exchange(t, a, b)
	setData(t, a, "room-of-a", "layout", `1`)
	setData(t, b, "room-of-a", "floor", `2`)
	if _, err := b.SetMetadata("room-of-a", "shift", nil, nil); err != nil {
		t.Fatal(err)
	}
	exchange(t, a, b)
	v, _ := a.Room("room-of-a")
	if got, want := sortedKeys(v.Metadata), []string{"floor", "layout"}; !slices.Equal(got, want) {
		t.Errorf("metadata keys %q, want %q", got, want)
	}

	// Written on both at once, the later of the two stands, under the version
	// that its writer was given.
	setData(t, a, "room-of-a", "layout", `3`)
	setData(t, a, "room-of-a", "layout", `4`)
	want := setData(t, a, "room-of-a", "layout", `5`)
	lost := setData(t, b, "room-of-a", "layout", `6`)
	exchange(t, a, b)
	v, _ = b.Room("room-of-a")
	if got := v.Metadata["layout"]; !reflect.DeepEqual(got, want) {
		t.Errorf("layout is %+v, want %+v", got, want)
	}
	_, err := b.SetMetadata("room-of-a", "layout", []byte(`7`), &lost.Version)
	if stale, ok := errors.AsType[*VersionError](err); !ok || stale.Current != want.Version {
		t.Errorf("writing over the version that lost: %v, want current version %d", err, want.Version)
	}
}

func setData(t *testing.T, s *State, name, key, data string) Value {
	t.Helper()
	v, err := s.SetMetadata(name, key, []byte(data), nil)
	if err != nil {
		t.Fatalf("SetMetadata(%q, %q): %v", name, key, err)
	}
	return v
}

func TestDeletedRoomStaysDeleted(t *testing.T) {
	boxes := site(t, "a", "b")
	a, b := boxes[0], boxes[1]
	old := b.Snapshot()
	if err := a.Delete("room-of-a"); err != nil {
		t.Fatal(err)
	}
	if changed := deliver(t, a, old); len(changed) > 0 {
		t.Errorf("an old state changed %q", changed)
	}
	exchange(t, a, b)
	if _, ok := b.Room("room-of-a"); ok {
		t.Error("the deleted room is still on b")
	}
	deliver(t, b, old)
	if _, ok := b.Room("room-of-a"); ok {
		t.Error("an old state brought the deleted room back")
	}
}

func TestDeleteMeetsConcurrentChange(t *testing.T) {
	boxes := site(t, "a", "b")
	a, b := boxes[0], boxes[1]
	update(t, a, "room-of-a", func(i *Info) { i.Allow = []string{"cam-*"} })
	enter(t, a, "room-of-a", "cam-1")
	exchange(t, a, b)
	if err := a.Delete("room-of-a"); err != nil {
		t.Fatal(err)
	}
	setData(t, b, "room-of-a", "layout", `1`)
	exchange(t, a, b)
	v, ok := a.Room("room-of-a")
	if !ok {
		t.Fatal("a room that was changed while it was deleted elsewhere is gone")
	}
	if !slices.Equal(v.Allow, []string{"cam-*"}) || len(v.Members) != 0 {
		t.Errorf("the room came back with allow %q and members %v, want its own and none", v.Allow, v.Members)
	}
}

func TestDeleteMeetsConcurrentJoin(t *testing.T) {
	boxes := site(t, "a", "b")
	a, b := boxes[0], boxes[1]
	if err := a.Delete("room-of-a"); err != nil {
		t.Fatal(err)
	}
	enter(t, b, "room-of-a", "cam-1")
	if changed := deliver(t, b, a.Delta(b.Vector())); !slices.Equal(changed, []string{"room-of-a"}) {
		t.Fatalf("changed %q, want the deleted room", changed)
	}
	deliver(t, a, b.Delta(a.Vector()))
	for _, s := range boxes {
		if _, ok := s.Room("room-of-a"); ok || s.Len() != 1 {
			t.Errorf("the room is there on %v, of %d", s.origin, s.Len())
		}
		if got := s.MemberCount("room-of-a"); got != 1 {
			t.Errorf("%d members on %v, want the one that joined meanwhile", got, s.origin)
		}
	}
	if _, err := a.Join("room-of-a", Member{ID: "cam-2"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("joining the deleted room: %v, want %v", err, ErrNotFound)
	}
	v := create(t, b, Info{Name: "room-of-a"})
	if len(v.Members) != 1 || v.Members[0].ID != "cam-1" {
		t.Errorf("created again it has %v, want cam-1", v.Members)
	}
}

func TestSameMemberJoinsTwoBoxes(t *testing.T) {
	boxes := site(t, "a", "b")
	a, b := boxes[0], boxes[1]
	enter(t, a, "room-of-a", "cam-1")
	enter(t, b, "room-of-a", "other")
	enter(t, b, "room-of-a", "cam-1") // later than on a
	exchange(t, a, b)
	m, _ := a.Member("room-of-a", "cam-1")
	if m.Holder != b.origin {
		t.Errorf("held by %v, want %v", m.Holder, b.origin)
	}
	if changed := a.Forget("b", 0); !slices.Equal(changed, []string{"room-of-a"}) {
		t.Errorf("Forget changed %q", changed)
	}
	exchange(t, a, b)
	if m, ok := b.Member("room-of-a", "cam-1"); !ok || m.Holder != a.origin {
		t.Errorf("with b forgotten it is held by %v (%t), want %v", m.Holder, ok, a.origin)
	}
	a.Leave("room-of-a", "cam-1")
	exchange(t, a, b)
	if got := b.MemberCount("room-of-a"); got != 0 {
		t.Errorf("%d members left, want none", got)
	}
}

func TestCapacityIsExceededOnlyByMerge(t *testing.T) {
	boxes := site(t, "a", "b")
	a, b := boxes[0], boxes[1]
	update(t, a, "room-of-a", func(i *Info) { i.Capacity = 1 })
	exchange(t, a, b)
	enter(t, a, "room-of-a", "cam-1")
	enter(t, b, "room-of-a", "cam-2")
	exchange(t, a, b)
	if got := a.MemberCount("room-of-a"); got != 2 {
		t.Errorf("%d members after the merge, want both", got)
	}
	if _, err := a.Join("room-of-a", Member{ID: "cam-3"}); !errors.Is(err, ErrFull) {
		t.Errorf("a third joins: %v, want %v", err, ErrFull)
	}
	v, _ := a.Room("room-of-a")
	w, _ := b.Room("room-of-a")
	if v.Members[0].ID != w.Members[0].ID || v.Members[0].Compare(v.Members[1]) >= 0 {
		t.Errorf("the boxes order two that joined at once differently: %v and %v", v.Members, w.Members)
	}
}

func TestGapAndFork(t *testing.T) {
	boxes := site(t, "a", "b", "c")
	a, b, c := boxes[0], boxes[1], boxes[2]
	enter(t, a, "room-of-a", "cam-1")
	exchange(t, a, b)
	enter(t, a, "room-of-a", "cam-2")
	if _, err := c.Merge(a.Delta(b.Vector())); !errors.Is(err, ErrGap) {
		t.Errorf("a delta that c is too far behind for: %v, want %v", err, ErrGap)
	}
	again := New(a.origin, Limits{})
	if _, err := again.Merge(a.Snapshot()); !errors.Is(err, ErrForked) {
		t.Errorf("another run of the same incarnation: %v, want %v", err, ErrForked)
	}
	if err := again.Restore(nil, a.Vector()); !errors.Is(err, ErrForked) {
		t.Errorf("restoring into the same incarnation: %v, want %v", err, ErrForked)
	}
}
