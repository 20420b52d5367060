//go:build interop

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"signalbox/packaging/release/releasetest"
)

// TestReproducible makes a commit in a clone in another folder, and compares
// every byte of every file with the release that the other tests look into; in
// a tree with changes of its own, with those of a second clone. What is built
// twice is this machine's architecture, or with RELEASE=all every one.
//
// The second build takes compiled packages from the cache, as -trimpath keeps
// folders out of them: what is done again is linking, staging, packing,
// compressing and signing.
func TestReproducible(t *testing.T) {
	if unable != "" {
		t.Skip(unable)
	}
	need(t, "git", "git")
	head, err := try(t, "git", "-C", "../..", "rev-parse", "HEAD")
	if err != nil {
		t.Skip("this tree is no clone, so there is no commit to clone")
	}
	arch, first := runtime.GOARCH, dist
	if said := describe(t, dist, runtime.GOARCH); os.Getenv("RELEASE") == "all" || said.Modified || said.Commit != strings.TrimSpace(head) {
		if os.Getenv("RELEASE") == "all" {
			arch = strings.Join(names(targets), ",")
		}
		first = buildClone(t, "one", arch)
	}
	second := buildClone(t, "a longer name/two", arch)
	one, two := sums(t, first), sums(t, second)
	if want := 4 * (1 + strings.Count(arch, ",")); strings.Count(one, "signalbox") < want || one != two {
		t.Errorf("two builds of one commit differ, or are not of %d files:\n%s\n%s", want, one, two)
	}
}

// buildClone makes the release of a commit in a clone, and returns its folder.
func buildClone(t *testing.T, name, arch string) string {
	t.Helper()
	clone := filepath.Join(t.TempDir(), name)
	shell(t, "git", "clone", "--quiet", "--no-tags", "../..", clone)
	out := filepath.Join(clone, "dist")
	if err := releasetest.Build(t.Context(), clone, out, arch, key); err != nil {
		t.Fatal(err)
	}
	said := describe(t, out, runtime.GOARCH)
	if head := strings.TrimSpace(shell(t, "git", "-C", clone, "rev-parse", "HEAD")); said.Commit != head || said.Modified {
		t.Errorf("version --json says %+v, want commit %s", said, head)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{clone, home + "/go"} {
		if strings.Contains(said.program, path) {
			t.Errorf("the program has the folder %s in it", path)
		}
	}
	return out
}

// sums are those of every file of a release, and the signature of the sums.
func sums(t *testing.T, folder string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, sumsFile))
	if err != nil {
		t.Fatal(err)
	}
	signature, err := os.ReadFile(filepath.Join(folder, sumsFile+".minisig"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + string(signature)
}

// described is what a program says of itself, and the program.
type described struct {
	Commit   string
	Modified bool
	program  string
}

func describe(t *testing.T, folder, arch string) (said described) {
	t.Helper()
	dir := t.TempDir()
	shell(t, "tar", "-C", dir, "--strip-components=1", "-xzf", made(t, folder, "-"+arch+".tar.gz"))
	program := filepath.Join(dir, "signalbox")
	if err := json.Unmarshal([]byte(shell(t, program, "version", "--json")), &said); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	said.program = string(content)
	return said
}
