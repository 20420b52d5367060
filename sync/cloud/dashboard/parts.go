package dashboard

import (
	"context"
	"encoding/json"
	"time"

	"signalbox/sync/wire"
)

// Fleet is what this node knows of all boxes that ever sent a frame. Its
// methods answer from memory and may be called concurrently.
type Fleet interface {
	// Position is the last message of the stream UP that is applied here, and
	// whether it is the newest there is but for what came in the last seconds.
	Position() (seq uint64, current bool)
	// Box is nil for one that is not known.
	Box(id wire.BoxID) *Facts
	// Watch begins a feed of changes.
	Watch() Feed
}

// Feed tells which boxes have changed. Next waits; all means too many to name.
type Feed interface {
	Next(ctx context.Context) (changed []wire.BoxID, all bool, err error)
	Close()
}

// History is what lies on the node's disk. Spans are half open, [from, to).
type History interface {
	// Points are the peaks of five minutes, the oldest first.
	Points(id wire.BoxID, metric wire.MetricID, from, to time.Time) ([]Value, error)
	// Hours are what a counter grew by, or a gauge's peak, of each hour.
	Hours(id wire.BoxID, metric wire.MetricID, from, to time.Time) ([]Value, error)
	// Distribution is Quality without its metric's name.
	Distribution(ids []wire.BoxID, metric wire.MetricID, from, to time.Time) (Quality, error)
	// Devices estimates how many different ones there were.
	Devices(ids []wire.BoxID, from, to time.Time) (uint64, error)
	// Events are the last n alerts that began or ended, the newest first; Text
	// and Box are filled in as far as they are known.
	Events(ids []wire.BoxID, n int) ([]Event, error)
	// Rooms are those that are open, by id.
	Rooms(id wire.BoxID) ([]RoomRow, error)
}

// Value is a value of a span that begins at Start.
type Value struct {
	Start time.Time
	Value int64
}

// Site is a site as the registry has it.
type Site struct {
	Name    string
	Title   string
	Created time.Time
}

// Member is a box as the registry has it.
type Member struct {
	ID             wire.BoxID
	Name           string
	Version        string // when it joined
	Joined         time.Time
	CertificateEnd time.Time
	Revoked        time.Time
	RevokedBy      string
	Wanted         uint64    // revision of the policy it should follow; 0 for none
	WantedSince    time.Time // when that was set
}

// Registry is what administrators decide, the same on every node. Reads answer
// from memory. The error of a change that somebody else was faster with is
// ErrConflict, of what is not there ErrNotFound, of what is there ErrExists.
type Registry interface {
	Sites() []Site
	Site(name string) (Site, bool)
	Members(site string) []Member
	AddSite(ctx context.Context, site, title, by string) error
	SetTitle(ctx context.Context, site, title string) error
	// RemoveSite takes a site and its tokens out and revokes its boxes.
	RemoveSite(ctx context.Context, site, by string) error
	// Policy gives the documents of a site and of its boxes, as they were set.
	Policy(site string) PolicyView
	// SetPolicy sets that of a site, or of one box of it unless box is empty.
	SetPolicy(ctx context.Context, site, box string, doc json.RawMessage, by string) error
	// Order asks a box to do something within a time.
	Order(ctx context.Context, box wire.BoxID, name string, args json.RawMessage, within time.Duration, by string) (wire.Command, error)
	// Commands of a site's boxes with their outcomes, the newest first.
	Commands(site string) []CommandView
	// Watch is told the site of each change, "" for all, until the returned
	// function is called. It must not wait.
	Watch(tell func(site string)) (stop func())
}

// Identity lets boxes in and out.
type Identity interface {
	// NewToken gives the command that joins a box to a site by the cloud's URL.
	NewToken(ctx context.Context, site, url, by string) (command string, expires time.Time, err error)
	Revoke(ctx context.Context, box wire.BoxID, by string) error
}

// Presence tells which boxes have a connection to any node, from memory.
type Presence interface {
	Online(id wire.BoxID) bool
}

// Part is the health of a part of the node.
type Part struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Required bool   `json:"required"` // without it the node is not ready
	Reason   string `json:"reason,omitempty"`
}
