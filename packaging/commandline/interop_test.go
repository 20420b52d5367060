//go:build interop

package commandline_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lookPath skips the test where a program is missing.
func lookPath(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not installed; Debian has it in a package of that name", program)
	}
}

// output runs a program in a folder with one file and one folder in it.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	lookPath(t, program)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "site.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir+"/c", "XDG_DATA_HOME="+dir+"/d", "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

func packaged(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../" + name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A completion is a line as typed up to the cursor, some of what must be
// offered, and what must not.
var completions = []struct {
	line      string
	want, not []string
}{
	{"signalbox ", []string{"serve", "token", "version"}, []string{"device", "--json"}},
	{"signalbox tok", []string{"token"}, []string{"serve"}},
	{"signalbox token ", []string{"device", "revoke"}, []string{"serve"}},
	{"signalbox token device --", []string{"--subject", "--room", "--ttl"}, []string{"--uses"}},
	{"signalbox serve --config ", []string{"site.toml"}, []string{"serve"}},
	{"signalbox serve --data ", []string{"state"}, []string{"site.toml"}},
	{"signalbox serve --data state --turn", []string{"--turn", "--turn-tls"}, []string{"--config"}},
	{"signalbox backup ", []string{"site.toml"}, []string{"serve"}},
}

// offers runs complete on every line and compares the words it gives.
func offers(t *testing.T, complete func(t *testing.T, line string) string) {
	t.Helper()
	for _, test := range completions {
		t.Run(test.line, func(t *testing.T) {
			var words []string
			for line := range strings.Lines(complete(t, test.line)) {
				word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
				words = append(words, strings.TrimSuffix(word, "/"))
			}
			for _, want := range test.want {
				if !slices.Contains(words, want) {
					t.Errorf("got %q, want %s among them", words, want)
				}
			}
			for _, not := range test.not {
				if slices.Contains(words, not) {
					t.Errorf("got %q, with %s", words, not)
				}
			}
		})
	}
}

func TestBashCompletes(t *testing.T) {
	lookPath(t, "bash")
	offers(t, func(t *testing.T, line string) string {
		return output(t, "bash", "--norc", "-c", `. "$1"; COMP_WORDS=($2); [[ $2 == *" " ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _signalbox; printf '%s\n' "${COMPREPLY[@]}"`,
			"bash", packaged(t, "completions/signalbox.bash"), line)
	})
	t.Run("value after =", func(t *testing.T) {
		got := output(t, "bash", "--norc", "-c", `. "$1"; COMP_WORDS=(signalbox serve --config = si); COMP_CWORD=4; _signalbox
printf '%s\n' "${COMPREPLY[@]}"`, "bash", packaged(t, "completions/signalbox.bash"))
		if got != "site.toml\n" {
			t.Errorf("got %q, want site.toml", got)
		}
	})
}

func TestFishCompletes(t *testing.T) {
	lookPath(t, "fish")
	offers(t, func(t *testing.T, line string) string {
		return output(t, "fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]",
			packaged(t, "completions/signalbox.fish"), line)
	})
}

// zshHarness types a line and a tab in a zsh with a terminal of its own, and
// prints what that shows until a command typed after them has run.
const zshHarness = `
zmodload zsh/zpty
zpty z zsh -f -i
zpty -w z "PS1= PS2= RPS1=; autoload -Uz compinit; compinit -D -u"
zpty -w z "fpath=($1 \$fpath); autoload -Uz _signalbox; compdef _signalbox signalbox; print RE""ADY"
zpty -r z out '*READY*'
zpty -w -n z "$2"$'\t'
zpty -w -n z $'\x15print DO""NE\n'
zpty -r z out '*DONE*'
print -r -- $out
`

func TestZshCompletes(t *testing.T) {
	for line, want := range map[string][]string{
		"signalbox ":                 {"serve", "Run the box.", "token"},
		"signalbox token ":           {"device", "revoke", "Print a token for a device."},
		"signalbox token device --s": {"--subject"},
	} {
		t.Run(line, func(t *testing.T) {
			shown := output(t, "zsh", "-f", "-c", zshHarness, "zsh", packaged(t, "completions"), line)
			for _, text := range want {
				if !strings.Contains(shown, text) {
					t.Errorf("got %q, want %q in it", shown, text)
				}
			}
		})
	}
}

// TestManPagesAreClean holds the pages against the strictest reader there is.
func TestManPagesAreClean(t *testing.T) {
	for _, page := range []string{"man/signalbox.1", "man/signalbox.toml.5"} {
		if out := output(t, "mandoc", "-T", "lint", "-W", "warning", packaged(t, page)); out != "" {
			t.Errorf("mandoc about %s:\n%s", page, out)
		}
		if out := output(t, "man", "--warnings", "-l", packaged(t, page)); strings.Contains(out, "warning") || !strings.Contains(out, "NAME") {
			t.Errorf("man about %s:\n%s", page, out)
		}
	}
}
