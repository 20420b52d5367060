// Package monitoring has no code: it holds what Prometheus and Grafana need to
// watch boxes and cloud nodes, and the tests that it fits the program.
package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// ruleFile is what Prometheus reads, as far as the tests look at it.
type ruleFile struct {
	Groups []struct {
		Name  string
		Rules []rule
	}
}

type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// rules are those of all files by their files' names.
func rules(t *testing.T) map[string][]rule {
	t.Helper()
	names, err := filepath.Glob("rules/*.rules.yml")
	if err != nil || len(names) == 0 {
		t.Fatalf("files of rules: %v, %v", names, err)
	}
	all := map[string][]rule{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file ruleFile
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range file.Groups {
			all[name] = append(all[name], g.Rules...)
		}
	}
	return all
}

// boardQueries are the expressions of the boards by where they stand, with
// something in place of Grafana's variables.
func boardQueries(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("boards/*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("boards: %v, %v", names, err)
	}
	fill := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".*", "$site", ".*")
	queries := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Templating struct {
				List []struct{ Name, Type, Query string }
			}
			Panels []struct {
				Title   string
				Targets []struct{ RefID, Expr string }
			}
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, v := range board.Templating.List {
			if v.Type != "query" {
				continue
			}
			metric, label, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(v.Query, "label_values("), ")"), ", ")
			if !ok {
				t.Fatalf("%s: %s asks %q, want label_values(metric, label)", name, v.Name, v.Query)
			}
			queries[name+" $"+v.Name] = fmt.Sprintf(`%s{%s!=""}`, metric, label)
		}
		for _, p := range board.Panels {
			for _, q := range p.Targets {
				queries[name+" "+p.Title+" "+q.RefID] = fill.Replace(q.Expr)
			}
		}
	}
	return queries
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed; packaging/test/prepare gets it with Debian's package prometheus")
	}
	if out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestConfiguration leaves out only whether the certificates and the key are there.
func TestConfiguration(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "config", "--syntax-only", "prometheus.yml")
}

func TestRules(t *testing.T) {
	t.Parallel()
	for name := range rules(t) {
		promtool(t, "check", "rules", name)
		promtool(t, "test", "rules", strings.Replace(name, ".rules.", ".test.", 1))
	}
}

// Every alert fires in a test of the rules, says how bad it is and what to do,
// and those that look ahead ask for growth that lasts.
func TestAlertsAreComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, list := range rules(t) {
		tests, err := os.ReadFile(strings.Replace(name, ".rules.", ".test.", 1))
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Alert == "" {
				continue
			}
			if other := seen[r.Alert]; other != "" {
				t.Errorf("%s is in %s and in %s", r.Alert, other, name)
			}
			seen[r.Alert] = name
			if !strings.Contains(string(tests), fmt.Sprintf("alertname=%q}', value:", r.Alert)) {
				t.Errorf("%s fires in no test", r.Alert)
			}
			if s := r.Labels["severity"]; s != "warning" && s != "critical" {
				t.Errorf("%s has severity %q, want warning or critical", r.Alert, s)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("%s does not say what is wrong or what to do", r.Alert)
			}
			if strings.Contains(r.Expr, "predict_linear") && (r.For != "5m" || !strings.Contains(r.Expr, "deriv(") || !strings.Contains(r.Expr, ", 900)")) {
				t.Errorf("%s: want 15 minutes ahead, deriv() > 0 and for: 5m; got %s for %s", r.Alert, r.Expr, r.For)
			}
		}
	}
}

// promtool has no command for an expression; as a rule it takes any.
func TestBoardQueriesAreValid(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("groups:\n- name: boards\n  rules:\n")
	i := 0
	for where, expr := range boardQueries(t) {
		i++
		fmt.Fprintf(&file, "  - {record: 'board:query%d:x', expr: %q} # %s\n", i, expr, where)
	}
	name := filepath.Join(t.TempDir(), "boards.yml")
	if err := os.WriteFile(name, []byte(file.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", name)
}
