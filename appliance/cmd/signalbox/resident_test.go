package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// The program goes on as it was, with less of it in memory.
func TestReleaseProgram(t *testing.T) {
	before := fileKiB(t)
	if err := releaseProgram(); err != nil {
		t.Fatal(err)
	}
	if after := fileKiB(t); after >= before {
		t.Errorf("%d KiB of files in memory, want less than the %d of before", after, before)
	}
}

// fileKiB is how much of files this process has mapped and in memory.
func fileKiB(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nRssFile:")
	n, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestReadOnly(t *testing.T) {
	const file = "/usr/bin/signalbox"
	tests := []struct {
		line     string
		from, to uintptr
		ok       bool
	}{
		{"00400000-01f2e000 r-xp 00000000 08:01 656421                             /usr/bin/signalbox", 0x400000, 0x1f2e000, true},
		{"01f2e000-03a00000 r--p 01b2e000 08:01 656421                             /usr/bin/signalbox", 0x1f2e000, 0x3a00000, true},
		{"03a00000-03b00000 rw-p 03600000 08:01 656421                             /usr/bin/signalbox", 0, 0, false},
		{"7f0000000000-7f0000001000 r--s 00000000 08:01 77                         /var/lib/signalbox/signalbox.db", 0, 0, false},
		{"7ffd00000000-7ffd00021000 r--p 00000000 00:00 0                          [vvar]", 0, 0, false},
		{"c000000000-c000400000 rw-p 00000000 00:00 0 ", 0, 0, false},
		{"", 0, 0, false},
	}
	for _, test := range tests {
		from, to, ok := readOnly(test.line, file)
		if ok != test.ok || ok && (from != test.from || to != test.to) {
			t.Errorf("%q: got %x-%x, %v", test.line, from, to, ok)
		}
	}
}
