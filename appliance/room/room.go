package room

import (
	"cmp"
	"encoding/json"
	"fmt"
)

// Info is what persists about a room.
type Info struct {
	Name        string           `json:"name"`
	Description string           `json:"description,omitempty"`
	Capacity    int              `json:"capacity,omitempty"` // members at most; 0 is the box's default
	Pinned      bool             `json:"pinned"`             // a pinned room outlives its last member; the caller deletes others
	Allow       []string         `json:"allow,omitempty"`    // subject patterns that may join; empty admits everyone whose token names the room
	Metadata    map[string]Value `json:"metadata,omitempty"`
}

// Admits reports whether a member with this subject may join.
func (i Info) Admits(subject string) bool { return admits(i.Allow, subject) }

func admits(allow []string, subject string) bool {
	for _, pattern := range allow {
		if MatchName(pattern, subject) {
			return true
		}
	}
	return len(allow) == 0
}

// Value is one metadata value. Data is valid JSON and must not be changed.
//
// Version names the write that made the value and is the same on every box that
// knows it. A write that saw another one has the greater version. Versions stay
// below 2^53, so a browser can hold one in a number.
type Value struct {
	Data    json.RawMessage `json:"data"`
	Version uint64          `json:"version"`
}

// Member is one participant of a room. Meta must not be changed.
type Member struct {
	ID      string          `json:"id"`
	Subject string          `json:"subject,omitempty"`
	Name    string          `json:"name,omitempty"`
	Meta    json.RawMessage `json:"meta,omitempty"`
	Joined  uint64          `json:"joined"` // ordinal in this room, later joiner = larger
	State   MemberState     `json:"state"`

	// Holder is the run of the box that wrote this member last, which is the
	// one that has its socket. Join and SetMember set it.
	Holder Origin `json:"-"`
}

// Compare orders members by when they joined. Two who joined on different boxes
// in the same instant have equal ordinals and are ordered by ID, so that of
// every pair each box calls the same one later (and polite).
func (m Member) Compare(other Member) int {
	return cmp.Or(cmp.Compare(m.Joined, other.Joined), cmp.Compare(m.ID, other.ID))
}

// MemberState says whether a member has a socket at present.
type MemberState uint8

// The states of a member.
const (
	Online    MemberState = iota
	Suspended             // its socket is lost and it may still resume
)

// String returns the state as it is written in JSON.
func (s MemberState) String() string {
	switch s {
	case Online:
		return "online"
	case Suspended:
		return "suspended"
	}
	return fmt.Sprintf("MemberState(%d)", uint8(s))
}

// MarshalText implements encoding.TextMarshaler.
func (s MemberState) MarshalText() ([]byte, error) {
	if s > Suspended {
		return nil, &InvalidError{Field: "state", Got: s.String(), Want: `"online" or "suspended"`}
	}
	return []byte(s.String()), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *MemberState) UnmarshalText(text []byte) error {
	for _, state := range []MemberState{Online, Suspended} {
		if string(text) == state.String() {
			*s = state
			return nil
		}
	}
	return &InvalidError{Field: "state", Got: quote(string(text)), Want: `"online" or "suspended"`}
}

// View is a copy of one room, its members sorted by Member.Compare.
//
// Version grows with every change of the room that can be seen on this box,
// joins and leaves included. [State.Update] takes it to mean "what I have read":
// it refuses when the Info has changed since, and not when only members came or
// went. A version is good at the run of the box that gave it; any other run
// refuses it, and reading again helps. It stays below 2^53.
type View struct {
	Info
	Version uint64   `json:"version"`
	Members []Member `json:"members"`
}
