package auth

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Rights is a set of what an identity may do.
type Rights uint32

const (
	RightJoin   Rights = 1 << iota // join rooms that the identity's patterns name
	RightSend                      // send to the members of a joined room
	RightCreate                    // have a room made by joining it
	RightManage                    // change rooms and remove members
	RightAdmin                     // everything about the box: invites, revocations, settings
)

// Common sets.
const (
	DeviceRights = RightJoin | RightSend | RightCreate
	AllRights    = RightJoin | RightSend | RightCreate | RightManage | RightAdmin
)

var rightNames = []struct {
	right Rights
	name  string
}{
	{RightJoin, "join"},
	{RightSend, "send"},
	{RightCreate, "create"},
	{RightManage, "manage"},
	{RightAdmin, "admin"},
}

// ParseRights turns names, as tokens and configuration spell them, into a set.
func ParseRights(names []string) (Rights, error) {
	var all Rights
	for _, name := range names {
		at := slices.IndexFunc(rightNames, func(r struct {
			right Rights
			name  string
		},
		) bool {
			return r.name == name
		})
		if at < 0 {
			return 0, fmt.Errorf("unknown right %q, want join, send, create, manage or admin", name)
		}
		all |= rightNames[at].right
	}
	return all, nil
}

// Names lists the rights in a fixed order; ParseRights reads them back.
func (r Rights) Names() []string {
	names := make([]string, 0, len(rightNames))
	for _, known := range rightNames {
		if r&known.right != 0 {
			names = append(names, known.name)
		}
	}
	return names
}

// String joins the names with commas; the empty set is "none".
func (r Rights) String() string {
	if names := r.Names(); len(names) > 0 {
		return strings.Join(names, ",")
	}
	return "none"
}

// MarshalJSON writes the list of names.
func (r Rights) MarshalJSON() ([]byte, error) { return json.Marshal(r.Names()) }

// UnmarshalJSON reads a list of names.
func (r *Rights) UnmarshalJSON(text []byte) error {
	var names []string
	if err := json.Unmarshal(text, &names); err != nil {
		return fmt.Errorf("rights: want a list of names: %w", err)
	}
	parsed, err := ParseRights(names)
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}
