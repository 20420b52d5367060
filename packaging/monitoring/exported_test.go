package monitoring

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// program is the binary under test and how it is run.
type program struct {
	path, dir string
	log       *bytes.Buffer
}

// build makes the binary with the flags of the Makefile, whose objects are in
// Go's cache after make build.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "signalbox")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "signalbox/appliance/cmd/signalbox")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func (p program) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, p.path, append(args, "--data", p.dir, "--config", os.DevNull)...)
	cmd.Env = append(os.Environ(), "SIGNALBOX_DISCOVERY_ENABLED=false") // nobody on the LAN is to find it
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// ask runs a command and gives what it prints.
func (p program) ask(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.command(t.Context(), args...).Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		t.Fatalf("signalbox %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// addresses is what --ready-json prints, of a box and of a cloud node.
type addresses struct {
	URL  string
	HTTP []string
}

// serve runs a box or a node on a folder of its own until the test ends.
func serve(t *testing.T, path string, args ...string) (program, addresses) {
	t.Helper()
	p := program{path, t.TempDir(), new(bytes.Buffer)}
	ctx, stop := context.WithCancel(context.Background())
	cmd := p.command(ctx, append(args, "--ready-json", "--log-level", "warn")...)
	cmd.Stderr = p.log
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := cmd.Wait(); err != nil && !errors.Is(err, context.Canceled) || t.Failed() {
			t.Errorf("%s: %v\n%s", args[0], err, p.log)
		}
	})
	var a addresses
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		t.Fatalf("%s is not ready: %v", args[0], err)
	}
	return p, a
}

// exported are metrics by name.
type exported map[string]*dto.MetricFamily

// scrape reads /metrics as Prometheus does. The certificate is that of an
// authority made a moment ago.
func scrape(t *testing.T, url, key string) exported {
	t.Helper()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s/metrics: %s, %v: %s", url, resp.Status, err, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	// A family without a value is one that the program has all the same.
	for line := range strings.Lines(string(body)) {
		if f := strings.Fields(line); len(f) == 4 && f[1] == "TYPE" && families[f[2]] == nil {
			families[f[2]] = new(dto.MetricFamily)
		}
	}
	return families
}

// scraped is what a box and the cloud node that it has joined export.
func scraped(t *testing.T) exported {
	t.Helper()
	path := build(t)
	node, cloud := serve(t, path, "cloud", "--http=", "--https=127.0.0.1:0", "--names=127.0.0.1")
	box, at := serve(t, path, "serve", "--http=127.0.0.1:0", "--https=", "--turn=127.0.0.1:0")
	node.ask(t, "cloud", "site", "add", "plant", "--json")
	join := strings.Fields(node.ask(t, "cloud", "site", "join", "plant"))
	box.ask(t, join[1:]...)
	key := node.ask(t, "cloud", "key", "add", "prometheus")
	all := scrape(t, cloud.URL, key)
	for deadline := time.Now().Add(30 * time.Second); len(all["signalbox_site_sessions_online"].GetMetric()) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the cloud knows nothing of the box after 30 s")
		}
		time.Sleep(time.Second / 4) // reports come every few seconds
		all = scrape(t, cloud.URL, key)
	}
	maps.Copy(all, scrape(t, "http://"+at.HTTP[0], ""))
	return all
}

// fromScrape are labels that Prometheus adds, and those of its own metric.
var fromScrape = []string{"instance", "job"}

// check holds an expression against what is exported and recorded.
func (e exported) check(expr string, recorded map[string][]string) error {
	found, err := selectors(expr)
	if err == nil && len(found) == 0 {
		err = errors.New("names no metric")
	}
	for _, s := range found {
		resources, isRecorded := recorded[s.metric]
		family := e[s.metric]
		if family == nil { // of a histogram
			family = e[strings.TrimSuffix(s.metric, "_bucket")]
		}
		if s.metric != "up" && !isRecorded && family == nil {
			err = errors.Join(err, fmt.Errorf("neither a box nor a node exports %s", s.metric))
		}
		for _, m := range s.matchers {
			switch {
			case slices.Contains(fromScrape, m.label):
			case isRecorded:
				if m.label == "resource" && m.op == "=" && !slices.Contains(resources, m.value) {
					err = errors.Join(err, fmt.Errorf("no rule records %s of %s", s.metric, m.value))
				}
			case len(family.GetMetric()) > 0:
				err = errors.Join(err, m.in(family))
			}
		}
	}
	return err
}

// in wants the label, and the value if it is told, among those of a family.
func (m matcher) in(family *dto.MetricFamily) error {
	has := false
	for _, metric := range family.GetMetric() {
		for _, l := range metric.GetLabel() {
			if l.GetName() == m.label {
				has = true
				if m.op != "=" || l.GetValue() == m.value {
					return nil
				}
			}
		}
	}
	if !has {
		return fmt.Errorf("%s has no label %s", family.GetName(), m.label)
	}
	return fmt.Errorf("%s never has %s=%q", family.GetName(), m.label, m.value)
}

// TestExpressionsAreExported runs the program and asks for every metric, label
// and value that a rule or a board names.
func TestExpressionsAreExported(t *testing.T) {
	t.Parallel()
	recorded := map[string][]string{}
	expressions := boardQueries(t)
	for name, list := range rules(t) {
		for _, r := range list {
			if r.Record != "" {
				recorded[r.Record] = append(recorded[r.Record], r.Labels["resource"])
			}
			expressions[name+" "+r.Alert+r.Record+r.Labels["resource"]] = r.Expr
		}
	}
	all := scraped(t)
	for _, where := range slices.Sorted(maps.Keys(expressions)) {
		if err := all.check(expressions[where], recorded); err != nil {
			t.Errorf("%s: %s: %v", where, expressions[where], err)
		}
	}
	t.Logf("%d expressions, %d metrics", len(expressions), len(all))
	for _, wrong := range []string{
		`signalbox_no_such`, `signalbox_part_ok{part="nose"}`, `signalbox_part_ok{limb="relay"}`, `instance:signalbox_used:ratio{resource="luck"}`, `1 + 1`,
	} {
		if all.check(wrong, recorded) == nil {
			t.Errorf("%s passes", wrong)
		}
	}
}
