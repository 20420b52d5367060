package grammar_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"signalbox/internal/grammar"
)

type common struct {
	Config string  `help:"Default: $$CONFIG, else ${file}." placeholder:"FILE"`
	Data   *string `help:"Folder." placeholder:"DIR"`
}

type show struct {
	common
	Name      string        `arg:"" help:"What to show."`
	Other     string        `arg:"" optional:"" help:"And this."`
	TokenFile string        `required:"" help:"A file." placeholder:"FILE"`
	Wait      time.Duration `default:"3s" help:"How long."`
	Rights    []string      `default:"join,send" help:"What may be done." placeholder:"RIGHT"`
	Allow     *[]string     `help:"Who may." placeholder:"NAME"`
	Pinned    *bool         `negatable:"" help:"Keep it."`
	Count     int           `help:"How many."`
	Version   *uint64       `help:"Only this one."`
	Rate      float64       `help:"How fast."`
	Temper    temper        `help:"How it is."`
	JSON      bool          `name:"json" xor:"form" help:"Print JSON."`
	Plain     bool          `xor:"form" help:"Print text."`
}

type temper string

func (t *temper) UnmarshalText(text []byte) error {
	if string(text) != "calm" {
		return fmt.Errorf("got %q, want calm", text)
	}
	*t = temper(text)
	return nil
}

type list struct{ common }

type things struct {
	List list `cmd:"" default:"withargs" help:"List things."`
	Show show `cmd:"" help:"Show a thing."`
}

type program struct {
	Thing things `cmd:"" help:"Things."`
	Stop  struct {
		ID string `arg:"" help:"Which."`
	} `cmd:"" help:"Stop."`
	Meet meet `cmd:"" help:"Meet."`
}

type meet struct {
	Name string `required:"" xor:"who" help:"Of whom." placeholder:"NAME"`
	Code string `required:"" xor:"who" help:"Or what was agreed." placeholder:"CODE"`
	At   string `required:"" help:"Where." placeholder:"PLACE"`
}

// Of required options that exclude each other, one is enough.
func TestRequiredAlternatives(t *testing.T) {
	for line, want := range map[string]string{
		"meet":                          "missing flags: --name=NAME or --code=CODE, --at=PLACE",
		"meet --at here":                "missing flags: --name=NAME or --code=CODE",
		"meet --code 7":                 "missing flags: --at=PLACE",
		"meet --code 7 --name x --at a": "--name and --code can't be used together",
		"meet --at here --name x":       "",
		"meet --code=7 --at=here":       "",
	} {
		_, err := parse(line)
		if got := fmt.Sprint(err); got != want && (err != nil || want != "") {
			t.Errorf("%s: got %v, want %q", line, err, want)
		}
	}
}

func parse(line string) (any, error) {
	return grammar.New("prog", "A program.", &program{}, map[string]string{"file": "/etc/prog"}).Parse(strings.Fields(line))
}

func TestParse(t *testing.T) {
	seven, yes, no, empty := uint64(7), true, false, ""
	base := func(change func(*show)) *show {
		s := &show{Name: "x", TokenFile: "t", Wait: 3 * time.Second, Rights: []string{"join", "send"}}
		change(s)
		return s
	}
	for line, want := range map[string]any{
		"thing":                                                   &list{},
		"thing --config f":                                        &list{common{Config: "f"}},
		"thing list --config=f --config=g":                        &list{common{Config: "g"}},
		"thing --data=":                                           &list{common{Data: &empty}},
		"thing --config -":                                        &list{common{Config: "-"}},
		"thing show x --token-file t":                             base(func(*show) {}),
		"thing show --token-file t --json x y":                    base(func(s *show) { s.Other, s.JSON = "y", true }),
		"thing show --token-file t -- x --y":                      base(func(s *show) { s.Other = "--y" }),
		"thing show x --token-file=t --plain=yes":                 base(func(s *show) { s.Plain = true }),
		"thing show x --token-file t --wait 2m --count 5":         base(func(s *show) { s.Wait, s.Count = 2*time.Minute, 5 }),
		"thing show x --token-file t --rights a,b --rights c":     base(func(s *show) { s.Rights = []string{"a", "b", "c"} }),
		"thing show x --token-file t --allow a --allow b":         base(func(s *show) { s.Allow = &[]string{"a", "b"} }),
		"thing show x --token-file t --allow=":                    base(func(s *show) { s.Allow = new([]string) }),
		"thing show x --token-file t --pinned":                    base(func(s *show) { s.Pinned = &yes }),
		"thing show x --token-file t --pinned --no-pinned":        base(func(s *show) { s.Pinned = &no }),
		"thing show x --token-file t --version 7 --rate 1.5":      base(func(s *show) { s.Version, s.Rate = &seven, 1.5 }),
		"thing show x --token-file t --temper calm --token-file=": base(func(s *show) { s.Temper, s.TokenFile = "calm", "" }),
	} {
		got, err := parse(line)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", line, got, err, want)
		}
	}
}

func TestParseFaults(t *testing.T) {
	for line, want := range map[string]string{
		"":                            `expected one of "thing", "stop", "meet"`,
		"thinng":                      `unexpected argument thinng, did you mean "thing"?`,
		"thing shwo":                  `unexpected argument shwo, did you mean "show"?`,
		"thing list x":                `unexpected argument x`,
		"thing --data d show":         `unexpected argument show`,
		"stop":                        `expected <id>`,
		"stop --thing":                `unknown flag --thing`,
		"-x":                          `unknown flag -x`,
		"thing --confg=f":             `unknown flag --confg, did you mean "--config"?`,
		"thing --config":              `--config: expected a value, FILE`,
		"thing --config --data d":     `--config: expected a value but got --data; perhaps try --config=--data?`,
		"thing show x":                `missing flags: --token-file=FILE`,
		"thing show --token-file t":   `expected <name>`,
		"thing show x --plain --json": `--json and --plain can't be used together`,
		"thing show x --no-json":      `unknown flag --no-json`,
		"thing show x --no-pinned=1":  `--no-pinned takes no value`,
		"thing show x --json=maybe":   `--json: got "maybe", want true or false`,
		"thing show x --count y":      `--count: got "y", want a whole number`,
		"thing show x --version=-1":   `--version: got "-1", want a whole number from 0`,
		"thing show x --count 99999999999999999999": `--count: got "99999999999999999999", want a whole number that is not as large`,
		"thing show x --rate y":                     `--rate: got "y", want a number`,
		"thing show x --wait 5":                     `--wait: got "5", want a duration such as "30s" or "5m"`,
		"thing show x --temper wild":                `--temper: got "wild", want calm`,
	} {
		_, err := parse(line)
		if fault, ok := errors.AsType[*grammar.Error](err); !ok || fault.Error() != want {
			t.Errorf("%s:\n got %v\nwant %s", line, err, want)
		}
	}
}

func TestHelp(t *testing.T) {
	for line, want := range map[string]string{
		"-h": `Usage: prog <command>

A program.

Flags:
  -h, --help    Show this help.

Commands:
  thing list    List things.
  thing show    Show a thing.
  stop          Stop.
  meet          Meet.

Run "prog <command> --help" for more information on a command.
`,
		"thing show --json --help": `Usage: prog thing show --token-file=FILE <name> [<other>] [flags]

Show a thing.

Arguments:
  <name>       What to show.
  [<other>]    And this.

Flags:
  -h, --help                Show this help.
      --config=FILE         Default: $CONFIG, else /etc/prog.
      --data=DIR            Folder.
      --token-file=FILE     A file.
      --wait=3s             How long. Default: 3s.
      --rights=RIGHT,...    What may be done. Default: join,send.
      --allow=NAME,...      Who may.
      --[no-]pinned         Keep it.
      --count=COUNT         How many.
      --version=VERSION     Only this one.
      --rate=RATE           How fast.
      --temper=TEMPER       How it is.
      --json                Print JSON.
      --plain               Print text.
`,
	} {
		_, err := parse(line)
		wanted, ok := errors.AsType[*grammar.HelpWanted](err)
		if !ok {
			t.Errorf("%s: got %v, want help", line, err)
			continue
		}
		var got strings.Builder
		wanted.Command.WriteHelp(&got)
		if got.String() != want {
			t.Errorf("%s:\n got %s\nwant %s", line, &got, want)
		}
	}
}

// Help is for terminals of 80 columns, whatever the names.
func TestHelpIsNarrow(t *testing.T) {
	var g struct {
		AnOptionWithALongName string `help:"Words that go on for so long that they need more than the one line that there is." placeholder:"https://cloud.example/path"`
		Short                 bool   `help:"More words that go on for so long that they need more than the one line that there is, or two."`
	}
	_, err := grammar.New("prog", strings.Repeat("word ", 40), &g, nil).Parse([]string{"--help"})
	var help strings.Builder
	wanted, ok := errors.AsType[*grammar.HelpWanted](err)
	if !ok {
		t.Fatal(err)
	}
	wanted.Command.WriteHelp(&help)
	for line := range strings.Lines(help.String()) {
		if len(line) > 81 {
			t.Errorf("a line of %d letters: %s", len(line)-1, line)
		}
	}
}

func TestUselessTags(t *testing.T) {
	for name, g := range map[string]any{
		"default": &struct {
			Count int `default:"many"`
		}{},
		"type": &struct {
			Count complex64 `default:"1"`
		}{},
		"both": &struct {
			Sub  struct{} `cmd:""`
			Flag bool
		}{},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("a grammar that makes no sense was taken")
				}
			}()
			grammar.New("prog", "", g, nil)
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add("thing show x --token-file t --rights a,b --no-pinned -- --y")
	f.Add("thing --config -h")
	f.Fuzz(func(t *testing.T, line string) {
		command, err := parse(line)
		if (command == nil) == (err == nil) {
			t.Errorf("%q: got %v, %v", line, command, err)
		}
	})
}
