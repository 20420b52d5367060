package provision

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	for _, test := range []struct{ text, fault string }{
		{"\xef\xbb\xbf[admin]\r\nlink = true\r\nfor = \"2h\"\r\n", ""},
		{"[join]\nurl = \"https://cloud.example\"\ntoken = \"sbx-1\"\nca = \"sha256:00\"\n", ""},
		{"[config.site]\nname = \"hall 9\"\n", ""},
		{"", "it asks for nothing"},
		{"[admin]\nlnik = true\n", "line 2: admin.lnik is unknown"},
		{"[admin]\nlink = yes\n", "line 2: "},
		{"[admin]\nlink = true\nfor = \"300h\"\n", `admin.for: got "300h"`},
		{"[join]\nurl = \"https://cloud.example\"\n", "url, token and ca go together"},
		{"#" + strings.Repeat("x", maxFileBytes), "more than 64 KiB"},
	} {
		path := filepath.Join(t.TempDir(), Name)
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		m, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = m.Read()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if test.fault == "" && err != nil || test.fault != "" && (err == nil || !strings.Contains(err.Error(), test.fault)) {
			t.Errorf("%.40q: got %v, want %q", test.text, err, test.fault)
		}
	}
	f, err := parse([]byte("[admin]\nlink = true\n[config.turn]\nlisten = [\":3479\"]\n"))
	if err != nil || f.Admin.For != 24*time.Hour {
		t.Errorf("got %+v, %v", f, err)
	}
	if text, err := f.ConfigText(); err != nil || !strings.Contains(text, "[turn]\nlisten = [':3479']") {
		t.Errorf("the configuration is %q, %v", text, err)
	}
}

// The first folder with a file counts, and a link is no file: it may point
// anywhere on the machine.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"linked", "first", "second"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	places := []string{filepath.Join(dir, "missing"), filepath.Join(dir, "linked"), filepath.Join(dir, "first"), filepath.Join(dir, "second")}
	if err := os.Symlink("/etc/passwd", filepath.Join(places[1], Name)); err != nil {
		t.Fatal(err)
	}
	if got := Find(places); got != nil {
		t.Errorf("found %s, want nothing", got.Path())
	}
	for _, place := range places[2:] {
		if err := os.WriteFile(filepath.Join(place, Name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := Find(places)
	if got == nil || got.Path() != filepath.Join(places[2], Name) {
		t.Fatalf("found %v", got)
	}
	if err := got.Close(); err != nil {
		t.Error(err)
	}
	// A folder of a stick is one only if it lies there.
	if err := os.Symlink(places[2], filepath.Join(places[1], "out")); err != nil {
		t.Fatal(err)
	}
	if got := Find([]string{filepath.Join(places[1], "out")}); got != nil {
		t.Errorf("a link out of the stick is followed to %s", got.Path())
	}
}

func TestUntouched(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signalbox.toml")
	for text, want := range map[string]bool{"": true, "# x\n\n[site]\n#name = \"\"\n": true, "[site]\nname = \"hall\"\n": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Untouched(path); err != nil || got != want {
			t.Errorf("%q: got %v, %v", text, got, err)
		}
	}
	if got, err := Untouched(path + ".none"); err != nil || !got {
		t.Errorf("without a file: %v, %v", got, err)
	}
}
