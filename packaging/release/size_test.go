//go:build interop

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// What a release may weigh, in bytes: a little above what it does, so that a
// library which switches off the linker's removal of unused methods (4 MB, see
// internal/grammar), or brings much code, is a decision and no accident.
const (
	mostBinary = 27_500_000
	mostDeb    = 7_500_000
)

func TestSizes(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skipf("the bounds are for amd64, and here are packages for %s", runtime.GOARCH)
	}
	for path, most := range map[string]int64{
		filepath.Join(unpack(t), "signalbox"): mostBinary,
		made(t, dist, ".deb"):                 mostDeb,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s has %d bytes", filepath.Base(path), info.Size())
		if info.Size() > most {
			t.Errorf("%s has %d bytes, want at most %d", filepath.Base(path), info.Size(), most)
		}
	}
}
