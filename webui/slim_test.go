package webui

import (
	"strings"
	"testing"
)

func TestSlim(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"line", "a(); // why\n  // gone\nb();\n", "a(); // why\n\nb();\n"},
		{"doc", "/**\n * @param x\n */\nexport function f() {}\n", "\n\n\nexport function f() {}\n"},
		{"cast", "  /** @type {X} */ y: {},\n", " y: {},\n"},
		{"several", "/* a */ /* b */ c\n", " c\n"},
		{"ends in a line", "/* a\n b */ c\n", "\n c\n"},
		{"not at the start", "const u = 'http://x'; /* kept */\n", "const u = 'http://x'; /* kept */\n"},
		{"style", "/* one */\np { margin: 0; }\n", "\np { margin: 0; }\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := string(slim("assets/x.js", []byte(test.in))); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if in := "// licence\n"; string(slim("assets/vendor/x.js", []byte(in))) != in {
		t.Error("a vendored file was changed")
	}
}

func TestSlimKeepsLineNumbers(t *testing.T) {
	raw, err := readAll(embedded)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range raw {
		if got, want := strings.Count(string(slim(name, data)), "\n"), strings.Count(string(data), "\n"); got != want {
			t.Errorf("%s has %d lines, %d in the source", name, got, want)
		}
	}
}
