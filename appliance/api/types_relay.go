package api

import "time"

// Allocation is one client's address on the relay.
type Allocation struct {
	// ID is a number that is not used again until the box restarts.
	ID uint64 `json:"id"`
	// User is the subject of the credential it was made with.
	User string `json:"user"`
	// Transport carries it between the client and the relay.
	Transport string `json:"transport" jsonschema:"enum=udp,enum=tcp,enum=tls"`
	// Client is where the client speaks from, Server the box's own side of that.
	Client string `json:"client"`
	Server string `json:"server"`
	// Relayed is the address that others send to, one for each family.
	Relayed []string `json:"relayed"`
	// Permissions are the addresses of those who may send to it.
	Permissions []string  `json:"permissions"`
	Channels    []Channel `json:"channels"`
	// Sent is what the client sent to its peers, Received what they sent to it.
	Sent     Traffic `json:"sent"`
	Received Traffic `json:"received"`

	Created    time.Time `json:"created"`
	Expires    time.Time `json:"expires"`
	AgeSeconds int64     `json:"age_s"`
}

// Channel is a channel number that is bound to a peer.
type Channel struct {
	Number uint16 `json:"number"`
	Peer   string `json:"peer"`
}

// Traffic counts payload: what applications sent, without the headers of TURN
// and of what is below it.
type Traffic struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// AllocationList is a page of allocations, the oldest first.
type AllocationList struct {
	Allocations []Allocation `json:"allocations"`
	// Next is there when allocations follow: ask again with after=next.
	Next uint64 `json:"next,omitempty"`
}

// RelayUser sums up the allocations that a user has now.
type RelayUser struct {
	User        string  `json:"user"`
	Allocations int     `json:"allocations"`
	Permissions int     `json:"permissions"`
	Channels    int     `json:"channels"`
	Sent        Traffic `json:"sent"`
	Received    Traffic `json:"received"`
}

// RelayUserList is everyone who has an allocation now, in the order of their names.
type RelayUserList struct {
	Users []RelayUser `json:"users"`
}

// AllocationsEnded says how many allocations a request has ended.
type AllocationsEnded struct {
	Ended int `json:"ended"`
}

// DrainChange turns draining on or off.
type DrainChange struct {
	// Drain true refuses new allocations and lets the others go on.
	Drain *bool `json:"drain"`
	// Stop ends the process, with exit code 0, when the last allocation has ended.
	Stop bool `json:"stop,omitempty"`
}

// DrainState is whether the relay drains.
type DrainState struct {
	Draining bool `json:"draining"`
	// Stop is true when the box stops as soon as it is drained.
	Stop bool `json:"stop"`
	// Allocations is how many there still are.
	Allocations int `json:"allocations"`
}
