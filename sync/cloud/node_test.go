package cloud

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// onLoopback is the configuration of a node in a folder, on free ports.
func onLoopback(dir string) Config {
	cfg := Default()
	cfg.Data, cfg.Name, cfg.Version = dir, "node-a", "1.2.3"
	cfg.HTTP = HTTP{Listen: []string{"127.0.0.1:0"}, HTTPS: []string{"127.0.0.1:0"}}
	return cfg
}

// running is a node that runs until the test stops it.
type running struct {
	*Node
	t     *testing.T
	end   context.CancelFunc
	ended chan error
}

func run(t *testing.T, cfg Config) *running {
	t.Helper()
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{n, t, cancel, make(chan error, 1)}
	go func() { r.ended <- n.Run(ctx) }()
	t.Cleanup(r.stop)
	return r
}

func (r *running) awaitReady() {
	r.t.Helper()
	select {
	case <-r.Ready():
	case err := <-r.ended:
		r.ended <- err
		r.t.Fatalf("the node ended: %v", err)
	case <-time.After(patience):
		r.t.Fatal("the node does not become ready")
	}
}

// stop ends the node, which has no fault to report. It may be called again.
func (r *running) stop() {
	r.t.Helper()
	r.end()
	select {
	case err, more := <-r.ended:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
		if more {
			close(r.ended)
		}
	case <-time.After(patience):
		r.t.Fatal("the node does not stop")
	}
}

// get asks by HTTPS and returns the status and the body.
func (r *running) get(method, path string) (status int, body string, header http.Header) {
	r.t.Helper()
	_, secure := r.Addrs()
	request, err := http.NewRequestWithContext(r.t.Context(), method, "https://"+secure[0]+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	// The node's certificate is of its own authority: packages gateway and identity test who trusts it.
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text), resp.Header
}

// TestNodeAgain starts a node twice on one folder. It is the same authority, and
// everything between is stopped: TestMain looks for what is left.
func TestNodeAgain(t *testing.T) {
	dir, root := filepath.Join(t.TempDir(), "not", "there", "yet"), ""
	for range 2 {
		n := run(t, onLoopback(dir))
		n.awaitReady()
		for path, want := range map[string]string{"/healthz": "", "/readyz": `"broker"`, "/": "Signalbox sites", "/site/hall-2": "Signalbox sites"} {
			if status, body, _ := n.get(http.MethodGet, path); status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d %.200q, want %q in it", path, status, body, want)
			}
		}
		if status, _, _ := n.get(http.MethodGet, "/v1/overview"); status != http.StatusUnauthorized {
			t.Errorf("/v1/overview for strangers: %d, want %d", status, http.StatusUnauthorized)
		}
		link, err := n.FirstLink(t.Context())
		if err != nil || !strings.HasPrefix(link, n.URL()+"/#link=") {
			t.Errorf("first link %q, %v", link, err)
		}
		if hash := n.authority.RootHash(); root == "" {
			root = hash
		} else if hash != root {
			t.Errorf("root %s after the restart, %s before", hash, root)
		}
		n.stop()
	}
}

// TestMetricsAreDocumented compares METRICS.md with what the parts of a node count.
func TestMetricsAreDocumented(t *testing.T) {
	n := run(t, onLoopback(t.TempDir()))
	n.awaitReady()
	n.get(http.MethodGet, wire.TunnelPath) // without a proof, so that a refusal is counted
	w := httptest.NewRecorder()
	n.Control().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	families, err := new(expfmt.NewTextParser(model.UTF8Validation)).TextToMetricFamilies(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("/metrics: %d, %v", w.Code, err)
	}
	documented := ""
	for _, file := range []string{"METRICS.md", "dashboard/METRICS.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documented += string(text)
	}
	own := 0
	for name, f := range families {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
			continue // the library's
		}
		row := "| `" + name + "` | " + strings.ToLower(f.GetType().String()) + " |"
		if !strings.Contains(documented, row) {
			t.Errorf("no row %q in METRICS.md: %s", row, f.GetHelp())
		}
		own++
	}
	if families["signalbox_cloud_projection_position"] == nil {
		t.Error("no signalbox_cloud_projection_position")
	}
	for _, name := range []string{
		"process_resident_memory_bytes", "signalbox_cloud_disk_free_bytes", "signalbox_cloud_disk_size_bytes",
		"signalbox_cloud_https_certificate_end_seconds",
	} {
		if f := families[name]; f == nil || f.GetMetric()[0].GetGauge().GetValue() <= 0 {
			t.Errorf("%d metrics, and no %s", own, name)
		}
	}
	for _, d := range []*prometheus.Desc{
		descTunnels, descRefused, descClosed, descPosts, descBytes, descGranted, descDenied, descApplied, descLag, descPosition,
		descResets, descRolled, descLeader, descJoins, descDiskFree, descDiskSize, descCertEnd, descAhead, descAheadOf, descAheadNo,
	} {
		if name := strings.Split(d.String(), `"`)[1]; !strings.Contains(documented, "`"+name+"`") {
			t.Errorf("%s is not in METRICS.md", name)
		}
	}
}

// TestFolderInUse starts a second node on a folder, which must not touch what
// the first one has.
func TestFolderInUse(t *testing.T) {
	dir := t.TempDir()
	first := run(t, onLoopback(dir))
	first.awaitReady()
	began := time.Now()
	n, err := New(onLoopback(dir))
	if err == nil {
		n.Close()
		t.Fatal("two nodes on one folder")
	}
	if !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %q, want that %s is in use", err, dir)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v to say so", took)
	}
	if status, body, _ := first.get(http.MethodGet, "/readyz"); status != http.StatusOK {
		t.Errorf("the first node: %d %s", status, body)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := onLoopback(t.TempDir())
	cfg.HTTP.HTTPS = []string{l.Addr().String()}
	n, err := New(cfg)
	if err == nil {
		n.Close()
		t.Fatal("two listeners on one port")
	}
	for _, want := range []string{l.Addr().String(), "in use", "http.https"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want %q in it", err, want)
		}
	}
}

func TestBrokenConfig(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for want, change := range map[string]func(*Config){
		`url: got "cloud.example"`:               func(c *Config) { c.URL = "cloud.example" },
		`url: got "https://cloud.example/sites"`: func(c *Config) { c.URL = "https://cloud.example/sites" },
		`tenant: got "A b"`:                      func(c *Config) { c.Tenant = "A b" },
		`http.https: got []`:                     func(c *Config) { c.HTTP.HTTPS = nil },
		`http.https: got "8453"`:                 func(c *Config) { c.HTTP.HTTPS = []string{"8453"} },
		`http.listen: got "a b:80"`:              func(c *Config) { c.HTTP.Listen = []string{"a b:80"} },
		`tls.cert: got "a.pem"`:                  func(c *Config) { c.TLS.Cert = "a.pem" },
		`nats.callout_file: got ""`:              func(c *Config) { c.NATS.URLs = []string{"nats://127.0.0.1:1"} },
		`nats.callout_file: open ` + missing: func(c *Config) {
			c.NATS.URLs, c.NATS.CalloutFile = []string{"nats://127.0.0.1:1"}, missing
		},
	} {
		cfg := onLoopback(t.TempDir())
		change(&cfg)
		n, err := New(cfg)
		if err == nil {
			n.Close()
			t.Errorf("no error, want %q", want)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want %q in it", err, want)
		}
	}
}

// TestStarting asks a node whose external broker is not there: pages are served,
// and what needs the broker says what is missing.
func TestStarting(t *testing.T) {
	seed, err := broker.NewCalloutSeed()
	if err != nil {
		t.Fatal(err)
	}
	cfg := onLoopback(t.TempDir())
	cfg.NATS.CalloutFile = filepath.Join(t.TempDir(), "callout.seed")
	if err := os.WriteFile(cfg.NATS.CalloutFile, []byte(seed+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.NATS.URLs = []string{"nats://127.0.0.1:1"}
	n := run(t, cfg)
	for _, path := range []string{"/v1/session", "/readyz", wire.TunnelPath, wire.JoinPath} {
		status, body, header := n.get(http.MethodGet, path)
		if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" || !strings.Contains(body, "broker") {
			t.Errorf("%s: %d %q, want %d with Retry-After", path, status, body, http.StatusServiceUnavailable)
		}
	}
	if status, _, _ := n.get(http.MethodGet, "/"); status != http.StatusOK {
		t.Errorf("/: %d, want the page, which asks again", status)
	}
	if _, err := n.FirstLink(t.Context()); err == nil {
		t.Error("a first link of a node that is not ready")
	}
	select {
	case <-n.Ready():
		t.Error("ready without a broker")
	default:
	}
}

// TestPlainHTTP leads people to HTTPS, but not programs that would send their
// secrets in the clear; this machine and health are served.
func TestPlainHTTP(t *testing.T) {
	n := &Node{cfg: Config{URL: "https://cloud.example/"}}
	served := n.plainRoutes(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }), nil)
	for _, test := range []struct {
		method, path, from string
		code               int
		location           string
	}{
		{"GET", "/site/hall-2?q=a", "10.0.0.9:4000", http.StatusPermanentRedirect, "https://cloud.example/site/hall-2?q=a"},
		{"HEAD", "/", "[fd00::9]:4000", http.StatusPermanentRedirect, "https://cloud.example/"},
		{"POST", "/v1/signin", "10.0.0.9:4000", http.StatusBadRequest, ""},
		{"GET", "/healthz", "10.0.0.9:4000", http.StatusNoContent, ""},
		{"GET", "/readyz", "10.0.0.9:4000", http.StatusNoContent, ""},
		{"POST", "/v1/signin", "127.0.0.1:4000", http.StatusNoContent, ""},
		{"GET", "/", "[::1]:4000", http.StatusNoContent, ""},
	} {
		r := httptest.NewRequest(test.method, test.path, nil)
		r.RemoteAddr = test.from
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		if got := w.Header().Get("Location"); w.Code != test.code || got != test.location {
			t.Errorf("%s %s from %s: %d to %q, want %d to %q", test.method, test.path, test.from, w.Code, got, test.code, test.location)
		}
	}
}
