package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// hot are packages that messages, packets and writes of rooms go through. They
// are compiled with all that the compiler can do.
var hot = []string{
	"signalbox/appliance/signaling", "signalbox/appliance/room", "signalbox/appliance/store",
	"signalbox/turn", "signalbox/turn/internal/udpio", "signalbox/sync/outbox", "signalbox/sync/wire",
	"github.com/gorilla/websocket", "github.com/klauspost/compress/zstd", "github.com/pion/turn/v3", "go.etcd.io/bbolt",
	"bytes", "crypto/tls", "encoding/json", "internal/poll", "net", "runtime", "strings", "sync", "syscall", "time",
}

// TestBuildFlags: what is said to be cold is in the program, and not hot.
func TestBuildFlags(t *testing.T) {
	module, err := goCommand(t.Context(), ".", "env", "GOMOD")
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(module)
	listed, err := goCommand(t.Context(), root, "list", "-deps", "./appliance/cmd/signalbox")
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(listed)
	for _, p := range hot {
		if !slices.Contains(packages, p) {
			t.Errorf("%s is not in the program; take it out of this test's list", p)
		}
	}
	flags, err := output(t.Context(), root, "packaging/buildflags")
	if err != nil {
		t.Fatal(err)
	}
	for flag := range strings.Lines(flags) {
		pattern, found := strings.CutPrefix(strings.TrimSpace(flag), "-gcflags=")
		pattern, isCold := strings.CutSuffix(pattern, "=-l")
		if !found || !isCold {
			t.Errorf("got the flag %q, want -gcflags=PATTERN=-l", flag)
			continue
		}
		matches := func(p string) bool { return matchesPattern(pattern, p) }
		if !slices.ContainsFunc(packages, matches) {
			t.Errorf("%s matches no package of the program; take it out of packaging/buildflags", pattern)
		}
		if i := slices.IndexFunc(hot, matches); i >= 0 {
			t.Errorf("%s matches %s, which is hot", pattern, hot[i])
		}
	}
}

// matchesPattern is the part of go help packages that packaging/buildflags uses:
// a path, or a path with /... for it and all below.
func matchesPattern(pattern, path string) bool {
	base, isTree := strings.CutSuffix(pattern, "/...")
	return path == base || isTree && strings.HasPrefix(path, base+"/")
}
