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
	paths, err := BeforeUpgrade(dir, "1.1")
	if err != nil || len(paths) != 1 || !strings.HasSuffix(paths[0], "-v1.1-program.db") {
		t.Fatalf("the copies are %q, %v", paths, err)
	}
	if err := Verify(paths[0]); err != nil {
		t.Error(err)
	}
}

// The copy of what the program to go back to has written outlives the versions
// that fail after it, and its own starts in between.
func TestCopyOfPreviousIsKept(t *testing.T) {
	dir := t.TempDir()
	for _, program := range []string{"1.0~rc-1", "2.0", "3.0", "1.0~rc-1", "4.0", "1.0~rc-1"} {
		s, err := Open(Config{Dir: dir, Program: program, Previous: "1.0~rc-1"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.NextIncarnation(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if program == "1.0~rc-1" {
			continue
		}
		copies, err := BeforeUpgrade(dir, "1.0~rc-1")
		if err != nil || len(copies) == 0 || !strings.HasSuffix(copies[0], "-v1.0~rc-1-program.db") {
			t.Errorf("with %s the copies are %q, %v", program, copies, err)
		}
		if len(copies) > 2 {
			t.Errorf("with %s there are %d copies", program, len(copies))
		}
	}
	copies, err := BeforeUpgrade(dir, "1.0~rc-1")
	if err != nil || len(copies) != 2 || !strings.HasSuffix(copies[0], "-v1.0~rc-1-program.db") || !strings.HasSuffix(copies[1], "-v4.0-program.db") {
		t.Errorf("at the end the copies are %q, %v", copies, err)
	}
}
