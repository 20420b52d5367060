package grammar

import (
	"fmt"
	"strings"

	"signalbox/internal/spelling"
)

// Error is a command line that the grammar does not have.
type Error struct{ text string }

func (e *Error) Error() string { return e.text }

func wrong(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// HelpWanted is what Parse returns for --help.
type HelpWanted struct{ Command *Command }

func (h *HelpWanted) Error() string { return "help for " + h.Command.Name() + " was asked for" }

// parse is a command line on its way.
type parse struct {
	at   *Command
	args int      // how many arguments at has had
	rest []string // the words not looked at yet
}

// Parse reads the words after the program's name, and returns the pointer to
// the struct of the command that was meant, with the values set. Options may
// stand between arguments, up to --. A grammar is good for one parse. Errors
// are *Error, or *HelpWanted.
func (c *Command) Parse(words []string) (command any, err error) {
	p := &parse{at: c, rest: words}
	plain := false // after --, nothing is an option
	for len(p.rest) > 0 {
		word := p.rest[0]
		p.rest = p.rest[1:]
		switch {
		case plain || word == "-" || !strings.HasPrefix(word, "-"):
			err = p.word(word)
		case word == "--":
			plain = true
		case word == "-h" || word == "--help":
			err = &HelpWanted{p.at}
		default:
			err = p.option(word)
		}
		if err != nil {
			return nil, err
		}
	}
	return p.end()
}

// word takes the name of a command, or an argument.
func (p *parse) word(word string) error {
	var names []string
	for _, sub := range p.at.Commands {
		if sub.last() == word {
			p.at = sub
			return nil
		}
		names = append(names, sub.last())
	}
	p.usual()
	if p.args == len(p.at.Args) {
		return wrong("unexpected argument %s%s", word, meant("", word, names))
	}
	arg := p.at.Args[p.args]
	p.args++
	if err := set(arg.field, word, false); err != nil {
		return wrong("<%s>: %v", arg.Name, err)
	}
	return nil
}

// usual goes on to the command that is meant when none is named.
func (p *parse) usual() {
	if p.at.usual != nil {
		p.at = p.at.usual
	}
}

// option takes --name, --name=value or --name and the next word.
func (p *parse) option(word string) error {
	p.usual()
	name, value, hasValue := strings.Cut(word, "=")
	o, no := p.at.option(name)
	switch {
	case o == nil:
		names := []string{"--help"}
		for _, o := range p.at.Options {
			names = append(names, "--"+o.Name)
		}
		return wrong("unknown flag %s%s", name, meant("--", name, names))
	case o.Placeholder == "" && !hasValue:
		value = "true"
	case o.Placeholder == "":
	case !hasValue && (len(p.rest) == 0 || len(p.rest[0]) > 1 && p.rest[0][0] == '-'):
		if len(p.rest) == 0 {
			return wrong("%s: expected a value, %s", name, o.Placeholder)
		}
		return wrong("%s: expected a value but got %s; perhaps try %s=%s?", name, p.rest[0], name, p.rest[0])
	case !hasValue:
		value, p.rest = p.rest[0], p.rest[1:]
	}
	if no && hasValue {
		return wrong("%s takes no value", name)
	}
	if no {
		value = "false"
	}
	if err := set(o.field, value, o.given); err != nil {
		return wrong("%s: %v", name, err)
	}
	o.given = true
	return nil
}

// option finds an option by its name with dashes; no tells that it is negated.
func (c *Command) option(name string) (found *Option, no bool) {
	for _, o := range c.Options {
		if name == "--"+o.Name {
			return o, false
		}
		if o.Negatable && name == "--no-"+o.Name {
			return o, true
		}
	}
	return nil, false
}

// meant ends the report of an unknown name with what was likely meant. prefix
// is what all names begin with, and no similarity.
func meant(prefix, got string, names []string) string {
	bare := make([]string, len(names))
	for i, name := range names {
		bare[i] = strings.TrimPrefix(name, prefix)
	}
	if name := spelling.Nearest(strings.TrimLeft(got, "-"), bare); name != "" {
		return fmt.Sprintf(", did you mean %q?", prefix+name)
	}
	return ""
}

// end tells what is missing, else which command was meant.
func (p *parse) end() (any, error) {
	p.usual()
	if len(p.at.Commands) > 0 {
		names := make([]string, len(p.at.Commands))
		for i, sub := range p.at.Commands {
			names[i] = `"` + sub.last() + `"`
		}
		return nil, wrong("expected one of %s", strings.Join(names, ", "))
	}
	chosen := map[string]*Option{}
	for _, o := range p.at.Options {
		switch other := chosen[o.xor]; {
		case !o.given || o.xor == "":
		case other != nil:
			return nil, wrong("--%s and --%s can't be used together", other.Name, o.Name)
		default:
			chosen[o.xor] = o
		}
	}
	if missing := p.at.missing(chosen); len(missing) > 0 {
		return nil, wrong("missing flags: %s", strings.Join(missing, ", "))
	}
	if p.args < len(p.at.Args) && p.at.Args[p.args].Required {
		return nil, wrong("expected <%s>", p.at.Args[p.args].Name)
	}
	return p.at.target, nil
}

// missing are the options that have to be given and are not. Of those with the
// same xor one is enough.
func (c *Command) missing(chosen map[string]*Option) []string {
	return c.required(func(o *Option) bool { return !o.given && (o.xor == "" || chosen[o.xor] == nil) }, " or ")
}

// required are the options that have to be given, of those which the caller
// takes; those with the same xor are one entry.
func (c *Command) required(take func(*Option) bool, or string) (list []string) {
	at := map[string]int{} // where alternatives stand in list
	for _, o := range c.Options {
		if !o.Required || !take(o) {
			continue
		}
		if i, ok := at[o.xor]; ok {
			list[i] += or + o.usage()
			continue
		}
		if o.xor != "" {
			at[o.xor] = len(list)
		}
		list = append(list, o.usage())
	}
	return list
}
