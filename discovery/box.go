package discovery

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Box is a box that Browse has found.
type Box struct {
	Instance string       `json:"instance"` // its name for people
	Host     string       `json:"host"`     // signalbox.local
	Port     uint16       `json:"port"`
	Addrs    []netip.Addr `json:"addrs"` // sorted; a link-local one carries its zone
	TXT      Attributes   `json:"txt"`
}

func (b Box) equal(o Box) bool {
	return b.Instance == o.Instance && b.Host == o.Host && b.Port == o.Port &&
		slices.Equal(b.Addrs, o.Addrs) && maps.Equal(b.TXT, o.TXT)
}

// EventKind is what has happened to a box.
type EventKind uint8

const (
	Added   EventKind = iota + 1 // heard of for the first time, or again after Removed
	Updated                      // says something else than before
	Removed                      // said goodbye, or was silent for too long
)

func (k EventKind) String() string {
	return map[EventKind]string{Added: "added", Updated: "updated", Removed: "removed"}[k]
}

// MarshalText makes JSON carry the word.
func (k EventKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Event is one change to the boxes in sight. The Box of a Removed event is what
// was last known.
type Event struct {
	Kind EventKind `json:"event"`
	Box  Box       `json:"box"`
}

// source is where a packet was heard.
type source struct {
	index  int // of the interface
	family family
}

// sighting is news of one box, heard in one place.
type sighting struct {
	instance string
	source   source
	kind     sightingKind

	host  string // the rest is for sightPresent; sightTXT has txt
	port  uint16
	addrs []netip.Addr
	txt   Attributes
	ttl   time.Duration
}

type sightingKind uint8

const (
	sightPresent sightingKind = iota // a full answer
	sightTXT                         // another TXT record
	sightGoodbye
)
