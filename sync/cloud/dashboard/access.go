package dashboard

import (
	"signalbox/internal/jsonapi"
	"signalbox/sync/cloud/people"
)

// access is who may use a route.
type access int

const (
	// open routes do not look at credentials at all.
	open access = iota
	// anyone may call, and gets more when signed in.
	anyone
	// The others need a person or key of at least that role.
	viewer
	operator
	administrator
)

// route is one line of the table.
type route = jsonapi.Route[*Dashboard, *call, access]

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
func (a access) Forbids() bool { return a >= operator }

// role is what the route needs.
func (a access) role() people.Role {
	return map[access]people.Role{viewer: people.Viewer, operator: people.Operator, administrator: people.Administrator}[a]
}

// Words are for the document.
func (a access) Words() string {
	if role := a.role(); role != "" {
		return "Needs the role " + string(role) + "."
	}
	return ""
}
