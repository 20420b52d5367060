package dashboard

import (
	"encoding/json"
	"time"

	"signalbox/sync/cloud/people"
)

// Session is who the caller is, and what the sign-in page needs to know.
type Session struct {
	SignedIn    bool        `json:"signed_in"`
	Name        string      `json:"name,omitempty"`
	Role        people.Role `json:"role,omitempty"`
	Via         string      `json:"via,omitempty"` // password, oidc, key or local
	OIDC        bool        `json:"oidc"`          // there is a provider to sign in with
	SetupNeeded bool        `json:"setup_needed"`  // nobody is administrator yet
	Version     string      `json:"version,omitempty"`
	Node        string      `json:"node,omitempty"`
}

// SignIn is a name and a password.
type SignIn struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

// SignInByLink uses a one-time link up.
type SignInByLink struct {
	Code     string `json:"code"`
	Name     string `json:"name,omitempty"` // unless the link has one
	Password string `json:"password"`       // at least 10 characters
}

// PersonList is everybody who may sign in.
type PersonList struct {
	People []people.Person `json:"people"`
}

// NewPerson is somebody to let in.
type NewPerson struct {
	Name string      `json:"name"`
	Role people.Role `json:"role"`
}

// PersonLink is what to give to them. It works once.
type PersonLink struct {
	Link    string    `json:"link"`
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

// PersonPatch is a person's new role.
type PersonPatch struct {
	Role people.Role `json:"role"`
}

// KeyList are the API keys, without their secrets.
type KeyList struct {
	Keys []people.APIKey `json:"keys"`
}

// NewKey is an API key to make.
type NewKey struct {
	Name       string      `json:"name"`
	Role       people.Role `json:"role"`
	TTLSeconds int64       `json:"ttl_s,omitempty"` // 0: it does not end
}

// KeyMade is the key, shown this once.
type KeyMade struct {
	Key string `json:"key"`
}

// AuditList is part of the log, the newest first.
type AuditList struct {
	Entries []people.Entry `json:"entries"`
}

// NewSite is a site to make.
type NewSite struct {
	Site  string `json:"site"` // 1 to 63 of a-z, 0-9 and "-"; it stays
	Title string `json:"title,omitempty"`
}

// SitePatch changes what a site is called.
type SitePatch struct {
	Title string `json:"title"`
}

// SiteMade is the command that joins a box. It works once.
type SiteMade struct {
	Site    string    `json:"site"`
	Title   string    `json:"title"`
	Command string    `json:"command"`
	Expires time.Time `json:"expires"`
}

// NewToken asks for a command for one more box.
type NewToken struct{}

// PolicyWish is what is wanted of a site or a box, whole: a key that is not in
// it is the box's own business.
type PolicyWish struct {
	Policy json.RawMessage `json:"policy"` // a PolicyDoc
}

// NewCommand is something to do once.
type NewCommand struct {
	Name       string          `json:"name"`
	Args       json.RawMessage `json:"args,omitempty"`
	TTLSeconds int64           `json:"ttl_s,omitempty"` // 60 to 604800; an hour unless given
}

// CommandMade names the command that waits for the box now.
type CommandMade struct {
	ID      string    `json:"id"`
	Expires time.Time `json:"expires"`
}

// NewAck is somebody's word that a problem is known.
type NewAck struct {
	Note string `json:"note,omitempty"`
}

// NodeHealth is whether this node should be asked.
type NodeHealth struct {
	OK    bool   `json:"ok"`
	Parts []Part `json:"parts,omitempty"`
}

// Change is what has changed on the first page since the event before.
type Change struct {
	Now      time.Time `json:"now"`
	Seq      uint64    `json:"seq"`
	Sites    []SiteRow `json:"sites"` // whole rows, in no order
	Removed  []string  `json:"removed"`
	Totals   Totals    `json:"totals"`
	Problems int       `json:"problems"`
}

// LiveValues are what a box says of this second.
type LiveValues struct {
	Box    string           `json:"box"`
	At     time.Time        `json:"at"`
	Gauges map[string]int64 `json:"gauges"` // by metric name
}
