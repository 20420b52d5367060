package api

import (
	"net/http"

	"signalbox/internal/jsonapi"
)

// routes is the table: the one truth about what the box answers.
var routes = []route{
	{
		Method: "GET", Path: "/v1/status", Access: anyone, Body: jsonapi.Give((*API).getStatus).Of(Status{}, Summary{}),
		Summary: "State of the box",
		Detail:  "Everything for an administrator; for others the summary only.",
	},
	{
		Method: "GET", Path: "/v1/events", Access: admin, Body: jsonapi.Write((*API).streamEvents, "text/event-stream"),
		Summary: "State of the box, as it changes",
		Detail: "Server-sent events. `event: status` carries a Status as its data: one at once, then one at most twice a second when " +
			"something has changed. A comment comes every 15 s. The stream ends when the caller's identity does.",
	},
	{
		Method: "GET", Path: "/v1/openapi.json", Access: open, Body: jsonapi.Write((*API).getOpenAPI, "application/json"),
		Summary: "This document",
	},

	{
		Method: "GET", Path: "/v1/rooms", Access: admin, Body: jsonapi.Give((*API).listRooms), Query: roomQuery,
		Summary: "Rooms in the order of their names",
	},
	{
		Method: "POST", Path: "/v1/rooms", Access: admin, Body: jsonapi.Take((*API).createRoom), Status: http.StatusCreated,
		Refuses: []int{http.StatusConflict}, Summary: "Make a room",
	},
	{
		Method: "GET", Path: "/v1/rooms/{name}", Access: manager, Body: jsonapi.Give((*API).getRoom),
		Summary: "One room with its members", Detail: "The ETag is the room's version.",
	},
	{
		Method: "PATCH", Path: "/v1/rooms/{name}", Access: admin, Body: jsonapi.Take((*API).patchRoom), IfMatch: true,
		Refuses: []int{http.StatusConflict}, Summary: "Change the fields of a room that are there",
	},
	{
		Method: "DELETE", Path: "/v1/rooms/{name}", Access: admin, Body: jsonapi.Act((*API).deleteRoom),
		Summary: "Delete a room; its members are removed",
	},
	{
		Method: "GET", Path: "/v1/rooms/{name}/members", Access: manager, Body: jsonapi.Give((*API).listMembers),
		Summary: "Who is in a room",
	},
	{
		Method: "DELETE", Path: "/v1/rooms/{name}/members/{member}", Access: manager, Body: jsonapi.Act((*API).kickMember),
		Summary: "Remove a member from a room",
	},
	{
		Method: "PUT", Path: "/v1/rooms/{name}/metadata/{key}", Access: manager, Body: jsonapi.Take((*API).putMetadata), IfMatch: true,
		Refuses: []int{http.StatusConflict}, Summary: "Set an entry of a room's metadata",
		Detail: `With If-Match a compare-and-set; "0" means that the entry must not exist yet.`,
	},
	{
		Method: "DELETE", Path: "/v1/rooms/{name}/metadata/{key}", Access: manager, Body: jsonapi.Act((*API).deleteMetadata), IfMatch: true,
		Summary: "Remove an entry of a room's metadata",
	},

	{
		Method: "GET", Path: "/v1/invites", Access: admin, Body: jsonapi.Give((*API).listInvites),
		Summary: "Outstanding invites",
	},
	{
		Method: "POST", Path: "/v1/invites", Access: admin, Body: jsonapi.Take((*API).createInvite), Status: http.StatusCreated,
		Refuses: []int{http.StatusConflict}, Summary: "Make an invite with its link and QR code",
	},
	{
		Method: "DELETE", Path: "/v1/invites/{id}", Access: admin, Body: jsonapi.Act((*API).deleteInvite),
		Summary: "Take an invite back",
	},
	{
		Method: "POST", Path: "/v1/invites/redeem", Access: open, Limited: true, Body: jsonapi.Take((*API).redeemInvite),
		Refuses: redeemRefuses, Summary: "Turn an invite's code into a token",
	},
	{
		Method: "POST", Path: "/v1/setup", Access: open, Limited: true, Body: jsonapi.Take((*API).setup),
		Refuses: redeemRefuses, Summary: "Become administrator with the code of the setup link",
		Detail: "Sets a session cookie. With `bearer` the token is in the answer too.",
	},

	{
		Method: "GET", Path: "/v1/session", Access: anyone, Body: jsonapi.Give((*API).getSession),
		Summary: "Who am I",
	},
	{
		Method: "POST", Path: "/v1/logout", Access: anyone, Body: jsonapi.Act((*API).logout),
		Refuses: []int{http.StatusConflict}, Summary: "End this session",
		Detail: "Revokes the token the request carries and clears the cookie.",
	},
	{
		Method: "POST", Path: "/v1/tokens", Access: admin, Body: jsonapi.Take((*API).createToken), Status: http.StatusCreated,
		Summary: "Make a token for a device or an administrator",
	},
	{
		Method: "POST", Path: "/v1/tokens/renew", Access: signedIn, Body: jsonapi.Give((*API).renewToken), Status: http.StatusCreated,
		Summary: "Exchange a token of this box for a fresh one",
		Detail:  "Same subject, rooms and rights. A browser session gets a fresh cookie as well.",
	},
	{
		Method: "POST", Path: "/v1/tokens/turn", Access: admin, Body: jsonapi.Take((*API).createTURN), Status: http.StatusCreated,
		Summary: "Make time-limited credentials for the relay",
	},
	{
		Method: "POST", Path: "/v1/relay/rotate", Access: admin, Body: jsonapi.Take((*API).rotateRelay),
		Refuses: []int{http.StatusConflict}, Summary: "Change the secret of the relay's credentials",
		Detail: "Credentials made so far work until the overlap ends. Calls that run by then go on.",
	},
	{
		Method: "POST", Path: "/v1/revocations", Access: admin, Body: jsonapi.TakeOnly((*API).revoke),
		Refuses: []int{http.StatusConflict, http.StatusNotFound}, Summary: "Revoke a token, or all tokens of a subject issued until now; or lift that",
	},

	{
		Method: "GET", Path: "/v1/relay/allocations", Access: admin, Body: jsonapi.Give((*API).listAllocations), Query: allocationQuery,
		Summary: "Allocations of the relay, the oldest first",
	},
	{
		Method: "DELETE", Path: "/v1/relay/allocations/{id}", Access: admin, Body: jsonapi.Act((*API).endAllocation),
		Summary: "End an allocation",
		Detail:  "Its call ends or finds another way. The client may make a new one while its credential is good; revoke the subject to prevent that.",
	},
	{
		Method: "GET", Path: "/v1/relay/users", Access: admin, Body: jsonapi.Give((*API).listRelayUsers),
		Summary: "What each user has of the relay now",
	},
	{
		Method: "DELETE", Path: "/v1/relay/users/{user}/allocations", Access: admin, Body: jsonapi.Give((*API).endAllocationsOfUser),
		Summary: "End every allocation of a user",
	},
	{
		Method: "POST", Path: "/v1/relay/drain", Access: admin, Body: jsonapi.Take((*API).drainRelay),
		Summary: "Make no new allocations, or make them again",
		Detail:  "What is allocated goes on and may be refreshed. With `stop` the box stops, with exit code 0, when the last allocation has ended.",
	},

	{
		Method: "GET", Path: "/v1/backup", Access: admin, Body: jsonapi.Write((*API).getBackup, "application/octet-stream"),
		Refuses: []int{http.StatusServiceUnavailable}, Summary: "Copy of the box's state",
		Detail: "The file that `signalbox restore` takes. It holds the box's keys. Fewer bytes than Content-Length are no backup.",
	},

	{
		Method: "GET", Path: "/healthz", Access: open, Body: jsonapi.Write((*API).getHealth, "application/json", "text/plain"),
		Summary: "The process answers",
	},
	{
		Method: "GET", Path: "/readyz", Access: open, Body: jsonapi.Write((*API).getReady, "application/json", "text/plain"),
		Refuses: []int{http.StatusServiceUnavailable}, Summary: "Health of every part",
		Detail: "503 when a part the box cannot live without is down; then too the body is a Health.",
	},
	{
		Method: "GET", Path: "/metrics", Access: open, Body: jsonapi.Write((*API).getMetrics, "text/plain"),
		Refuses: []int{http.StatusServiceUnavailable}, Summary: "Counters for Prometheus",
		Detail: "503 while four others are reading them.",
	},
	{
		Method: "GET", Path: "/.well-known/signalbox", Access: open, Body: jsonapi.Give((*API).getWellKnown),
		Summary: "What a client needs to start",
	},
}

var redeemRefuses = []int{http.StatusNotFound, http.StatusGone}
