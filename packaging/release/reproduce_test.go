//go:build interop

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestReproducible makes the same commit in two clones in folders of their own
// and compares every byte of every file.
func TestReproducible(t *testing.T) {
	if unable != "" {
		t.Skip(unable)
	}
	need(t, "git", "git")
	if _, err := try(t, "git", "-C", "../..", "rev-parse", "HEAD"); err != nil {
		t.Skip("this tree is no clone, so there is no commit to clone")
	}
	var sums []string
	for _, name := range []string{"one", "a longer name/two"} {
		clone := filepath.Join(t.TempDir(), name)
		shell(t, "git", "clone", "--quiet", "--no-tags", "../..", clone)
		shell(t, "go", "run", "-C", clone, "./packaging/release", "build", "-arch", runtime.GOARCH, "-out", clone+"/dist")
		text, err := os.ReadFile(filepath.Join(clone, "dist", sumsFile))
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, string(text))
		checkCommit(t, clone)
	}
	if strings.Count(sums[0], "\n") != 4 || sums[0] != sums[1] {
		t.Errorf("two builds of one commit differ:\n%s\n%s", sums[0], sums[1])
	}
}

// checkCommit looks at the program in a clone's archive: it knows its commit,
// and nothing of the folder it was built in.
func checkCommit(t *testing.T, clone string) {
	t.Helper()
	dir := t.TempDir()
	shell(t, "tar", "-C", dir, "--strip-components=1", "-xzf", made(t, clone+"/dist", ".tar.gz"))
	program := filepath.Join(dir, "signalbox")
	var said struct {
		Version, Commit string
		Modified        bool
	}
	if err := json.Unmarshal([]byte(shell(t, program, "version", "--json")), &said); err != nil {
		t.Fatal(err)
	}
	head := strings.TrimSpace(shell(t, "git", "-C", clone, "rev-parse", "HEAD"))
	if said.Commit != head || said.Modified || !strings.HasSuffix(said.Version, ".g"+head[:12]) {
		t.Errorf("version --json says %+v, want commit %s", said, head)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{clone, home + "/go"} {
		if strings.Contains(string(content), path) {
			t.Errorf("the program has the folder %s in it", path)
		}
	}
}
