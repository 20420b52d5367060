// Package api is the HTTP side of a box that is not signaling: the JSON API
// under /v1 with its OpenAPI document, health, metrics and the discovery
// document. The types in types*.go are what goes over the wire; openapi.json
// is generated from them and from the route table, comments included.
//
// Times are RFC 3339 in UTC, durations are whole seconds in fields that end in
// _s, sizes are bytes. A field that is missing from a request keeps its default
// (POST) or its value (PATCH); a field the box does not know is an error.
package api

import "encoding/json"

// Room is one room as the API shows it.
type Room struct {
	// Name is 1 to 64 of A-Z a-z 0-9 - _ . and /; percent-encode it in paths.
	Name        string `json:"name"`
	Description string `json:"description"`
	// Capacity is how many members fit; 0 means the box's default.
	Capacity int `json:"capacity"`
	// Pinned rooms outlive their last member.
	Pinned bool `json:"pinned"`
	// Allow holds the subject patterns that may join; empty admits everyone
	// whose token names the room.
	Allow []string `json:"allow"`
	// Metadata is the room's keyed state, shared with its members.
	Metadata map[string]Value `json:"metadata"`
	// Version grows with every change of the room; send it as If-Match.
	Version uint64 `json:"version"`
	// Count is the number of members, suspended ones included.
	Count int `json:"count"`
	// Members is there when one room is asked for, or the list with members=true.
	Members []Member `json:"members,omitempty"`
}

// Value is one entry of a room's metadata.
type Value struct {
	// Data is any JSON value but null.
	Data json.RawMessage `json:"data"`
	// Version is for compare-and-set; send it as If-Match.
	Version uint64 `json:"version"`
}

// Member is a session's presence in a room.
type Member struct {
	Member  string `json:"member"`
	Subject string `json:"subject"`
	Name    string `json:"name"`
	// Meta is what the member told about itself.
	Meta json.RawMessage `json:"meta,omitempty"`
	// State is suspended while the member's connection is cut and may resume.
	State string `json:"state" jsonschema:"enum=online,enum=suspended"`
	// Joined is the ordinal in this room: a later joiner has a larger one.
	Joined uint64 `json:"joined"`
}

// RoomList is a page of rooms in the order of their names.
type RoomList struct {
	Rooms []Room `json:"rooms"`
	// Next is there when rooms follow: ask again with after=next.
	Next string `json:"next,omitempty"`
}

// MemberList is everyone in a room, in the order of joining.
type MemberList struct {
	Members []Member `json:"members"`
}

// RoomCreate asks for a new room.
type RoomCreate struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Capacity    int      `json:"capacity,omitempty"`
	Pinned      bool     `json:"pinned,omitempty"`
	Allow       []string `json:"allow,omitempty"`
}

// RoomPatch changes the fields that are there and keeps the others.
type RoomPatch struct {
	Description *string   `json:"description,omitempty"`
	Capacity    *int      `json:"capacity,omitempty"`
	Pinned      *bool     `json:"pinned,omitempty"`
	Allow       *[]string `json:"allow,omitempty"`
}

// ValuePut sets one entry of a room's metadata.
type ValuePut struct {
	// Data is any JSON value but null; DELETE removes an entry.
	Data json.RawMessage `json:"data"`
}
