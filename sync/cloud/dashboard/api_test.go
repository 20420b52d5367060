package dashboard_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/people"
	"signalbox/sync/wire"
)

func TestSignInAndOut(t *testing.T) {
	t.Parallel()
	n := start(t, newBroker(t), newTown())
	if s := want[dashboard.Session](n.do("GET", "/v1/session"), http.StatusOK); s.SignedIn || !s.SetupNeeded || s.Version != "1.2.3" || s.Node != "n1" {
		t.Errorf("session of nobody = %+v", s)
	}
	code, err := n.people.FirstLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.do("POST", "/v1/signin/link", body(`{"code":%q,"name":"anna","password":"short"}`, code)).refused(http.StatusBadRequest, "bad_request", "password")
	in := n.do("POST", "/v1/signin/link", body(`{"code":%q,"name":"anna","password":%q}`, code, goodPassword))
	if s := want[dashboard.Session](in, http.StatusOK); !s.SignedIn || s.Role != people.Administrator || s.SetupNeeded {
		t.Errorf("signed in by link = %+v", s)
	}
	n.do("POST", "/v1/signin/link", body(`{"code":%q,"name":"eve","password":%q}`, code, goodPassword)).refused(http.StatusNotFound, "not_found", "ask for a new one")
	n.do("POST", "/v1/signin", body(`{"name":"anna","password":"wrong wrong wrong"}`)).refused(http.StatusUnauthorized, "unauthorized", "not right")
	in = n.do("POST", "/v1/signin", body(`{"name":"anna","password":%q}`, goodPassword))
	set := in.header.Get("Set-Cookie")
	if !strings.HasPrefix(set, "signalbox-cloud=") || !strings.Contains(set, "HttpOnly") || !strings.Contains(set, "SameSite=Strict") {
		t.Errorf("cookie %q", set)
	}
	cookie := header("Cookie", strings.SplitN(set, ";", 2)[0])
	if s := want[dashboard.Session](n.do("GET", "/v1/session", cookie), http.StatusOK); s.Name != "anna" || s.Via != people.ViaPassword {
		t.Errorf("session = %+v", s)
	}
	n.do("GET", "/v1/people", cookie)
	n.do("POST", "/v1/sites", cookie, header("Sec-Fetch-Site", "cross-site"), body(`{"site":"x"}`)).refused(http.StatusForbidden, "cross_origin", "another site")
	n.do("POST", "/v1/signout", cookie).refused(http.StatusUnsupportedMediaType, "unsupported_media_type", "application/json")
	n.do("POST", "/v1/signout", cookie, header("Content-Type", "application/json")).empty()
	n.do("GET", "/v1/overview", cookie).refused(http.StatusUnauthorized, "unauthorized", "sign in again")
	if s := want[dashboard.Session](n.do("GET", "/v1/session", cookie), http.StatusOK); s.SignedIn {
		t.Errorf("after sign-out = %+v", s)
	}
	n.do("GET", "/v1/session", bearer("sbk-nonsense")).refused(http.StatusUnauthorized, "unauthorized", "not known")
	n.do("GET", "/v1/overview", header("Authorization", "Basic YTpi")).refused(http.StatusUnauthorized, "unauthorized", "Bearer")
	if s := want[dashboard.Session](n.local("GET", "/v1/session"), http.StatusOK); s.Role != people.Administrator || s.Via != people.ViaLocal {
		t.Errorf("on the control socket = %+v", s)
	}
}

func TestCookieOnHTTPS(t *testing.T) {
	t.Parallel()
	n := start(t, newBroker(t), newTown(), func(c *dashboard.Config) { c.Secure = func(*http.Request) bool { return true } })
	code, _ := n.people.FirstLink(t.Context())
	set := n.do("POST", "/v1/signin/link", body(`{"code":%q,"name":"anna","password":%q}`, code, goodPassword)).header.Get("Set-Cookie")
	if !strings.HasPrefix(set, "__Host-signalbox-cloud=") || !strings.Contains(set, "Secure") || !strings.Contains(set, "Path=/;") {
		t.Errorf("cookie %q", set)
	}
}

// TestAccess asks every route as everybody.
func TestAccess(t *testing.T) {
	t.Parallel()
	town := newTown()
	town.addBox("plant", "b1")
	n := start(t, newBroker(t), town)
	viewer, operator, administrator := n.keys()
	fill := strings.NewReplacer("{site}", "nowhere", "{box}", "b1", "{id}", "nothing", "{name}", "nobody")
	rank := map[string]int{"anyone": 0, "viewer": 1, "operator": 2, "administrator": 3}
	for _, rt := range dashboard.Routes() {
		for have, key := range map[string]string{"anyone": "", "viewer": viewer, "operator": operator, "administrator": administrator} {
			opts := []option{}
			if key != "" {
				opts = append(opts, bearer(key))
			}
			if strings.HasSuffix(rt.Path, "/events") {
				if have != "anyone" {
					continue // a stream that would go on; TestEvents has it
				}
			}
			if rt.Method == "POST" || rt.Method == "PUT" || rt.Method == "PATCH" {
				opts = append(opts, body(`{"nonsense":1}`))
			}
			if rt.Path == "/v1/signout" && key != "" {
				continue // it would end nothing, but answers 204
			}
			got := n.do(rt.Method, fill.Replace(rt.Path), opts...)
			refused := got.status == http.StatusForbidden || got.status == http.StatusUnauthorized && rank[rt.Role] > 0
			if may := rank[have] >= rank[rt.Role]; may == refused {
				t.Errorf("%s %s as %s: status %d, and it needs %s", rt.Method, rt.Path, have, got.status, rt.Role)
			}
		}
	}
}

func TestSites(t *testing.T) {
	t.Parallel()
	town := newTown()
	n := start(t, newBroker(t), town, func(c *dashboard.Config) { c.URL = "https://cloud.example:8453" })
	viewer, operator, administrator := n.keys()
	admin := bearer(administrator)
	n.do("POST", "/v1/sites", admin, body(`{"site":"Plant 7"}`)).refused(http.StatusBadRequest, "bad_request", "a-z")
	n.do("POST", "/v1/sites", admin, body(`{"site":"plant-7","title":"a\u0000b"}`)).refused(http.StatusBadRequest, "bad_request", "printable")
	made := want[dashboard.SiteMade](n.do("POST", "/v1/sites", admin, body(`{"site":"plant-7","title":"Plant 7"}`)), http.StatusCreated)
	if !strings.HasPrefix(made.Command, "signalbox join https://cloud.example:8453 --token ") || made.Expires.Before(time.Now()) {
		t.Errorf("made %+v", made)
	}
	n.do("POST", "/v1/sites", admin, body(`{"site":"plant-7"}`)).refused(http.StatusConflict, "taken", "already")
	want[dashboard.SiteMade](n.do("POST", "/v1/sites/plant-7/tokens", admin, body(`{}`)), http.StatusCreated)
	n.until("the site is on the board", func() bool {
		o := want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK)
		return len(o.Sites) == 1 && o.Sites[0].Health == dashboard.Waiting && o.Sites[0].Title == "Plant 7"
	})
	id := town.addBox("plant-7", "b1")
	n.until("the box is on the board", func() bool {
		o := want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK)
		return len(o.Sites) == 1 && o.Sites[0].Health == dashboard.Green && o.Totals.Online == 1 && o.Sites[0].Sessions == 12 &&
			o.Totals.Counters["relay.bytes_to_peers"] == 1<<40 && o.Sites[0].Devices == 20
	})
	page := want[dashboard.SitePage](n.do("GET", "/v1/sites/plant-7", bearer(viewer)), http.StatusOK)
	if len(page.Rooms) != 1 || len(page.Events) != 2 || page.Totals["sessions.opened"] != 100 || len(page.Row.Strip.Cells) != 288 {
		t.Errorf("page %+v", page)
	}
	n.do("GET", "/v1/sites/nowhere", bearer(viewer)).refused(http.StatusNotFound, "site_not_found", "nowhere")
	n.do("PATCH", "/v1/sites/plant-7", admin, body(`{"title":"Plant seven"}`)).empty()

	n.do("PUT", "/v1/sites/plant-7/policy", bearer(operator), body(`{"policy":{"level":"loud"}}`)).refused(http.StatusBadRequest, "bad_request", "minimal")
	n.do("PUT", "/v1/sites/plant-7/policy", bearer(operator), body(`{"policy":{"colour":"red"}}`)).refused(http.StatusBadRequest, "bad_request", `"colour"`)
	n.do("PUT", "/v1/sites/plant-7/policy", bearer(operator), body(`{"policy":{"frame_every":5}}`)).refused(http.StatusBadRequest, "bad_request", "60 to 300")
	nudged, err := n.conn(t).SubscribeSync(id.NudgeSubject())
	if err != nil {
		t.Fatal(err)
	}
	n.do("PUT", "/v1/sites/plant-7/policy", bearer(operator), body(`{"policy":{"level":"named","relay_drain":true}}`)).empty()
	if m, err := nudged.NextMsg(5 * time.Second); err != nil || string(m.Data) != `{"ask":true}` {
		t.Errorf("nudge %v, %v", m, err)
	}
	n.do("PUT", "/v1/sites/plant-7/boxes/b1/policy", bearer(operator), body(`{"policy":{"log_level":"debug"}}`)).empty()
	if p := want[dashboard.SitePage](n.do("GET", "/v1/sites/plant-7", bearer(viewer)), http.StatusOK).Policy; p.Site.Level != "named" || p.Boxes["b1"].LogLevel != "debug" {
		t.Errorf("policy %+v", p)
	}

	commands := "/v1/sites/plant-7/boxes/b1/commands"
	n.do("POST", commands, bearer(operator), body(`{"name":"format-disk"}`)).refused(http.StatusBadRequest, "bad_request", "backup")
	n.do("POST", commands, bearer(operator), body(`{"name":"backup","ttl_s":5}`)).refused(http.StatusBadRequest, "bad_request", "ttl_s")
	n.do("POST", commands, bearer(operator), body(`{"name":"backup","args":"x"}`)).refused(http.StatusBadRequest, "bad_request", "object")
	n.do("POST", strings.Replace(commands, "b1", "b9", 1), bearer(operator), body(`{"name":"backup"}`)).refused(http.StatusNotFound, "box_not_found", "b9")
	if c := want[dashboard.CommandMade](n.do("POST", commands, bearer(operator), body(`{"name":"backup","ttl_s":600}`)), http.StatusCreated); time.Until(c.Expires) > 10*time.Minute {
		t.Errorf("command %+v", c)
	}

	n.do("POST", "/v1/sites/plant-7/boxes/b1/revoke", bearer(operator), body(`{}`)).refused(http.StatusForbidden, "forbidden", "administrator")
	n.do("POST", "/v1/sites/plant-7/boxes/b1/revoke", admin, body(`{}`)).empty()
	n.do("POST", commands, bearer(operator), body(`{"name":"backup"}`)).refused(http.StatusConflict, "revoked", "b1")
	n.do("DELETE", "/v1/sites/plant-7", admin).empty()
	n.until("the site is gone", func() bool {
		return len(want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK).Sites) == 0
	})
	log := want[dashboard.AuditList](n.do("GET", "/v1/audit?limit=100", bearer(viewer)), http.StatusOK).Entries
	for _, action := range []string{"site-added", "token-made", "site-title", "policy-set", "command-sent", "box-revoked", "site-removed"} {
		i := slices.IndexFunc(log, func(e people.Entry) bool { return e.Action == action })
		if i < 0 || log[i].By == "" || log[i].From != "127.0.0.1" || log[i].Target == "" {
			t.Errorf("audit log has %s at %d of %+v", action, i, log)
		}
	}
	if len(log) > 1 {
		older := want[dashboard.AuditList](n.do("GET", "/v1/audit?limit=1&before="+itoa(log[0].Seq), bearer(viewer)), http.StatusOK).Entries
		if len(older) != 1 || older[0].Seq != log[1].Seq {
			t.Errorf("before %d: %+v", log[0].Seq, older)
		}
	}
	n.do("GET", "/v1/audit?limit=0", bearer(viewer)).refused(http.StatusBadRequest, "bad_request", "limit")
}

func TestSeriesAndQuality(t *testing.T) {
	t.Parallel()
	town := newTown()
	town.addBox("plant", "b1")
	town.addBox("plant", "b2")
	// The axis ends with the step that runs now: that has to last to the last answer.
	if left := time.Until(time.Now().Truncate(5 * time.Minute).Add(5 * time.Minute)); left < 20*time.Second {
		time.Sleep(left)
	}
	now := time.Now()
	step := now.Truncate(5 * time.Minute)
	town.points[wire.SessionsOnline] = []dashboard.Value{{Start: step.Add(-10 * time.Minute), Value: 4}, {Start: step, Value: 6}}
	town.points[wire.BoxCPUPermille] = []dashboard.Value{{Start: step, Value: 300}}
	town.hours[wire.SessionsOpened] = []dashboard.Value{{Start: now.Truncate(24 * time.Hour), Value: 5}, {Start: now.Truncate(24 * time.Hour).Add(-25 * time.Hour), Value: 7}}
	n := start(t, newBroker(t), town)
	viewer, _, _ := n.keys()
	n.until("the boxes are on the board", func() bool {
		return len(want[dashboard.SitePage](n.do("GET", "/v1/sites/plant", bearer(viewer)), http.StatusOK).Row.Boxes) == 2
	})
	day := want[dashboard.Series](n.do("GET", "/v1/sites/plant/series?metrics=sessions.online,box.cpu_permille&span=24h", bearer(viewer)), http.StatusOK)
	sessions, cpu := day.Lines[0].Values, day.Lines[1].Values
	if len(day.Times) != 288 || *sessions[287] != 12 || sessions[286] != nil || *sessions[285] != 8 || *cpu[287] != 300 {
		t.Errorf("a day: %d times, sessions %v, cpu %v", len(day.Times), sessions[280:], cpu[280:])
	}
	one := want[dashboard.Series](n.do("GET", "/v1/sites/plant/series?metrics=sessions.online&box=b1", bearer(viewer)), http.StatusOK)
	if *one.Lines[0].Values[287] != 6 {
		t.Errorf("one box: %v", *one.Lines[0].Values[287])
	}
	long := want[dashboard.Series](n.do("GET", "/v1/sites/plant/series?metrics=sessions.opened&span=2y", bearer(viewer)), http.StatusOK)
	if v := long.Lines[0].Values; long.StepSeconds != 86400 || len(v) != 730 || *v[729] != 10 || *v[727] != 14 || v[728] != nil {
		t.Errorf("two years: %+v", long.Lines[0].Values[720:])
	}
	for query, text := range map[string]string{
		"metrics=sessions.opened": "kept by the hour", "metrics=nonsense": "nonsense", "metrics=": "1 to 12", "metrics=quality.rtt_ms&span=7d": "no counter",
		"metrics=rooms.open&span=1h": "24h", "metric=rooms.open": "no parameter",
	} {
		n.do("GET", "/v1/sites/plant/series?"+query, bearer(viewer)).refused(http.StatusBadRequest, "bad_request", text)
	}
	n.do("GET", "/v1/sites/plant/series?metrics=rooms.open&box=b9", bearer(viewer)).refused(http.StatusNotFound, "box_not_found", "b9")
	q := want[dashboard.QualityList](n.do("GET", "/v1/sites/plant/quality?hours=48", bearer(viewer)), http.StatusOK).Quality
	if len(q) != 3 || q[0].Metric != "quality.join_ms" || q[0].P99 != 90 {
		t.Errorf("quality %+v", q)
	}
}

func TestProblemsAndAcks(t *testing.T) {
	t.Parallel()
	b, town := newBroker(t), newTown()
	id := town.addBox("plant", "b1")
	bad := healthy(id, time.Now().UTC())
	bad.Backup = time.Now().Add(-5 * 24 * time.Hour)
	bad.Alerts = []dashboard.Alert{{Kind: "disk", Text: "The box's disk is nearly full.", Grave: true, Since: time.Now().Add(-time.Minute)}}
	town.tell(bad)
	n := start(t, b, town)
	viewer, operator, _ := n.keys()
	list := want[dashboard.Problems](n.do("GET", "/v1/problems", bearer(viewer)), http.StatusOK).Problems
	if len(list) != 2 || list[0].ID != "plant.b1.alert-disk" || list[1].Kind != "backup" || list[0].Title != "Plant plant" {
		t.Fatalf("problems %+v", list)
	}
	n.do("PUT", "/v1/problems/plant.b1.alert-disk/ack", bearer(viewer), body(`{}`)).refused(http.StatusForbidden, "forbidden", "operator")
	n.do("PUT", "/v1/problems/plant.b1.gone/ack", bearer(operator), body(`{}`)).refused(http.StatusNotFound, "problem_not_found", "gone")
	want[dashboard.Ack](n.do("PUT", "/v1/problems/plant.b1.alert-disk/ack", bearer(operator), body(`{"note":"Bert is on it"}`)), http.StatusOK)
	want[dashboard.Ack](n.do("PUT", "/v1/problems/plant.b1.backup/ack", bearer(operator), body(`{}`)), http.StatusOK)
	acked := func(n *node) bool {
		o := want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK)
		return o.Problems == 0 && o.Sites[0].Acked && o.Sites[0].Why[0].Acked.Note == "Bert is on it" && o.Sites[0].Why[0].Acked.By == "operator"
	}
	n.until("the problems are known", func() bool { return acked(n) })
	n.stop()
	n = start(t, b, town) // the word of people outlives the node
	n.until("they are still known", func() bool { return acked(n) })
	n.do("DELETE", "/v1/problems/plant.b1.backup/ack", bearer(operator)).empty()
	n.until("one is not", func() bool {
		return want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK).Problems == 1
	})
	// The alert ends and begins again: that is another problem.
	town.tell(healthy(id, time.Now().UTC()))
	n.until("all is well", func() bool {
		return want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK).Sites[0].Health == dashboard.Green
	})
	time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second))) // acknowledgements are dated by the second
	again := healthy(id, time.Now().UTC())
	again.Alerts = []dashboard.Alert{{Kind: "disk", Text: "The box's disk is nearly full.", Grave: true, Since: time.Now().Add(time.Second)}}
	town.tell(again)
	n.until("it is new", func() bool {
		o := want[dashboard.Overview](n.do("GET", "/v1/overview", bearer(viewer)), http.StatusOK)
		return o.Problems == 1 && o.Sites[0].Health == dashboard.Red && !o.Sites[0].Acked
	})
}

func TestPeopleAndKeys(t *testing.T) {
	t.Parallel()
	n := start(t, newBroker(t), newTown())
	_, _, administrator := n.keys()
	admin := bearer(administrator)
	code, _ := n.people.FirstLink(t.Context())
	want[dashboard.Session](n.do("POST", "/v1/signin/link", body(`{"code":%q,"name":"anna","password":%q}`, code, goodPassword)), http.StatusOK)
	made := want[dashboard.PersonLink](n.do("POST", "/v1/people", admin, body(`{"name":"bert","role":"viewer"}`)), http.StatusCreated)
	if !strings.HasPrefix(made.Link, n.url+"/#link=") {
		t.Errorf("link %q", made.Link)
	}
	want[dashboard.Session](n.do("POST", "/v1/signin/link", body(`{"code":%q,"password":%q}`, made.Code, goodPassword)), http.StatusOK)
	n.do("PATCH", "/v1/people/bert", admin, body(`{"role":"operator"}`)).empty()
	n.do("PATCH", "/v1/people/bert", admin, body(`{"role":"king"}`)).refused(http.StatusBadRequest, "bad_request", "operator")
	n.do("PATCH", "/v1/people/anna", admin, body(`{"role":"viewer"}`)).refused(http.StatusConflict, "last_administrator", "last")
	if list := want[dashboard.PersonList](n.do("GET", "/v1/people", admin), http.StatusOK).People; len(list) != 2 || list[1].Role != people.Operator {
		t.Errorf("people %+v", list)
	}
	n.do("DELETE", "/v1/people/bert", admin).empty()
	n.do("DELETE", "/v1/people/bert", admin).refused(http.StatusNotFound, "not_found", "bert")

	key := want[dashboard.KeyMade](n.do("POST", "/v1/keys", admin, body(`{"name":"prometheus","role":"viewer","ttl_s":3600}`)), http.StatusCreated).Key
	n.do("POST", "/v1/keys", admin, body(`{"name":"x","role":"viewer","ttl_s":-1}`)).refused(http.StatusBadRequest, "bad_request", "ttl_s")
	n.do("GET", "/v1/overview", bearer(key))
	keys := want[dashboard.KeyList](n.do("GET", "/v1/keys", admin), http.StatusOK).Keys
	i := slices.IndexFunc(keys, func(k people.APIKey) bool { return k.Name == "prometheus" })
	if i < 0 || keys[i].Expires.IsZero() {
		t.Fatalf("keys %+v", keys)
	}
	n.do("DELETE", "/v1/keys/"+keys[i].ID, admin).empty()
	n.do("GET", "/v1/overview", bearer(key)).refused(http.StatusUnauthorized, "unauthorized", "not known")
	log := want[dashboard.AuditList](n.do("GET", "/v1/audit", admin), http.StatusOK).Entries
	for _, action := range []string{"link", "person-role", "person-removed", "key-added", "key-removed"} {
		if i := slices.IndexFunc(log, func(e people.Entry) bool { return e.Action == action && e.From == "127.0.0.1" }); i < 0 {
			t.Errorf("audit log lacks %s with its address", action)
		}
	}
}

func TestOperating(t *testing.T) {
	t.Parallel()
	town := newTown()
	town.addBox("plant", "b1")
	odd := healthy(boxID("plant", "b1"), time.Now().UTC())
	odd.Version = "1.0\"\n# HELP x"
	town.tell(odd)
	parts := []dashboard.Part{{Name: "broker", OK: false, Required: false, Reason: "it restarts"}}
	n := start(t, newBroker(t), town, func(c *dashboard.Config) { c.Parts = func() []dashboard.Part { return parts } })
	viewer, _, _ := n.keys()
	if h := want[dashboard.NodeHealth](n.do("GET", "/healthz"), http.StatusOK); !h.OK {
		t.Errorf("healthz %+v", h)
	}
	if h := want[dashboard.NodeHealth](n.do("GET", "/readyz"), http.StatusOK); !h.OK || len(h.Parts) != 2 {
		t.Errorf("readyz %+v", h)
	}
	parts[0].Required = true
	if h := want[dashboard.NodeHealth](n.do("GET", "/readyz"), http.StatusServiceUnavailable); h.OK {
		t.Errorf("readyz without the broker %+v", h)
	}
	if got := n.do("GET", "/readyz", header("Accept", "text/plain")); !strings.Contains(string(got.body), "broker failing: it restarts") {
		t.Errorf("readyz as text %q", got.body)
	}
	want[map[string]any](n.do("GET", "/v1/openapi.json"), http.StatusOK)
	n.do("GET", "/metrics").refused(http.StatusUnauthorized, "unauthorized", "Bearer")
	text := string(n.do("GET", "/metrics", bearer(viewer)).body)
	for _, line := range []string{
		"\nsignalbox_site_health{site=\"plant\"} 0\n", "\nsignalbox_site_sessions_online{site=\"plant\",box=\"b1\"} 12\n",
		"\nsignalbox_site_relay_bytes_to_peers_total{site=\"plant\",box=\"b1\"} 1099511627776\n", "\nsignalbox_site_box_online{site=\"plant\",box=\"b1\"} 1\n",
		"version=\"1.0\\\"\\n# HELP x\"", "\nsignalbox_cloud_streams 0\n",
	} {
		if !strings.Contains(text, line) {
			t.Errorf("metrics lack %q", line)
		}
	}
	if a, b := n.local("GET", "/metrics"), n.do("GET", "/v1/nothing"); a.status != http.StatusOK || b.status != http.StatusNotFound {
		t.Errorf("metrics on the control socket: %d; nothing: %d", a.status, b.status)
	}
	if families, err := parseMetrics(text); err != nil || families < 60 {
		t.Errorf("Prometheus reads %d families: %v", families, err)
	}
}

// A node asks for the handler with each request: it must not make one.
func TestHandlerIsMadeOnce(t *testing.T) {
	n := start(t, newBroker(t), newTown())
	if d := n.dashboard; d.Handler() != d.Handler() || d.Control() != d.Control() || d.Handler() == d.Control() {
		t.Error("asking for a handler twice gives two")
	}
}
