package room

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// box is one box of the world: its state, its disk, and what was read of it.
type box struct {
	state   *State
	entries [][]byte
	vector  []byte
	greeted map[string]bool // peers whose snapshot was taken since the start
	seen    map[string]sighting
}

// sighting is how a room looked after the last step.
type sighting struct {
	version  uint64
	info     string
	looks    string
	infoStep int // when info last differed
}

// world is a site of three boxes whose deltas get lost, repeated and reordered.
type world struct {
	boxes   []*box
	vectors []Vector // of boxes after past steps
	post    [][]byte // deltas under way, never taken out: each may come again
	oracle  *oracle
	step    int
}

var smallLimits = Limits{Rooms: 3, Capacity: 2, Members: 3, MetadataKeys: 2, AllowEntries: 2}

// newWorld draws how much the boxes remember: short trails make gaps and
// snapshots, long ones single changes.
func newWorld(t *rapid.T) *world {
	w := &world{oracle: newOracle()}
	trail := rapid.SampledFrom([]int{1, 3, 100}).Draw(t, "trail")
	for _, name := range []string{"a", "b", "c"} {
		b := &box{}
		b.start(Origin{Box: name, Incarnation: 1}, trail)
		b.greeted = map[string]bool{"a": true, "b": true, "c": true}
		b.save()
		w.boxes = append(w.boxes, b)
	}
	return w
}

func (b *box) start(origin Origin, trail int) {
	b.state = New(origin, smallLimits)
	b.state.trailLength = trail
	b.greeted = map[string]bool{}
	b.seen = map[string]sighting{} // versions are of one run
}

func (b *box) save() {
	b.entries = nil
	for name := range b.state.rooms {
		if e, ok := b.state.Durable(name); ok {
			b.entries = append(b.entries, e.Encode())
		}
	}
	b.vector = b.state.Vector().Encode()
}

// restart loses all that was not saved.
func (b *box) restart(t *rapid.T) {
	next := b.state.origin
	next.Incarnation++
	b.start(next, b.state.trailLength)
	var entries []Entry
	for _, raw := range b.entries {
		e, err := DecodeEntry(raw)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, e)
	}
	v, err := DecodeVector(b.vector)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.state.Restore(entries, v); err != nil {
		t.Fatal(err)
	}
}

// sync brings to one box all that another knows, as the boxes of a site would.
func (w *world) sync(t *rapid.T, from, to *box) {
	name := from.state.origin.Box
	d := from.state.Delta(to.state.Vector())
	if !to.greeted[name] {
		d = from.state.Snapshot()
	}
	short, long := clone(to.state), clone(to.state)
	err := w.merge(t, to, d)
	if _, gap := short.Merge(d); gap == nil {
		mustMerge(t, long, from.state)
		if canonical(short) != canonical(long) {
			t.Fatalf("the delta since %v makes\n%v, the snapshot\n%v", to.state.Vector(), short.Rooms(), long.Rooms())
		}
	}
	if errors.Is(err, ErrGap) {
		err = w.merge(t, to, from.state.Snapshot())
	}
	if err != nil {
		t.Fatalf("merge %v into %v: %v", from.state.origin, to.state.origin, err)
	}
	to.greeted[name] = true
}

// merge sends d over the wire and merges it, twice.
func (w *world) merge(t *rapid.T, to *box, d Delta) error {
	d, err := DecodeDelta(d.Encode())
	if err != nil {
		t.Fatal(err)
	}
	before := canonical(to.state)
	if _, err := to.state.Merge(d); err != nil {
		if canonical(to.state) != before {
			t.Fatalf("Merge returned %v and changed the state", err)
		}
		return err
	}
	once := canonical(to.state)
	if changed, err := to.state.Merge(d); err != nil || len(changed) > 0 || canonical(to.state) != once {
		t.Fatalf("merging the same delta again: changed %v, error %v", changed, err)
	}
	return nil
}

// look notes how every room looks on b and checks what versions promise.
func (w *world) look(t *rapid.T, b *box) {
	for _, v := range b.state.Rooms() {
		now := sighting{version: v.Version, info: fmt.Sprint(v.Info), infoStep: w.step}
		now.looks = fmt.Sprint(now.info, v.Members)
		before, ok := b.seen[v.Name]
		if ok && now.looks != before.looks && now.version <= before.version {
			t.Fatalf("room %q on %v changed from\n%s to\n%s and its version from %d to %d",
				v.Name, b.state.origin, before.looks, now.looks, before.version, now.version)
		}
		if ok && now.info == before.info {
			now.infoStep = before.infoStep
		}
		b.seen[v.Name] = now
	}
}

func (w *world) check(t *rapid.T) {
	w.step++
	for _, b := range w.boxes {
		if fault := w.oracle.check(b.state); fault != "" {
			t.Fatal(fault)
		}
		w.look(t, b)
		w.vectors = append(w.vectors, b.state.Vector())
	}
}

var (
	drawRoom   = rapid.SampledFrom([]string{"hall", "line-3", "line-3/cell"})
	drawMember = rapid.SampledFrom([]string{"cam", "robot", "panel"})
	drawKey    = rapid.SampledFrom([]string{"layout", "shift"})
	drawData   = rapid.SampledFrom([]json.RawMessage{[]byte(`1`), []byte(`{"x":null}`), []byte(`"z"`)})
)

func (w *world) draw(t *rapid.T) *box { return rapid.SampledFrom(w.boxes).Draw(t, "box") }

// act makes an action of op, which changes one box and may fail with one of
// the given errors.
func (w *world) act(may []error, op func(*rapid.T, *State) error) func(*rapid.T) {
	return func(t *rapid.T) {
		b := w.draw(t)
		w.oracle.watch(b.state, func() {
			before := canonical(b.state)
			err := op(t, b.state)
			if err == nil {
				return
			}
			if !slices.ContainsFunc(may, func(want error) bool { return errors.Is(err, want) }) {
				t.Fatal(err)
			}
			if canonical(b.state) != before {
				t.Fatalf("failed with %v and changed the state", err)
			}
		})
	}
}

func drawInfo(t *rapid.T, info *Info) {
	if rapid.Bool().Draw(t, "description") {
		info.Description = rapid.SampledFrom([]string{"", "north", "south"}).Draw(t, "text")
	}
	if rapid.Bool().Draw(t, "capacity") {
		info.Capacity = rapid.IntRange(0, 3).Draw(t, "members")
	}
	if rapid.Bool().Draw(t, "pinned") {
		info.Pinned = !info.Pinned
	}
	if rapid.Bool().Draw(t, "allow") {
		info.Allow = rapid.SampledFrom([][]string{nil, {"cam-*"}, {"cam-*", "robot"}}).Draw(t, "patterns")
	}
	if rapid.Bool().Draw(t, "metadata") {
		info.Metadata = map[string]Value{drawKey.Draw(t, "key"): {Data: drawData.Draw(t, "data")}}
	}
}

// actions are the steps that a run of the world is made of.
func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": w.check,
		"create": w.act([]error{ErrExists, ErrLimit}, func(t *rapid.T, s *State) error {
			info := Info{Name: drawRoom.Draw(t, "room")}
			drawInfo(t, &info)
			_, err := s.Create(info)
			return err
		}),
		"update": w.act([]error{ErrNotFound}, func(t *rapid.T, s *State) error {
			_, err := s.Update(drawRoom.Draw(t, "room"), 0, func(info *Info) { drawInfo(t, info) })
			return err
		}),
		"compare and set": w.compareAndSet,
		"metadata": w.act([]error{ErrNotFound}, func(t *rapid.T, s *State) error {
			_, err := s.SetMetadata(drawRoom.Draw(t, "room"), drawKey.Draw(t, "key"), drawData.Draw(t, "data"), nil)
			return err
		}),
		"delete metadata": w.act([]error{ErrNotFound}, func(t *rapid.T, s *State) error {
			_, err := s.SetMetadata(drawRoom.Draw(t, "room"), drawKey.Draw(t, "key"), nil, nil)
			return err
		}),
		"delete": w.act([]error{ErrNotFound}, func(t *rapid.T, s *State) error { return s.Delete(drawRoom.Draw(t, "room")) }),
		"join": w.act([]error{ErrNotFound, ErrFull}, func(t *rapid.T, s *State) error {
			name := drawRoom.Draw(t, "room")
			before := s.MemberCount(name)
			_, err := s.Join(name, Member{ID: drawMember.Draw(t, "member")})
			if now := s.MemberCount(name); err == nil && now > before && now > s.capacity(s.rooms[name]) {
				t.Fatalf("a join brought %d members into a room for %d", now, s.capacity(s.rooms[name]))
			}
			return err
		}),
		"leave": w.act(nil, func(t *rapid.T, s *State) error {
			s.Leave(drawRoom.Draw(t, "room"), drawMember.Draw(t, "member"))
			return nil
		}),
		"set member": w.act([]error{ErrNotFound, ErrNoMember}, func(t *rapid.T, s *State) error {
			_, err := s.SetMember(drawRoom.Draw(t, "room"), drawMember.Draw(t, "member"), func(m *Member) { m.State ^= 1 })
			return err
		}),
		"forget": w.act(nil, func(t *rapid.T, s *State) error {
			other := w.draw(t).state.origin
			s.Forget(other.Box, other.Incarnation)
			return nil
		}),
		"post": func(t *rapid.T) {
			since := rapid.SampledFrom(w.vectors).Draw(t, "since")
			w.post = append(w.post, w.draw(t).state.Delta(since).Encode())
		},
		"deliver": func(t *rapid.T) {
			if len(w.post) == 0 {
				t.Skip("no post")
			}
			d, err := DecodeDelta(rapid.SampledFrom(w.post).Draw(t, "delta"))
			if err != nil {
				t.Fatal(err)
			}
			if err := w.merge(t, w.draw(t), d); err != nil && !errors.Is(err, ErrGap) {
				t.Fatal(err)
			}
		},
		"sync":    func(t *rapid.T) { w.sync(t, w.draw(t), w.draw(t)) },
		"save":    func(t *rapid.T) { w.draw(t).save() },
		"restart": func(t *rapid.T) { w.draw(t).restart(t) },
	}
}

// compareAndSet updates a room under a version that was seen a while ago.
func (w *world) compareAndSet(t *rapid.T) {
	b := w.draw(t)
	name := drawRoom.Draw(t, "room")
	read, ok := b.seen[name]
	if !ok {
		t.Skip("not seen yet")
	}
	calm := true // only members came and went
	for range 3 {
		action := rapid.SampledFrom([]string{"update", "metadata", "join", "leave", "sync", "delete", "restart"}).Draw(t, "meanwhile")
		calm = calm && (action == "join" || action == "leave")
		w.actions()[action](t)
		w.check(t)
	}
	_, exists := b.state.Room(name)
	now := b.seen[name]
	w.oracle.watch(b.state, func() {
		_, err := b.state.Update(name, read.version, func(info *Info) { info.Description += "." })
		switch {
		case !exists:
			if !errors.Is(err, ErrNotFound) {
				t.Fatalf("Update of a room that is gone: %v", err)
			}
		case now.infoStep != read.infoStep:
			if !errors.Is(err, ErrVersion) {
				t.Fatalf("Update with version %d, now %d, of Info that has changed: %v", read.version, now.version, err)
			}
		case err != nil && calm:
			t.Fatalf("Update with version %d, now %d, of Info that has not changed: %v", read.version, now.version, err)
		}
	})
}

func TestBoxesConverge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(w.actions())
		w.converge(t)
	})
}

func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(w.actions())
		a, b, c := w.boxes[0].state, w.boxes[1].state, w.boxes[2].state
		if got, want := canonical(join(t, a, b)), canonical(join(t, b, a)); got != want {
			t.Fatal("a+b differs from b+a")
		}
		if got, want := canonical(join(t, join(t, a, b), c)), canonical(join(t, a, join(t, b, c))); got != want {
			t.Fatal("(a+b)+c differs from a+(b+c)")
		}
		if got, want := canonical(join(t, a, a)), canonical(a); got != want {
			t.Fatal("a+a differs from a")
		}
	})
}

// join returns what a makes of a snapshot of b, leaving both as they are.
func join(t *rapid.T, a, b *State) *State {
	joined := clone(a)
	mustMerge(t, joined, b)
	return joined
}

func mustMerge(t *rapid.T, to, from *State) {
	if _, err := to.Merge(from.Snapshot()); err != nil {
		t.Fatal(err)
	}
}

// converge lets the boxes talk until each knows what all know.
func (w *world) converge(t *rapid.T) {
	for range len(w.boxes) {
		for _, from := range w.boxes {
			for _, to := range w.boxes {
				w.sync(t, from, to)
			}
		}
	}
	w.check(t)
	want := w.boxes[0].state
	for _, b := range w.boxes[1:] {
		if canonical(b.state) != canonical(want) {
			t.Fatalf("%v has\n%v, %v has\n%v", want.origin, want.Rooms(), b.state.origin, b.state.Rooms())
		}
	}
}
