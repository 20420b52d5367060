package api

import "signalbox/internal/jsonapi"

// access is who may use a route.
type access int

const (
	// open routes do not look at credentials at all.
	open access = iota
	// anyone may call, and gets more when signed in.
	anyone
	// signedIn needs a valid token or session of any rights.
	signedIn
	// manager needs the right manage and a token that names the room, or admin.
	manager
	// admin needs the right admin.
	admin
)

// route is one line of the table.
type route = jsonapi.Route[*API, *call, access]

// Credentials tells whether a route looks at credentials, and needs them.
func (a access) Credentials() jsonapi.Credentials {
	switch a {
	case open:
		return jsonapi.Ignored
	case anyone:
		return jsonapi.Welcome
	default:
		return jsonapi.Needed
	}
}

// Forbids reports that a known caller may still lack the right.
func (a access) Forbids() bool { return a >= manager }

// Words are for the document.
func (a access) Words() string {
	return map[access]string{
		manager: "Needs the right admin, or manage in a token that names the room.",
		admin:   "Needs the right admin.",
	}[a]
}
