package auth

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKeyFileReadsWhenChanged: an unchanged file is not read again, and a second
// change under the same time stamp and size is still noticed.
func TestKeyFileReadsWhenChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	var log bytes.Buffer
	reads := 0
	f := &keyFile{path: path, secret: true, log: slog.New(slog.NewTextHandler(&log, nil)), parse: func(b []byte) ([]verifyKey, error) {
		reads++
		return parseSecret(b)
	}}
	put := func(secret string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	look := func() string {
		t.Helper()
		f.checked = time.Time{}
		keys, err := f.current()
		if err != nil {
			t.Fatal(err)
		}
		return string(keys[0].key.([]byte))
	}
	a, b := strings.Repeat("a", 32), strings.Repeat("b", 32)
	long := time.Now().Add(-time.Hour)

	put(a, long)
	if look(); look() != a || reads != 1 {
		t.Errorf("read %d times, want once while nothing changes", reads)
	}
	put(b, long.Add(time.Second))
	if got := look(); got != b {
		t.Error("a change was not noticed")
	}
	put(a, time.Now())
	look()
	put(b, f.seen.ModTime())
	if got := look(); got != b {
		t.Error("a second change within the same tick was not noticed")
	}

	put("short", long)
	reads = 0
	if first, second := look(), look(); first != b || second != b || reads != 2 {
		t.Errorf("read %d times, want each time while the file is bad", reads)
	}
	put(a, long)
	if look() != a {
		t.Error("a mended file was not taken")
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	put(b, long.Add(time.Minute))
	look()
	for want, times := range map[string]int{
		"the last good ones stay in force": 1, "in force again": 1, "can be read by every user": 1,
		"the secret has 5 bytes": 1, a: 0, b: 0,
	} {
		if got := strings.Count(log.String(), want); got != times {
			t.Errorf("log says %q %d times, want %d:\n%s", want, got, times, log.String())
		}
	}
}

func TestKeyFileTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, make([]byte, maxKeyFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &keyFile{path: path, log: slog.New(slog.DiscardHandler), parse: parseJWKS}
	if _, err := f.read(); err == nil || !strings.Contains(err.Error(), "more than 256 KiB") {
		t.Errorf("read: %v, want a refusal of its size", err)
	}
}
