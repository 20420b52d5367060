package api

import "time"

// Session says who is asking.
type Session struct {
	// SignedIn is false for a caller without a token or session cookie; then
	// there is nothing else here.
	SignedIn bool `json:"signed_in"`
	// Via is how the caller was recognised; control is the box's own socket.
	Via     string   `json:"via,omitempty" jsonschema:"enum=bearer,enum=cookie,enum=control"`
	Subject string   `json:"subject,omitempty"`
	Rooms   []string `json:"rooms,omitempty"`
	Rights  []string `json:"rights,omitempty"`
	// Expires is missing for an identity that does not expire.
	Expires *time.Time `json:"expires,omitempty"`
	TokenID string     `json:"token_id,omitempty"`
}

// Setup redeems the link that makes the first administrator.
type Setup struct {
	// Code is what follows #setup= in the link.
	Code string `json:"code"`
	// Bearer asks for the token in the answer as well, for scripts.
	Bearer bool `json:"bearer,omitempty"`
}

// SetupDone comes with a session cookie for this browser.
type SetupDone struct {
	Session
	// Token is there when it was asked for, or is too long for a cookie.
	Token string `json:"token,omitempty"`
}

// TokenCreate asks for a token; with the right admin it is an administrator's.
type TokenCreate struct {
	// Subject names the device or person; 1 to 255 bytes.
	Subject string `json:"subject"`
	// Rooms are patterns in which * stands for any run of characters. May be
	// left out for an administrator.
	Rooms []string `json:"rooms,omitempty"`
	// Rights are join, send, create, manage, admin; join, send and create when left
	// out: a room of the patterns that is not there is made by joining it.
	Rights []string `json:"rights,omitempty"`
	// TTL is the token's life in seconds; the box's auth.token_ttl when left out.
	TTL int64 `json:"ttl_s,omitempty"`
}

// Token is a signed token and what is in it.
type Token struct {
	// Token is shown only here; the box does not keep it.
	Token   string    `json:"token"`
	ID      string    `json:"id"`
	Subject string    `json:"subject"`
	Rooms   []string  `json:"rooms"`
	Rights  []string  `json:"rights"`
	Expires time.Time `json:"expires"`
}

// TURNCreate asks for relay credentials.
type TURNCreate struct {
	// Subject is who the relay will account the traffic to; the caller when left out.
	Subject string `json:"subject,omitempty"`
	// TTL is how long new allocations may be made, in seconds; an hour when left out.
	TTL int64 `json:"ttl_s,omitempty"`
}

// RelayRotate asks for a new secret of the relay.
type RelayRotate struct {
	// Overlap is how long credentials made so far go on working, in seconds; a
	// day when left out, which is longer than a live session keeps one. With 0
	// no new call can be made with them.
	Overlap *int64 `json:"overlap_s,omitempty"`
}

// RelayRotated says that the relay has a new secret.
type RelayRotated struct {
	// OlderUntil is when credentials made from older secrets end at the latest.
	OlderUntil time.Time `json:"older_until"`
}

// TURNCredential fits into the iceServers of a browser's RTCPeerConnection.
type TURNCredential struct {
	URLs       []string  `json:"urls"`
	Username   string    `json:"username"`
	Credential string    `json:"credential"`
	Expires    time.Time `json:"expires"`
}

// InviteCreate asks for an invite: a code that a device, or with kind admin a
// person, turns into a token of its own.
type InviteCreate struct {
	// Kind is device when left out.
	Kind string `json:"kind,omitempty" jsonschema:"enum=device,enum=admin"`
	// Subject of the tokens. One * in it stands for random characters, so that
	// each redemption gets a name of its own; device-* or admin-* when left out.
	Subject string `json:"subject,omitempty"`
	// Rooms are patterns, as for tokens; the room of the link when left out. An
	// administrator has all rooms and rights.
	Rooms []string `json:"rooms,omitempty"`
	// Room is the one the link opens; when left out, the first of rooms that is
	// not a pattern.
	Room string `json:"room,omitempty"`
	// Rights are join, send, create, manage; join, send and create when left out.
	Rights []string `json:"rights,omitempty"`
	// TTL is the life of the invite in seconds; a day when left out.
	TTL int64 `json:"ttl_s,omitempty"`
	// TokenTTL is the life of the tokens it gives, in seconds; the box's
	// auth.token_ttl when left out.
	TokenTTL int64 `json:"token_ttl_s,omitempty"`
	// Uses is how often the code works; once when left out.
	Uses int `json:"uses,omitempty"`
	// Note is for people: what the invite was made for.
	Note string `json:"note,omitempty"`
}

// Invite is an outstanding invite. The code itself is not kept.
type Invite struct {
	ID      string    `json:"id"`
	Kind    string    `json:"kind" jsonschema:"enum=device,enum=admin"`
	Subject string    `json:"subject,omitempty"`
	Rooms   []string  `json:"rooms"`
	Rights  []string  `json:"rights"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	// TokenTTL is the life of the tokens it gives, in seconds; 0 is the box's
	// auth.token_ttl.
	TokenTTL int64 `json:"token_ttl_s"`
	// Uses is how many redemptions are left.
	Uses int    `json:"uses"`
	Note string `json:"note,omitempty"`
}

// InviteCreated carries the code, which is shown only here.
type InviteCreated struct {
	Invite
	Code string `json:"code"`
	// URL opens the call page, or the console for an administrator, with the
	// code in its fragment, which browsers do not send over the network.
	URL string `json:"url"`
	// QR is the URL as a QR code: one svg element, black on white.
	QR string `json:"qr_svg"`
}

// InviteList is every outstanding invite, the newest first.
type InviteList struct {
	Invites []Invite `json:"invites"`
}

// Redeem turns an invite's code into a token.
type Redeem struct {
	Code string `json:"code"`
}

// Revocation makes tokens invalid: one by its id, or all of a subject that
// were issued until now. Exactly one of the two is there.
type Revocation struct {
	TokenID string `json:"token_id,omitempty"`
	Subject string `json:"subject,omitempty"`
	// Lift ends a revocation instead: what it took back is good again.
	Lift bool `json:"lift,omitempty"`
}
