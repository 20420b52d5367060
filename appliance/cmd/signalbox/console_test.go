package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The login program reads as root what the service has written. Whatever that
// makes of its folder, nothing else of the machine is shown, and nothing waits.
func TestConsole(t *testing.T) {
	dir := t.TempDir()
	secret, from, to := filepath.Join(dir, "shadow"), filepath.Join(dir, "setup.issue"), filepath.Join(dir, "console", "setup.issue")
	write(t, secret, "root:$6$precious")
	p := &program{ctx: context.Background(), stdout: io.Discard, stderr: io.Discard}
	command := consoleCommand{From: from, To: to}
	for _, test := range []struct {
		what, want, fault string
		put               func() error
	}{
		{"nothing", "", "", func() error { return nil }},
		{"a link", "", "too many levels of symbolic links", func() error { return os.Symlink(secret, from) }},
		{"another name of a file", "", "not a file of its own", func() error { return os.Link(secret, from) }},
		{"a pipe", "", "not a file of its own", func() error { return syscall.Mkfifo(from, 0o600) }},
		{"too much", "", "more than 16 KiB", func() error { return os.WriteFile(from, make([]byte, maxIssueBytes+1), 0o600) }},
		{"the link", "\n  ██▀  https://10.77.0.1/#setup=ABC\n", "", func() error {
			return os.WriteFile(from, []byte("\n  ██▀  https://10.77.0.1/#setup=ABC\n"), 0o600)
		}},
		{"controls", "a[2Jbc\n", "", func() error { return os.WriteFile(from, []byte("a\x1b[2Jb\u009b\\\\c\r\n"), 0o600) }},
	} {
		if err := os.RemoveAll(from); err != nil {
			t.Fatal(err)
		}
		if err := test.put(); err != nil {
			t.Fatal(err)
		}
		err := command.Run(p)
		if test.fault == "" && err != nil || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
			t.Errorf("%s: got %v, want %q", test.what, err, test.fault)
		}
		if text, _ := os.ReadFile(to); string(text) != test.want {
			t.Errorf("%s: shown is %q, want %q", test.what, text, test.want)
		}
	}
	// Once there is an administrator nothing is left of it.
	if err := os.Remove(from); err != nil {
		t.Fatal(err)
	}
	if err := command.Run(p); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(filepath.Dir(to)); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
}
