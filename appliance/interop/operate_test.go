//go:build linux && interop

package interop_test

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"signalbox/appliance/api"
	"signalbox/appliance/loadgen"
)

// TestReadyAndHealth reads what scripts and supervisors read.
func TestReadyAndHealth(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, "[site]\nname = \"Hall 2\"\n")
	if b.ready.Version != builtVersion || b.ready.Data != b.data || !filepath.IsAbs(b.ready.Data) {
		t.Errorf("ready line %+v, want version %s and data %s", b.ready, builtVersion, b.data)
	}
	address := regexp.MustCompile(`^127\.0\.0\.1:[1-9][0-9]*$`)
	for _, list := range [][]string{b.ready.HTTP, b.ready.HTTPS, b.ready.TURN, b.ready.TURNS} {
		if len(list) != 1 || !address.MatchString(list[0]) {
			t.Errorf("ready line %+v, want one bound address of each kind", b.ready)
		}
	}
	w := b.web(nil, nil)
	if h := decode[api.Health](w.ask("GET", "/healthz", "", nil), http.StatusOK); !h.OK || h.Parts != nil {
		t.Errorf("/healthz %+v, want ok alone", h)
	}
	ready := decode[api.Health](w.ask("GET", "/readyz", "", nil), http.StatusOK)
	var parts []string
	for _, p := range ready.Parts {
		if p.OK != (p.Reason == "") {
			t.Errorf("part %+v: a reason goes with what is not ok", p)
		}
		parts = append(parts, p.Name)
	}
	for _, want := range []string{"store", "signaling", "relay", "https", "discovery"} {
		if !slices.Contains(parts, want) {
			t.Errorf("/readyz has parts %v, want %s among them", parts, want)
		}
	}
	if got := decode[api.Summary](w.ask("GET", "/v1/status", "", nil), http.StatusOK); got.Site != "Hall 2" || !got.SetupNeeded || !got.Ready {
		t.Errorf("status for strangers %+v, want a new, ready box in Hall 2", got)
	}
	for name, want := range map[string]os.FileMode{"": 0o700, "signalbox.db": 0o600, "control.sock": 0o600} {
		info, err := os.Stat(filepath.Join(b.data, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s/%s: %v, %v; want it for its owner alone (%o)", b.data, name, info, err, want)
		}
	}
	if code, _ := b.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if line, more := <-b.stdout; more {
		t.Errorf("standard output holds %q after the ready line", line)
	}
}

// TestMetrics parses a scrape as Prometheus does.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, "")
	camera := b.device("camera")
	camera.join("line-3")
	a := b.web(nil, nil).ask("GET", "/metrics", "", nil)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(a.body)))
	if err != nil || a.status != http.StatusOK || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("status %d, %s: %v", a.status, a.header.Get("Content-Type"), err)
	}
	for name := range families {
		if prefix, _, _ := strings.Cut(name, "_"); !slices.Contains([]string{"signalbox", "go", "process", "promhttp"}, prefix) {
			t.Errorf("metric %s is of no known origin", name)
		}
	}
	for name, want := range map[string]float64{
		"signalbox_signaling_conns": 1, "signalbox_signaling_rooms": 1, "signalbox_signaling_members": 1, "signalbox_build_info": 1,
		"signalbox_turn_allocations": 0,
	} {
		f := families[name]
		if f == nil || len(f.Metric) != 1 || f.Metric[0].GetGauge().GetValue() != want {
			t.Errorf("%s is %v, want a gauge at %v", name, f, want)
		}
	}
	if f := families["signalbox_build_info"]; f != nil && f.Metric[0].Label[0].GetValue() != builtVersion {
		t.Errorf("build info %v, want version %s", f, builtVersion)
	}
	problems, err := promlint.New(strings.NewReader(string(a.body))).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "signalbox_") {
			t.Errorf("promlint: %s: %s", p.Metric, p.Text)
		}
	}
}

// setupCode is what follows #setup= in the link that a box prints.
var setupCode = regexp.MustCompile(`#setup=([-0-9A-Z]+)`)

// TestSetupAndInvites goes from the first start to a device in a room without
// anything but what a new box prints.
func TestSetupAndInvites(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, "")
	waitFor(t, "the setup link", patience, func() bool { return setupCode.MatchString(b.log.String()) })
	code := setupCode.FindStringSubmatch(b.log.String())[1]
	w := b.web(nil, nil)
	done := decode[api.SetupDone](w.ask("POST", "/v1/setup", "", api.Setup{Code: code, Bearer: true}), http.StatusOK)
	if done.Token == "" || !slices.Contains(done.Rights, "admin") {
		t.Fatalf("setup gave %+v, want an administrator's token", done)
	}
	if again := w.ask("POST", "/v1/setup", "", api.Setup{Code: code}); again.status < 400 {
		t.Errorf("the setup code worked again: %s", again.body)
	}
	status := decode[api.Status](w.ask("GET", "/v1/status", done.Token, nil), http.StatusOK)
	if status.SetupNeeded || !status.Ready || status.Store.Path == "" || len(status.Parts) == 0 {
		t.Errorf("status %+v, want all of a ready box with nothing to set up", status)
	}

	decode[api.Room](w.ask("POST", "/v1/rooms", done.Token, api.RoomCreate{Name: "line-3", Pinned: true}), http.StatusCreated)
	invite := decode[api.InviteCreated](w.ask("POST", "/v1/invites", done.Token, api.InviteCreate{Room: "line-3", Subject: "cam-7"}), http.StatusCreated)
	redeem := func(code string) *answer { return w.ask("POST", "/v1/invites/redeem", "", api.Redeem{Code: code}) }
	device := decode[api.Token](redeem(invite.Code), http.StatusOK)
	camera := b.device("cam-7", func(o *loadgen.Options) { o.Token = device.Token })
	camera.join("line-3")
	camera.send(loadgen.Send{Type: "join", ID: 2, Room: "line-4"})
	if f := camera.await("error"); f.ErrorCode() != "forbidden" {
		t.Errorf("joining a room the invite does not name: %s, want forbidden", f.ErrorCode())
	}
	if again := redeem(invite.Code); again.status != http.StatusNotFound && again.status != http.StatusGone {
		t.Errorf("the invite worked again: %d %s", again.status, again.body)
	}
	// The link of the command line leads to the same place.
	link := b.cli("token", "invite", "--room", "line-5")
	_, code, _ = strings.Cut(link, "#invite=")
	code, _, _ = strings.Cut(code, "&")
	if got := decode[api.Token](redeem(code), http.StatusOK); !slices.Equal(got.Rooms, []string{"line-5"}) {
		t.Errorf("invite %s gave %+v, want a token for line-5", link, got)
	}

	b.stop()
	said := len(b.log.String())
	b.start()
	waitFor(t, "the greeting", patience, func() bool { return strings.Contains(b.log.String()[said:], "serves\n") })
	if setupCode.MatchString(b.log.String()[said:]) {
		t.Error("a box with an administrator prints a setup link")
	}
	decode[api.Status](w.ask("GET", "/v1/status", done.Token, nil), http.StatusOK)
}
