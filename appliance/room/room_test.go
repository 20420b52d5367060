package room_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"signalbox/appliance/room"
)

func newState(t *testing.T, rooms ...string) *room.State {
	t.Helper()
	s := room.New(room.Origin{Box: "box", Incarnation: 1}, room.Limits{})
	for _, name := range rooms {
		if _, err := s.Create(room.Info{Name: name}); err != nil {
			t.Fatalf("Create(%q): %v", name, err)
		}
	}
	return s
}

func join(t *testing.T, s *room.State, name string, m room.Member) room.Member {
	t.Helper()
	m, err := s.Join(name, m)
	if err != nil {
		t.Fatalf("Join(%q, %q): %v", name, m.ID, err)
	}
	return m
}

func TestCreate(t *testing.T) {
	s := newState(t)
	info := room.Info{
		Name: "line-3/cell-1", Description: "press", Capacity: 4, Pinned: true, Allow: []string{"cam-*"},
		Metadata: map[string]room.Value{"layout": {Data: json.RawMessage(`{"x":1}`)}},
	}
	v, err := s.Create(info)
	if err != nil {
		t.Fatal(err)
	}
	layout := v.Metadata["layout"]
	if string(layout.Data) != `{"x":1}` || layout.Version == 0 {
		t.Errorf("layout is %s at version %d", layout.Data, layout.Version)
	}
	info.Metadata = map[string]room.Value{"layout": layout}
	if !reflect.DeepEqual(v.Info, info) {
		t.Errorf("got %+v, want %+v", v.Info, info)
	}
	if again, ok := s.Room(info.Name); !ok || !reflect.DeepEqual(again, v) {
		t.Errorf("Room: got %+v (%t), want %+v", again, ok, v)
	}
	if _, err := s.Create(info); !errors.Is(err, room.ErrExists) {
		t.Errorf("created twice: %v, want %v", err, room.ErrExists)
	}
}

func TestWhatIsGivenOutIsACopy(t *testing.T) {
	s := newState(t)
	allow, data := []string{"cam-*"}, []byte(`"one"`)
	v, err := s.Create(room.Info{Name: "hall", Allow: allow, Metadata: map[string]room.Value{"k": {Data: data}}})
	if err != nil {
		t.Fatal(err)
	}
	want, _ := s.Room("hall")
	meta := []byte(`{"a":1}`)
	join(t, s, "hall", room.Member{ID: "cam-1", Meta: meta})

	allow[0], v.Allow[0], data[1], meta[2] = "x", "y", 'X', 'X'
	delete(v.Metadata, "k")
	if _, err := s.Update("hall", 0, func(i *room.Info) {
		i.Allow[0] = "z"
		delete(i.Metadata, "k")
		i.Capacity = -1 // refuses all of it
	}); err == nil {
		t.Error("a capacity of -1 was taken")
	}
	got, _ := s.Room("hall")
	if !reflect.DeepEqual(got.Info, want.Info) {
		t.Errorf("got %+v, want %+v", got.Info, want.Info)
	}
	if m, _ := s.Member("hall", "cam-1"); string(m.Meta) != `{"a":1}` {
		t.Errorf("meta is %s", m.Meta)
	}
}

func TestUpdateComparesInfoOnly(t *testing.T) {
	s := newState(t, "hall", "yard")
	read, _ := s.Room("hall")
	join(t, s, "hall", room.Member{ID: "cam-1"})
	now, err := s.Update("hall", read.Version, func(i *room.Info) { i.Description = "north" })
	if err != nil {
		t.Fatalf("Update after a join: %v", err)
	}
	_, err = s.Update("hall", read.Version, func(i *room.Info) { i.Description = "south" })
	stale, ok := errors.AsType[*room.VersionError](err)
	if !ok || !errors.Is(err, room.ErrVersion) || stale.Current != now.Version || stale.Got != read.Version {
		t.Fatalf("Update of what has changed: %v, want ErrVersion with current %d", err, now.Version)
	}
	if _, err := s.Update("hall", now.Version+1<<12, func(*room.Info) {}); !errors.Is(err, room.ErrVersion) {
		t.Errorf("Update with a version yet to come: %v", err)
	}
	if same, err := s.Update("hall", now.Version, func(*room.Info) {}); err != nil || same.Version != now.Version {
		t.Errorf("an Update of nothing: version %d (%v), want %d", same.Version, err, now.Version)
	}
	if _, err := s.SetMetadata("hall", "k", []byte(`1`), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update("hall", now.Version, func(*room.Info) {}); !errors.Is(err, room.ErrVersion) {
		t.Errorf("Update after metadata was set: %v, want %v", err, room.ErrVersion)
	}
	if _, err := s.Update("nowhere", 0, func(*room.Info) {}); !errors.Is(err, room.ErrNotFound) {
		t.Errorf("Update of no room: %v", err)
	}
}

func TestVersionIsGoodForOneRun(t *testing.T) {
	s := newState(t, "hall")
	read, _ := s.Room("hall")
	entry, _ := s.Durable("hall")
	next := room.New(room.Origin{Box: "box", Incarnation: 2}, room.Limits{})
	if err := next.Restore([]room.Entry{entry}, s.Vector()); err != nil {
		t.Fatal(err)
	}
	for range 3 { // beyond where the old run was
		join(t, next, "hall", room.Member{ID: "cam-1"})
	}
	if _, err := next.Update("hall", read.Version, func(*room.Info) {}); !errors.Is(err, room.ErrVersion) {
		t.Errorf("Update with a version of the run before: %v, want %v", err, room.ErrVersion)
	}
}

func TestUpdateMetadata(t *testing.T) {
	s := newState(t)
	data := func(text string) room.Value { return room.Value{Data: json.RawMessage(text)} }
	before, err := s.Create(room.Info{Name: "hall", Metadata: map[string]room.Value{"a": data(`1`), "b": data(`2`), "c": data(`3`)}})
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Update("hall", 0, func(i *room.Info) {
		delete(i.Metadata, "a")
		i.Metadata["b"] = data(`20`)
		i.Metadata["d"] = data(`4`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := after.Metadata["a"]; ok || len(after.Metadata) != 3 || string(after.Metadata["b"].Data) != `20` {
		t.Errorf("metadata is %v", after.Metadata)
	}
	if got, want := after.Metadata["c"], before.Metadata["c"]; !reflect.DeepEqual(got, want) {
		t.Errorf("c was not changed and is %v, want %v", got, want)
	}
	if _, err := s.Update("hall", 0, func(i *room.Info) { i.Name = "yard" }); err == nil {
		t.Error("a room was renamed")
	}
}

func TestSetMetadata(t *testing.T) {
	s := newState(t, "hall")
	absent := uint64(0)
	first, err := s.SetMetadata("hall", "k", []byte(`1`), &absent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = s.SetMetadata("hall", "k", []byte(`2`), &absent); !errors.Is(err, room.ErrVersion) {
		t.Errorf("set as absent when present: %v", err)
	}
	second, err := s.SetMetadata("hall", "k", []byte(`null`), &first.Version)
	if err != nil || second.Version <= first.Version || string(second.Data) != `null` {
		t.Errorf("got %s at %d (%v), want null after %d", second.Data, second.Version, err, first.Version)
	}
	if v, err := s.SetMetadata("hall", "k", nil, &second.Version); err != nil || v.Version != 0 {
		t.Errorf("deleted: got %v (%v)", v, err)
	}
	vector := s.Vector()
	if _, err := s.SetMetadata("hall", "k", nil, nil); err != nil || !reflect.DeepEqual(s.Vector(), vector) {
		t.Errorf("deleting what is absent: %v, and it counts as a change", err)
	}
	if _, err := s.SetMetadata("nowhere", "k", []byte(`1`), nil); !errors.Is(err, room.ErrNotFound) {
		t.Errorf("in no room: %v", err)
	}
}

func TestJoinAndLeave(t *testing.T) {
	s := newState(t, "hall")
	first := join(t, s, "hall", room.Member{ID: "cam-1", Subject: "device:1"})
	second := join(t, s, "hall", room.Member{ID: "cam-2"})
	if first.Joined != 1 || second.Joined != 2 || first.Holder != (room.Origin{Box: "box", Incarnation: 1}) {
		t.Errorf("joined as %+v and %+v", first, second)
	}
	if gone, ok := s.Leave("hall", "cam-2"); !ok || !reflect.DeepEqual(gone, second) {
		t.Errorf("left: %+v (%t), want %+v", gone, ok, second)
	}
	if _, ok := s.Leave("hall", "cam-2"); ok {
		t.Error("left twice")
	}
	if third := join(t, s, "hall", room.Member{ID: "cam-3"}); third.Joined != 3 {
		t.Errorf("an ordinal was given again: %d", third.Joined)
	}
	if again := join(t, s, "hall", room.Member{ID: "cam-1", Name: "new"}); again.Joined != 1 || again.Name != "new" {
		t.Errorf("the same ID again is %+v", again)
	}
	v, _ := s.Room("hall")
	if len(v.Members) != 2 || v.Members[0].ID != "cam-1" || v.Members[1].ID != "cam-3" {
		t.Errorf("members are %+v", v.Members)
	}
	if got := len(slices.Collect(s.Members("hall"))); got != 2 || s.MemberCount("hall") != 2 {
		t.Errorf("Members yields %d, MemberCount says %d, want 2", got, s.MemberCount("hall"))
	}
}

func TestSetMember(t *testing.T) {
	s := newState(t, "hall")
	join(t, s, "hall", room.Member{ID: "cam-1"})
	before, _ := s.Room("hall")
	m, err := s.SetMember("hall", "cam-1", func(m *room.Member) { m.State, m.Joined = room.Suspended, 99 })
	if err != nil || m.State != room.Suspended || m.Joined != 1 {
		t.Errorf("got %+v (%v)", m, err)
	}
	if after, _ := s.Room("hall"); after.Version <= before.Version {
		t.Errorf("version is %d after %d", after.Version, before.Version)
	}
	if _, err := s.SetMember("hall", "cam-1", func(m *room.Member) { m.ID = "cam-2" }); err == nil {
		t.Error("a member changed its ID")
	}
	if _, err := s.SetMember("hall", "cam-9", func(*room.Member) {}); !errors.Is(err, room.ErrNoMember) {
		t.Errorf("of nobody: %v, want %v", err, room.ErrNoMember)
	}
	if _, err := s.SetMember("nowhere", "cam-1", func(*room.Member) {}); !errors.Is(err, room.ErrNotFound) {
		t.Errorf("in no room: %v, want %v", err, room.ErrNotFound)
	}
}

func TestCapacity(t *testing.T) {
	s := room.New(room.Origin{Box: "box", Incarnation: 1}, room.Limits{Rooms: 1, Capacity: 2})
	if _, err := s.Create(room.Info{Name: "hall"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(room.Info{Name: "yard"}); !errors.Is(err, room.ErrLimit) {
		t.Errorf("a room too many: %v, want %v", err, room.ErrLimit)
	}
	join(t, s, "hall", room.Member{ID: "cam-1"})
	join(t, s, "hall", room.Member{ID: "cam-2"})
	if _, err := s.Join("hall", room.Member{ID: "cam-3"}); !errors.Is(err, room.ErrFull) {
		t.Errorf("a member too many: %v, want %v", err, room.ErrFull)
	}
	join(t, s, "hall", room.Member{ID: "cam-2"}) // again
	if m := join(t, s, "hall", room.Member{ID: "cam-4", Joined: 7}); m.Joined != 7 {
		t.Errorf("restored as %d, want 7", m.Joined)
	}
	if _, err := s.Join("yard", room.Member{ID: "cam-1"}); !errors.Is(err, room.ErrNotFound) {
		t.Errorf("joined no room: %v", err)
	}
	if err := s.Delete("hall"); err != nil || s.Len() != 0 {
		t.Errorf("Delete: %v, %d rooms left", err, s.Len())
	}
	if _, err := s.Create(room.Info{Name: "yard"}); err != nil {
		t.Errorf("a room after another was deleted: %v", err)
	}
}

func TestAdmits(t *testing.T) {
	s := newState(t, "open")
	if _, err := s.Create(room.Info{Name: "hall", Allow: []string{"cam-*", "panel"}}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		room, subject string
		want          error
	}{
		{"hall", "cam-7", nil},
		{"hall", "panel", nil},
		{"hall", "panel-2", room.ErrNotAllowed},
		{"hall", "", room.ErrNotAllowed},
		{"open", "anyone", nil},
		{"nowhere", "cam-7", room.ErrNotFound},
	} {
		if got := s.Admits(tc.room, tc.subject); !errors.Is(got, tc.want) {
			t.Errorf("Admits(%q, %q) = %v, want %v", tc.room, tc.subject, got, tc.want)
		}
	}
}

func TestRestore(t *testing.T) {
	s := newState(t, "hall", "yard")
	if _, err := s.SetMetadata("yard", "k", []byte(`1`), nil); err != nil {
		t.Fatal(err)
	}
	join(t, s, "yard", room.Member{ID: "cam-1"})
	if err := s.Delete("hall"); err != nil {
		t.Fatal(err)
	}
	gone, ok := s.Durable("hall")
	if ok || !gone.Deleted() {
		t.Errorf("a deleted room's entry: %+v (%t)", gone, ok)
	}
	yard, _ := s.Durable("yard")
	want, _ := s.Room("yard")
	if got := yard.Info(); !reflect.DeepEqual(got, want.Info) {
		t.Errorf("the entry says %+v, want %+v", got, want.Info)
	}

	next := room.New(room.Origin{Box: "box", Incarnation: 2}, room.Limits{})
	if err := next.Restore([]room.Entry{gone, yard}, s.Vector()); err != nil {
		t.Fatal(err)
	}
	rooms := next.Rooms()
	if len(rooms) != 1 || next.Len() != 1 || !reflect.DeepEqual(rooms[0].Info, want.Info) || len(rooms[0].Members) != 0 {
		t.Errorf("restored %+v, want yard without members", rooms)
	}
	if changed, err := next.Merge(s.Snapshot()); err != nil || !slices.Equal(changed, []string{"yard"}) {
		t.Errorf("merging the earlier run: changed %q (%v), want the member in yard alone", changed, err)
	}
	if changed := next.Forget("box", 2); !slices.Equal(changed, []string{"yard"}) || next.MemberCount("yard") != 0 {
		t.Errorf("forgetting the earlier run changed %q and left %d members", changed, next.MemberCount("yard"))
	}
	if err := next.Restore(nil, nil); err == nil || !strings.Contains(err.Error(), "1 rooms") {
		t.Errorf("restoring into a state in use: %v", err)
	}
}

func TestJSON(t *testing.T) {
	v := room.View{
		Info:    room.Info{Name: "hall", Metadata: map[string]room.Value{"k": {Data: json.RawMessage(`1`), Version: 3}}},
		Version: 7,
		Members: []room.Member{{ID: "cam-1", Joined: 1, State: room.Suspended}},
	}
	const want = `{"name":"hall","pinned":false,"metadata":{"k":{"data":1,"version":3}},"version":7,` +
		`"members":[{"id":"cam-1","joined":1,"state":"suspended"}]}`
	got, err := json.Marshal(v)
	if err != nil || string(got) != want {
		t.Errorf("got %s (%v)\nwant %s", got, err, want)
	}
	var again room.View
	if err := json.Unmarshal(got, &again); err != nil || !reflect.DeepEqual(again, v) {
		t.Errorf("read back %+v (%v), want %+v", again, err, v)
	}
	if err := json.Unmarshal([]byte(`{"state":"gone"}`), &room.Member{}); err == nil {
		t.Error("a state that is none was read")
	}
}
