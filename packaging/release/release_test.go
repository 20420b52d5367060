package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDebianChangelog(t *testing.T) {
	const markdown = "# Changelog\n\nWords.\n\n## 1.3.0\n\n### Security\n\n### Added\n- A first entry, long enough to be broken, as " +
		"lines of a changelog end\n  at 80 characters.\n- Second.\n\n### Fixed\n- Third.\n\n## 1.2.0\n\n- Old.\n"
	const want = `signalbox (1.3.0) stable; urgency=medium

  [ Added ]
  * A first entry, long enough to be broken, as lines of a changelog end at 80
    characters.
  * Second.

  [ Fixed ]
  * Third.

 -- ` + maintainer + `  Wed, 25 Nov 2026 13:30:00 +0000
`
	got, err := debianChangelog(markdown, "1.3.0", time.Date(2026, 11, 25, 13, 30, 0, 0, time.UTC))
	if err != nil || got != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
	if _, err := debianChangelog("# Changelog\n", "1.3.0", time.Time{}); err == nil {
		t.Error("a changelog without a section was taken")
	}
}

func TestMaintainerIsOne(t *testing.T) {
	recipe, err := os.ReadFile("../nfpm.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(recipe), "\nmaintainer: "+maintainer+"\n") {
		t.Errorf("nfpm.yaml has another maintainer than %s", maintainer)
	}
}

func TestCheckVersion(t *testing.T) {
	for text, good := range map[string]bool{
		"1.2.3": true, "1.2.3-rc1": true, "1.2.3+4.g0123456789ab": true, "1.2.3-rc1+4.gabc.dirty": true, "0.0.0+unknown": true,
		"": false, "v1.2.3": false, "1.2": false, "1.2.3-beta": false, "1.2.3 -X main.x=y": false, "1.2.3+": false,
	} {
		if err := checkVersion(text); (err == nil) != good {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// TestVersionScript follows a repository through a tag and what comes after it.
func TestVersionScript(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	dir := t.TempDir()
	script, err := os.ReadFile("../version")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "packaging"), 0o755); err != nil {
		t.Fatal(err)
	}
	run := func(environ, name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "VERSION=", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@a",
			"GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@a", environ)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	path := filepath.Join(dir, "packaging/version")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(string(script))
	run("", "git", "init", "--quiet")
	run("", "git", "add", ".")
	run("", "git", "commit", "--quiet", "-m", "one")
	commit := func() string { return run("", "git", "rev-parse", "--short=12", "HEAD") }
	steps := []struct {
		name, want string
		do         func()
	}{
		{"no tag", "0.0.0+1.g" + commit(), func() {}},
		{"a tag", "1.2.3", func() { run("", "git", "tag", "v1.2.3") }},
		{"a changed file", "1.2.3+dirty", func() { write(string(script) + "# more\n") }},
		{"a commit after it", "1.2.3+1.g", func() { run("", "git", "commit", "--quiet", "-am", "two") }},
	}
	for _, step := range steps {
		step.do()
		want := step.want
		if strings.HasSuffix(want, ".g") {
			want += commit()
		}
		if got := run("", path); got != want || checkVersion(got) != nil {
			t.Errorf("with %s: got %q, want %q", step.name, got, want)
		}
	}
	if got := run("VERSION=9.8.7", path); got != "9.8.7" {
		t.Errorf("VERSION=9.8.7: got %q", got)
	}
}
