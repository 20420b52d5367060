package api

import "net/http"

// routes is the table: the one truth about what the box answers.
var routes = []route{
	{
		method: "GET", path: "/v1/status", access: anyone, body: give((*API).getStatus).of(Status{}, Summary{}),
		summary: "State of the box",
		detail:  "Everything for an administrator; for others the summary only.",
	},
	{
		method: "GET", path: "/v1/events", access: admin, body: write((*API).streamEvents, "text/event-stream"),
		summary: "State of the box, as it changes",
		detail: "Server-sent events. `event: status` carries a Status as its data: one at once, then one at most twice a second when " +
			"something has changed. A comment comes every 15 s. The stream ends when the caller's identity does.",
	},
	{
		method: "GET", path: "/v1/openapi.json", access: open, body: write((*API).getOpenAPI, "application/json"),
		summary: "This document",
	},

	{
		method: "GET", path: "/v1/rooms", access: admin, body: give((*API).listRooms), query: roomQuery,
		summary: "Rooms in the order of their names",
	},
	{
		method: "POST", path: "/v1/rooms", access: admin, body: take((*API).createRoom), status: http.StatusCreated,
		refuses: []int{http.StatusConflict}, summary: "Make a room",
	},
	{
		method: "GET", path: "/v1/rooms/{name}", access: manager, body: give((*API).getRoom),
		summary: "One room with its members", detail: "The ETag is the room's version.",
	},
	{
		method: "PATCH", path: "/v1/rooms/{name}", access: admin, body: take((*API).patchRoom), ifMatch: true,
		refuses: []int{http.StatusConflict}, summary: "Change the fields of a room that are there",
	},
	{
		method: "DELETE", path: "/v1/rooms/{name}", access: admin, body: act((*API).deleteRoom),
		summary: "Delete a room; its members are removed",
	},
	{
		method: "GET", path: "/v1/rooms/{name}/members", access: manager, body: give((*API).listMembers),
		summary: "Who is in a room",
	},
	{
		method: "DELETE", path: "/v1/rooms/{name}/members/{member}", access: manager, body: act((*API).kickMember),
		summary: "Remove a member from a room",
	},
	{
		method: "PUT", path: "/v1/rooms/{name}/metadata/{key}", access: manager, body: take((*API).putMetadata), ifMatch: true,
		refuses: []int{http.StatusConflict}, summary: "Set an entry of a room's metadata",
		detail: `With If-Match a compare-and-set; "0" means that the entry must not exist yet.`,
	},
	{
		method: "DELETE", path: "/v1/rooms/{name}/metadata/{key}", access: manager, body: act((*API).deleteMetadata), ifMatch: true,
		summary: "Remove an entry of a room's metadata",
	},

	{
		method: "GET", path: "/v1/invites", access: admin, body: give((*API).listInvites),
		summary: "Outstanding invites",
	},
	{
		method: "POST", path: "/v1/invites", access: admin, body: take((*API).createInvite), status: http.StatusCreated,
		refuses: []int{http.StatusConflict}, summary: "Make an invite with its link and QR code",
	},
	{
		method: "DELETE", path: "/v1/invites/{id}", access: admin, body: act((*API).deleteInvite),
		summary: "Take an invite back",
	},
	{
		method: "POST", path: "/v1/invites/redeem", access: open, limited: true, body: take((*API).redeemInvite),
		refuses: redeemRefuses, summary: "Turn an invite's code into a token",
	},
	{
		method: "POST", path: "/v1/setup", access: open, limited: true, body: take((*API).setup),
		refuses: redeemRefuses, summary: "Become administrator with the code of the setup link",
		detail: "Sets a session cookie. With `bearer` the token is in the answer too.",
	},

	{
		method: "GET", path: "/v1/session", access: anyone, body: give((*API).getSession),
		summary: "Who am I",
	},
	{
		method: "POST", path: "/v1/logout", access: anyone, body: act((*API).logout),
		refuses: []int{http.StatusConflict}, summary: "End this session",
		detail: "Revokes the token the request carries and clears the cookie.",
	},
	{
		method: "POST", path: "/v1/tokens", access: admin, body: take((*API).createToken), status: http.StatusCreated,
		summary: "Make a token for a device or an administrator",
	},
	{
		method: "POST", path: "/v1/tokens/renew", access: signedIn, body: give((*API).renewToken), status: http.StatusCreated,
		summary: "Exchange a token of this box for a fresh one",
		detail:  "Same subject, rooms and rights. A browser session gets a fresh cookie as well.",
	},
	{
		method: "POST", path: "/v1/tokens/turn", access: admin, body: take((*API).createTURN), status: http.StatusCreated,
		summary: "Make time-limited credentials for the relay",
	},
	{
		method: "POST", path: "/v1/revocations", access: admin, body: takeOnly((*API).revoke),
		refuses: []int{http.StatusConflict}, summary: "Revoke a token, or all tokens of a subject issued until now",
	},

	{
		method: "GET", path: "/v1/relay/allocations", access: admin, body: give((*API).listAllocations), query: allocationQuery,
		summary: "Allocations of the relay, the oldest first",
	},
	{
		method: "DELETE", path: "/v1/relay/allocations/{id}", access: admin, body: act((*API).endAllocation),
		summary: "End an allocation",
		detail:  "Its call ends or finds another way. The client may make a new one while its credential is good; revoke the subject to prevent that.",
	},
	{
		method: "GET", path: "/v1/relay/users", access: admin, body: give((*API).listRelayUsers),
		summary: "What each user has of the relay now",
	},
	{
		method: "DELETE", path: "/v1/relay/users/{user}/allocations", access: admin, body: give((*API).endAllocationsOfUser),
		summary: "End every allocation of a user",
	},
	{
		method: "POST", path: "/v1/relay/drain", access: admin, body: take((*API).drainRelay),
		summary: "Make no new allocations, or make them again",
		detail:  "What is allocated goes on and may be refreshed. With `stop` the box stops, with exit code 0, when the last allocation has ended.",
	},

	{
		method: "POST", path: "/v1/backup", access: control, body: take((*API).backup), status: http.StatusCreated,
		refuses: []int{http.StatusConflict}, summary: "Copy the store to a file on the box", detail: "On the control socket only.",
	},

	{
		method: "GET", path: "/healthz", access: open, body: write((*API).getHealth, "application/json", "text/plain"),
		summary: "The process answers",
	},
	{
		method: "GET", path: "/readyz", access: open, body: write((*API).getReady, "application/json", "text/plain"),
		refuses: []int{http.StatusServiceUnavailable}, summary: "Health of every part",
		detail: "503 when a part the box cannot live without is down; then too the body is a Health.",
	},
	{
		method: "GET", path: "/metrics", access: open, body: write((*API).getMetrics, "text/plain"),
		summary: "Counters for Prometheus",
	},
	{
		method: "GET", path: "/.well-known/signalbox", access: open, body: give((*API).getWellKnown),
		summary: "What a client needs to start",
	},
}

var redeemRefuses = []int{http.StatusNotFound, http.StatusGone}
