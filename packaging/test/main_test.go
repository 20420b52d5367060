package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module writes files into a module of its own and makes it the working folder.
func module(t *testing.T, files map[string]string) {
	t.Helper()
	dir := t.TempDir()
	files["go.mod"] = "module example\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
}

func TestGoResults(t *testing.T) {
	module(t, map[string]string{
		"leaves/leaves_test.go": `package leaves
import "testing"
func TestPass(t *testing.T) {}
func TestSkip(t *testing.T) { t.Skip("coturn is not installed") }
func TestTable(t *testing.T) {
	t.Run("one", func(t *testing.T) {})
	t.Run("two", func(t *testing.T) { t.Error("two is not one") })
	t.Run("three/four", func(t *testing.T) {})
}
func TestParent(t *testing.T) {
	t.Run("fine", func(t *testing.T) {})
	t.Error("the parent itself is at fault")
}
`,
		"broken/broken_test.go": "package broken\n\nvar x int = \"text\"\n",
		"stuck/stuck_test.go": `package stuck
import "testing"
func TestStuck(t *testing.T) { t.Log("waiting for the box"); select {} }
`,
		"outside/outside_test.go": `package outside
import ("testing"; "os")
func TestPass(t *testing.T) {}
func TestMain(m *testing.M) { m.Run(); println("a goroutine was left"); os.Exit(1) }
`,
	})
	var out strings.Builder
	results := &tally{out: &out}
	if err := runGoTest(t.Context(), results, "-timeout=2s", "./..."); err != nil {
		t.Fatal(err)
	}
	if results.report() {
		t.Error("report() = true with failures")
	}
	const want = "5 passed, 5 failed, 1 skipped\n"
	if got := out.String(); !strings.HasSuffix(got, want) {
		t.Errorf("last line is not %q in:\n%s", want, got)
	}
	for _, part := range []string{
		"two is not one", "the parent itself is at fault", "a goroutine was left", "waiting for the box", "test timed out after 2s",
		"cannot use \"text\"", "skipped example/leaves TestSkip: coturn is not installed",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("report lacks %q:\n%s", part, out.String())
		}
	}
}

func TestGoResultsNoPackages(t *testing.T) {
	module(t, map[string]string{})
	results := &tally{out: new(strings.Builder)}
	if err := runGoTest(t.Context(), results, "./nothing-here"); err == nil && results.failed == 0 {
		t.Error("a folder that is not there went unnoticed")
	}
}

func TestInteropTests(t *testing.T) {
	module(t, map[string]string{
		"turn/coturn_test.go":     "//go:build interop && linux\n\npackage turn\n\nfunc TestCoturn() {}\n\nfunc TestMain() {}\n\nfunc helper() {}\n",
		"turn/plain_test.go":      "package turn\n\n// go:build interop\nfunc TestPlain() {}\n",
		"turn/without_test.go":    "//go:build !interop\n\npackage turn\n\nfunc TestWithout() {}\n",
		"turn/testdata/x_test.go": "//go:build interop\n\npackage x\n\nfunc TestData() {}\n",
		"sync/wire/wire_test.go":  "//go:build interop\n\npackage wire\n\nfunc TestA() {}\nfunc TestB() {}\n",
	})
	found, err := interopTests(".")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := found["turn"], []string{"TestCoturn"}; !slices.Equal(got, want) {
		t.Errorf("turn: got %v, want %v", got, want)
	}
	if got, want := found["sync/wire"], []string{"TestA", "TestB"}; !slices.Equal(got, want) {
		t.Errorf("sync/wire: got %v, want %v", got, want)
	}
	if len(found) != 2 {
		t.Errorf("found %v, want two folders", found)
	}
}

func TestCountTAP(t *testing.T) {
	tests := []struct {
		name, tap               string
		passed, failed, skipped int
		bad                     bool
	}{
		{name: "all kinds", tap: "TAP version 13\nok 1 - joins # SKIP no chromium\n1..3\n# tests 5\n# suites 1\n" +
			"# pass 2\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 0\n# duration_ms 12.5\n", passed: 2, failed: 2, skipped: 1},
		{name: "cut off", tap: "TAP version 13\nok 1 - joins\n", bad: true},
		{name: "empty", tap: "", bad: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var results tally
			if _, err := countTAP(&results, test.tap); (err != nil) != test.bad {
				t.Errorf("countTAP: %v", err)
			}
			if results.passed != test.passed || results.failed != test.failed || results.skipped != test.skipped {
				t.Errorf("got %d, %d, %d, want %d, %d, %d", results.passed, results.failed, results.skipped,
					test.passed, test.failed, test.skipped)
			}
		})
	}
}
