package dashboard

import (
	"net/http"

	"signalbox/internal/jsonapi"
)

// routes is the table: the one truth about what a cloud node answers.
var routes = []route{
	{
		Method: "GET", Path: "/v1/session", Access: anyone, Body: jsonapi.Give((*Dashboard).getSession), Summary: "Who am I",
	},
	{
		Method: "POST", Path: "/v1/signin", Access: open, Limited: true, Body: jsonapi.Take((*Dashboard).signIn), Refuses: unauthorized,
		Summary: "Sign in with a name and a password", Detail: "Sets the session's cookie.",
	},
	{
		Method: "POST", Path: "/v1/signin/link", Access: open, Limited: true, Body: jsonapi.Take((*Dashboard).signInByLink),
		Refuses: []int{http.StatusNotFound, http.StatusConflict}, Summary: "Use a one-time link and choose a password", Detail: "Sets the session's cookie.",
	},
	{
		Method: "GET", Path: "/v1/signin/oidc", Access: open, Limited: true, Status: http.StatusFound, Body: jsonapi.Write((*Dashboard).startOIDC),
		Refuses: []int{http.StatusUnauthorized, http.StatusNotFound, http.StatusServiceUnavailable}, Summary: "Go to the sign-in provider",
	},
	{
		Method: "GET", Path: "/v1/signin/oidc/done", Access: open, Limited: true, Status: http.StatusFound, Body: jsonapi.Write((*Dashboard).finishOIDC),
		Refuses: []int{http.StatusBadRequest, http.StatusUnauthorized, http.StatusNotFound, http.StatusConflict, http.StatusServiceUnavailable},
		Summary: "Come back from the sign-in provider", Detail: "Sets the session's cookie and leads to the first page.",
	},
	{
		Method: "POST", Path: "/v1/signout", Access: anyone, Body: jsonapi.Act((*Dashboard).signOut), Summary: "End this session",
	},

	{
		Method: "GET", Path: "/v1/overview", Access: viewer, Body: jsonapi.Write((*Dashboard).getOverview).Of(Overview{}), Summary: "All sites, the worst first",
	},
	{
		Method: "GET", Path: "/v1/events", Access: viewer, Body: jsonapi.Write((*Dashboard).streamEvents, "text/event-stream"),
		Summary: "All sites, as they change",
		Detail: "Server-sent events. `event: overview` carries an Overview, `event: change` a Change, at most twice a second. " +
			"The id of an event is a position of the stream that all nodes read: with Last-Event-ID any node goes on from there, or gives the whole. " +
			"A comment comes every 15 s. The stream ends with the session.",
	},

	{
		Method: "POST", Path: "/v1/sites", Access: administrator, Status: http.StatusCreated, Body: jsonapi.Take((*Dashboard).addSite),
		Refuses: []int{http.StatusConflict}, Summary: "Make a site, and the command that joins its first box",
	},
	{
		Method: "GET", Path: "/v1/sites/{site}", Access: viewer, Body: jsonapi.Give((*Dashboard).getSite), Summary: "One site with its events, rooms and commands",
	},
	{
		Method: "PATCH", Path: "/v1/sites/{site}", Access: administrator, Body: jsonapi.TakeOnly((*Dashboard).patchSite),
		Refuses: []int{http.StatusConflict}, Summary: "Change what a site is called",
	},
	{
		Method: "DELETE", Path: "/v1/sites/{site}", Access: administrator, Body: jsonapi.Act((*Dashboard).removeSite),
		Refuses: []int{http.StatusConflict}, Summary: "Remove a site; all its boxes are revoked",
	},
	{
		Method: "POST", Path: "/v1/sites/{site}/tokens", Access: administrator, Status: http.StatusCreated, Body: jsonapi.Take((*Dashboard).addToken),
		Refuses: []int{http.StatusConflict}, Summary: "Make a command that joins one more box",
	},
	{
		Method: "GET", Path: "/v1/sites/{site}/series", Access: viewer, Body: jsonapi.Give((*Dashboard).getSeries), Query: seriesQuery,
		Summary: "Metrics of a site over time",
	},
	{
		Method: "GET", Path: "/v1/sites/{site}/quality", Access: viewer, Body: jsonapi.Give((*Dashboard).getQuality), Query: qualityQuery,
		Summary: "How long joining, connecting and a round trip took",
	},
	{
		Method: "GET", Path: "/v1/sites/{site}/live", Access: viewer, Body: jsonapi.Write((*Dashboard).streamLive, "text/event-stream"),
		Summary: "Values of this second", Detail: "Server-sent events: `event: live` carries LiveValues of one box, about once a second while it is connected.",
	},
	{
		Method: "PUT", Path: "/v1/sites/{site}/policy", Access: operator, Body: jsonapi.TakeOnly((*Dashboard).putSitePolicy),
		Refuses: []int{http.StatusConflict}, Summary: "Say what every box of a site should do",
	},
	{
		Method: "PUT", Path: "/v1/sites/{site}/boxes/{box}/policy", Access: operator, Body: jsonapi.TakeOnly((*Dashboard).putBoxPolicy),
		Refuses: []int{http.StatusConflict}, Summary: "Say what one box should do", Detail: "Its keys win over those of the site.",
	},
	{
		Method: "POST", Path: "/v1/sites/{site}/boxes/{box}/commands", Access: operator, Status: http.StatusCreated, Body: jsonapi.Take((*Dashboard).sendCommand),
		Refuses: []int{http.StatusConflict}, Summary: "Have a box do something once",
		Detail: "name is backup, end-allocation, drain, no-drain or restart. It is not done after its time is over; what came of it is in the site's commands.",
	},
	{
		Method: "POST", Path: "/v1/sites/{site}/boxes/{box}/revoke", Access: administrator, Body: jsonapi.TakeOnly((*Dashboard).revokeBox),
		Refuses: []int{http.StatusConflict}, Summary: "Cut a box off", Detail: "Within two seconds at every node. It cannot come back with the identity it has.",
	},

	{
		Method: "GET", Path: "/v1/problems", Access: viewer, Body: jsonapi.Give((*Dashboard).listProblems), Summary: "Open problems, the worst and then the oldest first",
	},
	{
		Method: "PUT", Path: "/v1/problems/{id}/ack", Access: operator, Body: jsonapi.Take((*Dashboard).putAck), Summary: "Say that a problem is known",
		Detail: "It ends with the problem.",
	},
	{
		Method: "DELETE", Path: "/v1/problems/{id}/ack", Access: operator, Body: jsonapi.Act((*Dashboard).removeAck), Summary: "Take that back",
	},

	{
		Method: "GET", Path: "/v1/people", Access: administrator, Body: jsonapi.Give((*Dashboard).listPeople), Summary: "Everybody who may sign in",
	},
	{
		Method: "POST", Path: "/v1/people", Access: administrator, Status: http.StatusCreated, Body: jsonapi.Take((*Dashboard).addPerson),
		Refuses: []int{http.StatusConflict}, Summary: "Make a one-time link for somebody", Detail: "For a person who is known it is a way to a new password.",
	},
	{
		Method: "PATCH", Path: "/v1/people/{name}", Access: administrator, Body: jsonapi.TakeOnly((*Dashboard).patchPerson),
		Refuses: []int{http.StatusConflict}, Summary: "Give somebody another role",
	},
	{
		Method: "DELETE", Path: "/v1/people/{name}", Access: administrator, Body: jsonapi.Act((*Dashboard).removePerson),
		Refuses: []int{http.StatusConflict}, Summary: "Take somebody's access away",
	},
	{
		Method: "GET", Path: "/v1/keys", Access: administrator, Body: jsonapi.Give((*Dashboard).listKeys), Summary: "API keys, without their secrets",
	},
	{
		Method: "POST", Path: "/v1/keys", Access: administrator, Status: http.StatusCreated, Body: jsonapi.Take((*Dashboard).addKey),
		Refuses: []int{http.StatusConflict}, Summary: "Make an API key for a program",
	},
	{
		Method: "DELETE", Path: "/v1/keys/{id}", Access: administrator, Body: jsonapi.Act((*Dashboard).removeKey), Summary: "End an API key",
	},
	{
		Method: "GET", Path: "/v1/audit", Access: viewer, Body: jsonapi.Give((*Dashboard).listAudit), Query: auditQuery, Summary: "Who did what, the newest first",
	},

	{
		Method: "GET", Path: "/v1/webhooks", Access: administrator, Body: jsonapi.Give((*Dashboard).listWebhooks), Summary: "Where problems are told",
	},
	{
		Method: "POST", Path: "/v1/webhooks", Access: administrator, Status: http.StatusCreated, Body: jsonapi.Take((*Dashboard).addWebhook),
		Refuses: []int{http.StatusConflict}, Summary: "Have problems told to a URL",
		Detail: "Deliveries are POST requests whose body is a HookCall, tried again until they are answered with 2xx. " +
			"Delivery is at least once: what was answered may come again when the answer was lost or another node took over. " +
			"The header Signalbox-Delivery is the call's id, the same when a call is repeated as it was; one that is tried again may have " +
			"events that began meanwhile, and another id. So a receiver that must not act twice keeps the ids of events: each is the same in every repetition. " +
			"The header Signalbox-Signature is t=UNIX,v1=HEX: HMAC-SHA256, keyed with the secret, of the time, a dot, and the body.",
	},
	{
		Method: "DELETE", Path: "/v1/webhooks/{id}", Access: administrator, Body: jsonapi.Act((*Dashboard).removeWebhook), Summary: "Tell a URL no more",
	},
	{
		Method: "POST", Path: "/v1/webhooks/{id}/test", Access: administrator, Body: jsonapi.Take((*Dashboard).testWebhook), Summary: "Deliver a trial",
	},

	{
		Method: "GET", Path: "/v1/openapi.json", Access: open, Body: jsonapi.Write((*Dashboard).getOpenAPI, "application/json"), Summary: "This document",
	},
	{
		Method: "GET", Path: "/healthz", Access: open, Body: jsonapi.Write((*Dashboard).getHealth, "application/json", "text/plain"), Summary: "The process answers",
	},
	{
		Method: "GET", Path: "/readyz", Access: open, Body: jsonapi.Write((*Dashboard).getReady, "application/json", "text/plain"),
		Refuses: []int{http.StatusServiceUnavailable}, Summary: "Health of every part", Detail: "503 when a part that the node cannot do without is down; then too the body is a NodeHealth.",
	},
	{
		Method: "GET", Path: "/metrics", Access: viewer, Body: jsonapi.Write((*Dashboard).getMetrics, "text/plain"),
		Summary: "Counters for Prometheus, of the node and of every box", Detail: "Prometheus sends an API key as its bearer token.",
	},
}

var unauthorized = []int{http.StatusUnauthorized}
