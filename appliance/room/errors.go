package room

import (
	"errors"
	"fmt"
	"strconv"
)

var (
	// ErrExists is returned by Create when the room is there already.
	ErrExists = errors.New("room exists already")
	// ErrNotFound is returned when there is no room of that name.
	ErrNotFound = errors.New("no such room")
	// ErrNoMember is returned by SetMember when the room has no such member.
	ErrNoMember = errors.New("no such member in the room")
	// ErrNotAllowed is returned by Admits when the room does not allow the subject.
	ErrNotAllowed = errors.New("the room does not allow this subject")
	// ErrFull is returned by Join when the room has as many members as it may have.
	ErrFull = errors.New("room is full")
	// ErrLimit is returned by Create when the box has as many rooms as it may have.
	ErrLimit = errors.New("no more rooms fit on this box")
	// ErrVersion is returned when a compare-and-set came too late. The error is
	// a *VersionError, which carries the version to read and try again with.
	ErrVersion = errors.New("changed since it was read")
	// ErrGap is returned by Merge when the delta builds on changes not known
	// here; ask the sender for a Snapshot.
	ErrGap = errors.New("the delta builds on changes not known here")
	// ErrForked is returned when somebody knows more changes of this very run
	// than it has made: two runs use one incarnation, or an old copy of the
	// data was started without a new one.
	ErrForked = errors.New("this incarnation has been used before; start with a new one")
	// ErrCorrupt is returned when bytes to decode are not what Encode makes.
	ErrCorrupt = errors.New("not a valid encoding")
	// ErrFormat is returned when bytes to decode are of a format that this build
	// does not know: they are sound, and a newer build wrote them.
	ErrFormat = errors.New("written by a newer version of signalbox")
)

// VersionError says which version a compare-and-set would have needed. It
// matches ErrVersion.
type VersionError struct {
	Current uint64 // 0 when a metadata key is absent
	Got     uint64
}

// Error implements error.
func (e *VersionError) Error() string {
	if e.Current == 0 {
		return fmt.Sprintf("%v: got version %d, and nothing is there now", ErrVersion, e.Got)
	}
	return fmt.Sprintf("%v: got version %d, now it is %d; read it and try again", ErrVersion, e.Got, e.Current)
}

// Unwrap returns ErrVersion.
func (e *VersionError) Unwrap() error { return ErrVersion }

// InvalidError says what is wrong with one given value and what would do.
type InvalidError struct {
	Field string // such as "name", "metadata.layout" or "allow[2]"
	Got   string
	Want  string
}

// Error implements error.
func (e *InvalidError) Error() string {
	return fmt.Sprintf("%s: got %s, want %s", e.Field, e.Got, e.Want)
}

// quote shows a value that may be long or unprintable.
func quote(s string) string {
	const shown = 80
	if len(s) <= shown {
		return strconv.Quote(s)
	}
	return strconv.Quote(s[:shown]) + fmt.Sprintf("… (%d bytes)", len(s))
}
