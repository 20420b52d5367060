package config

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// TestComingFromCoturn holds the table for users of coturn against the keys
// there are, and every value in it against what is accepted.
func TestComingFromCoturn(t *testing.T) {
	text, err := os.ReadFile("../../turn/COTURN.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := regexp.MustCompile("`((?:turn|tls|http|log)\\.[a-z_]+)").FindAllSubmatch(text, -1)
	if len(keys) < 20 {
		t.Errorf("%d keys, want a table of them", len(keys))
	}
	for _, key := range keys {
		if docs[string(key[1])] == "" {
			t.Errorf("%s is no key", key[1])
		}
	}
	// PUBLIC and PRIVATE stand for addresses.
	text = regexp.MustCompile("PUBLIC/PRIVATE").ReplaceAllLiteral(text, []byte("203.0.113.5/192.168.1.10"))
	values := regexp.MustCompile("`([a-z]+\\.[a-z_]+ = [^`]+)`").FindAllSubmatch(text, -1)
	files := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(values) < 8 || len(files) != 1 {
		t.Errorf("%d values and %d files, want some and one", len(values), len(files))
	}
	for _, example := range append(values, files...) {
		path := filepath.Join(t.TempDir(), "site.toml")
		if err := os.WriteFile(path, example[1], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(Sources{File: path}); err != nil {
			t.Errorf("%s: %v", example[1], err)
		}
	}
}
