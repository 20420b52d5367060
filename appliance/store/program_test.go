package store

import (
	"strings"
	"testing"
)

// The file is copied when another version of the program opens it, and only then.
func TestCopyBeforeAnotherProgram(t *testing.T) {
	dir := t.TempDir()
	copies := func(program string) int {
		t.Helper()
		s, err := Open(Config{Dir: dir, Program: program})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.NextIncarnation(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := listNumbered(dir + "/" + backupDir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.note != programNote {
				t.Errorf("found %s", f.path)
			}
		}
		if len(files) > 0 {
			return files[0].number
		}
		return 0
	}
	for _, step := range []struct {
		program string
		newest  int // number of the newest copy
	}{{"1.0", 0}, {"1.0", 0}, {"", 0}, {"1.1", 1}, {"1.1", 1}, {"1.0", 2}} {
		if got := copies(step.program); got != step.newest {
			t.Errorf("after a start of %q the newest copy is %d, want %d", step.program, got, step.newest)
		}
	}
	path, err := BeforeUpgrade(dir)
	if err != nil || !strings.HasSuffix(path, "-program.db") {
		t.Fatalf("the copy is %q, %v", path, err)
	}
	if err := Verify(path); err != nil {
		t.Error(err)
	}
}
