package config

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/turn"
)

// sample has a key of every kind that a section may have.
type sample struct {
	Name    string  `toml:"name"`
	Section section `toml:"section"`
	Other   struct {
		Wait time.Duration `toml:"wait"`
	} `toml:"other"`
}

type section struct {
	On      bool           `toml:"on"`
	Count   int            `toml:"count"`
	Port    uint16         `toml:"port"`
	Share   float64        `toml:"share"`
	Every   time.Duration  `toml:"every"`
	Bytes   int            `toml:"size"`
	Ports   turn.PortRange `toml:"ports"`
	Level   slog.Level     `toml:"level"`
	Names   []string       `toml:"names"`
	Nets    []netip.Prefix `toml:"nets"`
	Secret  string         `toml:"shared_secret"`
	Issuers []issuer       `toml:"issuers"`
	Hidden  func()         `toml:"-"`
	Untold  string
}

type issuer struct {
	Name  string        `toml:"name"`
	Files []string      `toml:"files"`
	Limit time.Duration `toml:"limit"`
}

func defaults() sample {
	var s sample
	s.Name = "box"
	s.Section = section{Count: 7, Every: time.Minute, Bytes: 64 << 10, Names: []string{"a"}, Ports: turn.PortRange{First: 2000, Last: 3000}}
	return s
}

// read loads text, environment and flags into a sample.
func read(text string, environ []string, flags ...Flag) (sample, *loader) {
	s := defaults()
	l := newLoader(&s, boxDialect)
	l.document("site.toml", []byte(text))
	l.environment(environ)
	l.flags(flags)
	l.problems = l.problems.sorted()
	return s, l
}

func TestEveryKind(t *testing.T) {
	want := defaults()
	want.Name = "hall"
	want.Section = section{
		On: true, Count: -3, Port: 443, Share: 0.5, Every: 36 * time.Hour, Bytes: 1 << 20,
		Ports: turn.PortRange{First: 50000, Last: 50100}, Level: slog.LevelDebug,
		Names: []string{"b", "c"}, Nets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Secret: "hush",
		Issuers: []issuer{{Name: "mes", Files: []string{"x"}, Limit: time.Second}, {Name: "erp"}},
	}
	file := `
name = "hall"
[section]
on = true
count = -3
port = 443
share = 0.5
every = "1d12h"
size = "1MiB"
ports = "50000-50100"
level = "debug"
names = ["b", "c"]
nets = ["10.0.0.0/8"]
shared_secret = "hush"
[[section.issuers]]
name = "mes"
files = "x"
limit = "1s"
[[section.issuers]]
name = "erp"
`
	environ := []string{
		"SIGNALBOX_NAME=hall", "SIGNALBOX_SECTION_ON=true", "SIGNALBOX_SECTION_COUNT=-3", "SIGNALBOX_SECTION_PORT=443",
		"SIGNALBOX_SECTION_SHARE=0.5", "SIGNALBOX_SECTION_EVERY=1d12h", "SIGNALBOX_SECTION_SIZE=1MiB",
		"SIGNALBOX_SECTION_PORTS=50000-50100", "SIGNALBOX_SECTION_LEVEL=debug", "SIGNALBOX_SECTION_NAMES=b, c",
		`SIGNALBOX_SECTION_NETS=["10.0.0.0/8"]`, "SIGNALBOX_SECTION_SHARED_SECRET=hush", "PATH=/bin",
		`SIGNALBOX_SECTION_ISSUERS=[{name = "mes", files = ["x"], limit = "1s"}, {name = "erp"}]`,
	}
	for name, got := range map[string]func() (sample, *loader){
		"file":        func() (sample, *loader) { return read(file, nil) },
		"environment": func() (sample, *loader) { return read("", environ) },
		"one line": func() (sample, *loader) {
			return read(`name = "hall"
section = {on = true, count = -3, port = 443, share = 5e-1, every = "36h", size = 1048576, ports = "50000-50100", level = "DEBUG", names = ["b", "c"], nets = "10.0.0.0/8", shared_secret = "hush", issuers = [{name = "mes", files = "x", limit = "1s"}, {name = "erp"}]}`, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := got()
			if len(l.problems) > 0 {
				t.Fatal(l.problems)
			}
			if !reflect.DeepEqual(s, want) {
				t.Errorf("got  %+v\nwant %+v", s, want)
			}
		})
	}
}

func TestLayers(t *testing.T) {
	s, l := read("name = \"file\"\n[section]\ncount = 1\nport = 1\nnames = [\n\"x\",\n\"y\"]\n[[section.issuers]]\n[[section.issuers]]\nname=\"n\"\n",
		[]string{"SIGNALBOX_NAME=env", "SIGNALBOX_SECTION_COUNT=2"}, Flag{"--name", "name", "flag"})
	if s.Name != "flag" || s.Section.Count != 2 || s.Section.Port != 1 {
		t.Errorf("got %+v", s)
	}
	for key, want := range map[string]string{
		"name":                    "--name",
		"section.count":           "SIGNALBOX_SECTION_COUNT",
		"section.port":            "site.toml:4",
		"section.names":           "site.toml:5",
		"section.issuers[1].name": "site.toml:10",
		"section.issuers[0].name": "site.toml:8",
		"section.share":           "default",
	} {
		if got := origin(l.origins, key).String(); got != want {
			t.Errorf("origin of %s: got %s, want %s", key, got, want)
		}
	}
}

func TestProblems(t *testing.T) {
	tests := []struct {
		name, file string
		environ    []string
		want       []string
	}{
		{name: "all at once", file: `nam = "x"
[secton]
[section]
counts = 3
on = "yes"
count = 2.5
port = 70000
every = 30
size = "big"
ports = "60000-50000"
level = "loud"
names = ["ok", 7,
  8]
nets = ["10.0.0.0/8", "10.0.0.0/64"]
share = true
shared_secret = 12
[[section.issuers]]
limit = "-1s"
colour = "red"
`, environ: []string{"SIGNALBOX_SECTION_CUONT=3", "SIGNALBOX_SECTION_PORT=-1", "SIGNALBOX_CONFIG=/x", "SIGNALBOX_WHATEVER=1"}, want: []string{
			`site.toml:1: nam: unknown key; did you mean name?`,
			`site.toml:2: secton: unknown section; did you mean section?`,
			`site.toml:4: section.counts: unknown key; did you mean count?`,
			`site.toml:5: section.on: got "yes", want true or false`,
			`site.toml:6: section.count: got 2.5, want a whole number`,
			`site.toml:7: section.port: got 70000, want a whole number from 0 to 65535`,
			`site.toml:8: section.every: got 30, want a duration such as "30s", "5m", "24h" or "30d"`,
			`site.toml:9: section.size: got "big", want a size such as "64KiB" or "1.5MB"`,
			`site.toml:10: section.ports: got "60000-50000", want FIRST-LAST with FIRST not above LAST`,
			`site.toml:11: section.level: got "loud", want debug, info, warn or error`,
			`site.toml:12: section.names: got 7, want text in quotes`,
			`site.toml:13: section.names: got 8, want text in quotes`,
			`site.toml:14: section.nets: got "10.0.0.0/64", want a network such as "192.168.1.0/24"`,
			`site.toml:15: section.share: got true, want a number`,
			`site.toml:16: section.shared_secret: got [redacted], want text in quotes`,
			`site.toml:18: section.issuers[0].limit: got "-1s", want a duration such as "30s", "5m", "24h" or "30d"`,
			`site.toml:19: section.issuers[0].colour: unknown key; known here: files, limit, name`,
			`SIGNALBOX_SECTION_CUONT: unknown variable, sets nothing; did you mean SIGNALBOX_SECTION_COUNT?`,
			`SIGNALBOX_SECTION_PORT: section.port: got -1, want a whole number from 0 to 65535`,
			`SIGNALBOX_WHATEVER: unknown variable, sets nothing`,
		}},
		{name: "a key outside its section", file: "wait = \"3s\"\n", want: []string{`site.toml:1: wait: unknown key; write it below [other]`}},
		{name: "a table for a value", file: "[section.count]\nx = 1\n", want: []string{`site.toml:1: section.count: got a table, want a whole number`}},
		{name: "a value for a table", file: "section = 4\n", want: []string{`site.toml:1: section: got 4, want a table: [section]`}},
		{name: "values for tables", file: "section.issuers = [1]\n", want: []string{`site.toml:1: section.issuers: got a list, want tables: [[section.issuers]]`}},
		{name: "one table for several", file: "[section.issuers]\nname = 'x'\n", want: []string{`site.toml:1: section.issuers: got a table, want tables: [[section.issuers]]`}},
		{name: "zero", file: "section.count = 0\nsection.every = \"0s\"\n", want: []string{
			`site.toml:1: section.count: got 0, want more than zero, or no such line: the default is 7`,
			`site.toml:2: section.every: got "0s", want more than zero, or no such line: the default is "1m"`,
		}},
		{name: "a copied secret", file: "[section]\nshared_secret = \"[redacted]\"\n", want: []string{
			`site.toml:2: section.shared_secret: got [redacted], want the secret itself, which was left out where this was copied from`,
		}},
		{name: "broken", file: "nam = 3\n[section]\ncount = = 3\nport = 99999\n", want: []string{
			`site.toml:1: nam: unknown key; did you mean name?`,
			`site.toml:3: not valid TOML: `,
		}},
		{name: "broken inside a list", file: "nam = 3\nnames = [\n\"a\"\n\"b\"]\n", want: []string{`site.toml:4: not valid TOML: `}},
		{name: "twice", file: "name = \"a\"\nname = \"b\"\n", want: []string{`site.toml:2: not valid TOML: `}},
		{name: "deep", file: "x = " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "\na" + strings.Repeat(".a", 5000) + " = 1\n", want: []string{
			"site.toml:1: x: unknown key; known here: name, other, section",
			"site.toml:2: a: unknown section; known here: name, other, section",
		}},
		{name: "strange names", file: "\"a b\\u001b[2J\" = 1\n", want: []string{`site.toml:1: "a b\x1b[2J": unknown key; known here: name, other, section`}},
		{name: "links of containers", environ: []string{
			"SIGNALBOX_PORT=tcp://10.0.0.1:8080", "SIGNALBOX_SERVICE_HOST=10.0.0.1", "SIGNALBOX_SERVICE_PORT_HTTP=80",
			"SIGNALBOX_PORT_8080_TCP=tcp://10.0.0.1:8080", "SIGNALBOX_PORT_8080_TCP_ADDR=10.0.0.1", "SIGNALBOX_TURN_PORT=udp://10.0.0.1:3478",
			"SIGNALBOX_TRUN_PORT=3478",
		}, want: []string{"SIGNALBOX_TRUN_PORT: unknown variable, sets nothing"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, l := read(test.file, test.environ)
			for i := range max(len(l.problems), len(test.want)) {
				var got, want string
				if i < len(l.problems) {
					got = l.problems[i].String()
				}
				if i < len(test.want) {
					want = test.want[i]
				}
				if got != want && (!strings.HasSuffix(want, ": ") || !strings.HasPrefix(got, want)) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			}
			if got, want := l.problems.Error(), strings.Count(l.problems.Error(), "\n"); got != "" && want+1 != len(l.problems) {
				t.Errorf("a problem has more than one line:\n%s", got)
			}
		})
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "site.toml")
	s := defaults()
	l := newLoader(&s, boxDialect)
	l.file(name, true)
	if len(l.problems) > 0 {
		t.Errorf("optional: %v", l.problems)
	}
	l.file(name, false)
	l.file(dir, false)
	if err := os.WriteFile(name, []byte("\ufeffname = \"hall\"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l.file(name, false)
	l.file("/dev/zero", false)
	want := []string{
		name + ": cannot be read: no such file or directory",
		dir + ": cannot be read: is a directory",
		"/dev/zero: cannot be read: larger than 1MiB, which no configuration is",
	}
	if got := strings.Split(l.problems.Error(), "\n"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if s.Name != "hall" {
		t.Errorf("name: got %q, want hall", s.Name)
	}
}

func FuzzDocument(f *testing.F) {
	f.Add("name = \"x\"\n[section]\ncount = 1\n[[section.issuers]]\nname = 'a'\nfiles = ['x', 3]\n")
	f.Add("section = {on = true, issuers = [{name = 'a'}, {limit = 3}]}\n")
	f.Add("a.b.\"c.d\"[0] = 1\n[a]\n[[a.b]]\n[a.b.c]\n")
	f.Add("names = [\n\"a\"\n\"b\"]\n")
	f.Add("x = 1979-05-27\n[section]\nports = 07:32:00\nlevel = 1979-05-27T07:32:00Z\nsize = 0xffff\nshare = nan\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, l := read(text, []string{"SIGNALBOX_SECTION_NAMES=" + text, "SIGNALBOX_SECTION_ISSUERS=" + text})
		lines := strings.Count(text, "\n") + 1
		for _, p := range l.problems {
			if p.Source == "site.toml" && (p.Line < 1 || p.Line > lines) {
				t.Errorf("line %d of %d: %v", p.Line, lines, p)
			}
			if strings.ContainsAny(p.String(), "\n\x1b") {
				t.Errorf("not one line: %q", p.String())
			}
		}
		if s.Section.Secret != "" || s.Section.Share != s.Section.Share {
			return // secrets are not printed; NaN is not equal to itself
		}
		var b strings.Builder
		writeTOML(&b, reflect.ValueOf(s), "", func(_, line string) string { return line })
		again, l := read(b.String(), nil)
		if len(l.problems) > 0 || !reflect.DeepEqual(again, s) {
			t.Errorf("%s\nread back: %v\ngot  %+v\nwant %+v", b.String(), l.problems, again, s)
		}
	})
}
