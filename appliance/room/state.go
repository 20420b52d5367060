package room

import (
	"encoding/json"
	"iter"
)

// State is the rooms and members as one box knows them. It is not safe for
// concurrent use: its owner guards it.
type State struct{}

// New returns an empty state whose changes will carry origin. Each start of a
// box needs an incarnation of its own.
func New(origin Origin, limits Limits) *State { panic("to come") }

// Create makes a room. It returns ErrExists, ErrLimit or an *InvalidError.
func (s *State) Create(info Info) (View, error) { panic("to come") }

// Update changes the Info of a room: change gets a copy and may alter all but
// the Name. ifVersion is the View.Version that was read, 0 to change whatever
// there is. It returns ErrNotFound, ErrVersion or an *InvalidError.
func (s *State) Update(name string, ifVersion uint64, change func(*Info)) (View, error) {
	panic("to come")
}

// SetMetadata sets one metadata value; nil data deletes it. ifVersion is the
// Value.Version that was read, a pointer to 0 when the key must be absent, nil
// to write whatever there is. It returns the value now there, zero after a
// deletion; or ErrNotFound, a *VersionError or an *InvalidError.
func (s *State) SetMetadata(name, key string, data json.RawMessage, ifVersion *uint64) (Value, error) {
	panic("to come")
}

// Delete removes a room and the members seen in it, or returns ErrNotFound.
func (s *State) Delete(name string) error { panic("to come") }

// Admits returns nil when a member with this subject may join the room, else
// ErrNotFound or ErrNotAllowed. Join does not ask.
func (s *State) Admits(name, subject string) error { panic("to come") }

// Join adds m and returns it with its ordinal. A member whose Joined is set had
// its place before (it is being restored) and is not held to the capacity. The
// same ID again replaces the member and keeps its ordinal. It returns
// ErrNotFound, ErrFull or an *InvalidError.
func (s *State) Join(name string, m Member) (Member, error) { panic("to come") }

// Leave removes a member and returns it as it was.
func (s *State) Leave(name, memberID string) (Member, bool) { panic("to come") }

// SetMember changes a member: change gets a copy and may alter all but the ID
// and Joined. It returns ErrNotFound, ErrNoMember or an *InvalidError.
func (s *State) SetMember(name, memberID string, change func(*Member)) (Member, error) {
	panic("to come")
}

// Forget removes every member held by a run of box other than the incarnation
// except, in all rooms, and returns the names of the rooms that changed. A box
// forgets its own earlier runs after Restore, and those of another box when
// that one has started again; except 0 forgets a box that is gone.
func (s *State) Forget(box string, except uint64) []string { panic("to come") }

// Room returns a copy of one room.
func (s *State) Room(name string) (View, bool) { panic("to come") }

// Member returns one member of a room.
func (s *State) Member(name, memberID string) (Member, bool) { panic("to come") }

// Members yields the members of a room in no particular order, without copying
// the room. The state must not change meanwhile.
func (s *State) Members(name string) iter.Seq[Member] { panic("to come") }

// MemberCount returns how many members a room has.
func (s *State) MemberCount(name string) int { panic("to come") }

// Rooms returns a copy of every room, sorted by name.
func (s *State) Rooms() []View { panic("to come") }

// Len returns how many rooms there are.
func (s *State) Len() int { panic("to come") }

// Vector returns the changes known here: what to give a peer to get a Delta,
// and what to store beside every Entry, taken under the same lock.
func (s *State) Vector() Vector { panic("to come") }

// Delta returns all that happened after since, or a Snapshot when since is
// empty or so old that the single changes are no longer known.
func (s *State) Delta(since Vector) Delta { panic("to come") }

// Snapshot returns the whole state as a delta since nothing.
func (s *State) Snapshot() Delta { panic("to come") }

// Merge takes in what another box knows and returns the names of the rooms that
// look different now, sorted. It is commutative, associative and idempotent. It
// returns ErrGap or ErrForked, having changed nothing.
func (s *State) Merge(d Delta) (changed []string, err error) { panic("to come") }

// Durable returns the room without its members, to be stored. For a room that
// is not there it returns an Entry that is Deleted, and false.
func (s *State) Durable(name string) (Entry, bool) { panic("to come") }

// Restore fills a new state with what had been stored: the entries and the
// Vector that was stored with the last of them.
func (s *State) Restore(entries []Entry, v Vector) error { panic("to come") }

// Delta is what one state tells another: see State.Delta. It does not change
// when the state does, and may be encoded after the state's lock is released.
type Delta struct{}

// Encode returns d as bytes: equal deltas give equal bytes.
func (d Delta) Encode() []byte { panic("to come") }

// DecodeDelta undoes Encode. It returns an error that matches ErrCorrupt.
func DecodeDelta(b []byte) (Delta, error) { panic("to come") }

// Empty reports whether d says nothing that its receiver did not know.
func (d Delta) Empty() bool { panic("to come") }

// Entry is what is stored of one room: see State.Durable.
type Entry struct {
	Name string
}

// Deleted reports whether the room is gone, so that its stored entry is to go.
func (e Entry) Deleted() bool { panic("to come") }

// Info returns what the entry says about its room.
func (e Entry) Info() Info { panic("to come") }

// Encode returns e as bytes: equal entries give equal bytes.
func (e Entry) Encode() []byte { panic("to come") }

// DecodeEntry undoes Encode. It returns an error that matches ErrCorrupt.
func DecodeEntry(b []byte) (Entry, error) { panic("to come") }

// Encode returns v as bytes: equal vectors give equal bytes.
func (v Vector) Encode() []byte { panic("to come") }

// DecodeVector undoes Encode. It returns an error that matches ErrCorrupt.
func DecodeVector(b []byte) (Vector, error) { panic("to come") }
