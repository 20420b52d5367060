// Package grammar reads a command line by a grammar that is written as structs,
// and knows enough about it to write help, man pages and completions.
//
// A field tagged cmd:"" is a command, one tagged arg:"" an argument, any other
// an option; fields of embedded structs count as the struct's own. Other tags:
//
//	name         the name, else the field's: TokenFile is token-file
//	help         one sentence or two; ${name} stands for a variable, $$ for $
//	placeholder  what an option's value is called, else its default or NAME
//	default      value of an option that is not given; default:"withargs" is
//	             the command that is meant when none is named
//	required     the option has to be given
//	optional     the argument may be left out
//	xor          of the options with the same word only one may be given; where
//	             they are required, one has to be
//	negatable    there is --no-NAME as well
//
// Values are booleans, whole numbers, floats, strings, lists of strings,
// durations and whatever has UnmarshalText. A pointer stays nil when its option
// is not given.
//
// Fields are found by reflection, methods never: where a program looks methods
// up by name, the linker has to keep every exported method of every type.
package grammar

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// Command is a command with what may follow it: other commands, or options and
// arguments. The program itself is the first.
type Command struct {
	Path     []string // without the program's name; empty for the program itself
	Help     string
	Options  []*Option // the program's --help is not among them
	Args     []*Arg
	Commands []*Command

	program string   // its name
	usual   *Command // what is meant when none of Commands is named, or nil
	target  any      // pointer to the struct of a command without Commands
}

// Option is a flag, with two dashes. It takes a value unless Placeholder is "".
type Option struct {
	Name, Placeholder, Help string
	Default                 string // "" for none, and for the zero value
	Required, Negatable     bool

	list  bool // may be given again, for more
	xor   string
	field reflect.Value
	given bool
}

// Arg is an argument, known by its place.
type Arg struct {
	Name, Help string
	Required   bool

	field reflect.Value
}

// New reads the grammar of a program from a pointer to a struct, and sets its
// defaults. It panics where the tags make no sense.
func New(program, help string, grammar any, vars map[string]string) *Command {
	c := &Command{program: program, Help: help}
	c.read(reflect.ValueOf(grammar).Elem(), func(name string) string {
		if name == "$" {
			return name
		}
		return vars[name]
	})
	return c
}

// read adds the fields of a struct to c.
func (c *Command) read(fields reflect.Value, vars func(string) string) {
	if c.target == nil {
		c.target = fields.Addr().Interface()
	}
	for i := range fields.NumField() {
		field, value := fields.Type().Field(i), fields.Field(i)
		if field.Anonymous {
			c.read(value, vars)
			continue
		}
		name := field.Tag.Get("name")
		if name == "" {
			name = dashed(field.Name)
		}
		help := os.Expand(field.Tag.Get("help"), vars)
		switch {
		case has(field, "cmd"):
			sub := &Command{program: c.program, Path: append(slices.Clone(c.Path), name), Help: help}
			sub.read(value, vars)
			c.Commands = append(c.Commands, sub)
			if field.Tag.Get("default") == "withargs" {
				c.usual = sub
			}
		case has(field, "arg"):
			c.Args = append(c.Args, &Arg{Name: name, Help: help, Required: !has(field, "optional"), field: value})
		default:
			c.Options = append(c.Options, newOption(field, value, name, help))
		}
	}
	if len(c.Commands) > 0 && len(c.Options)+len(c.Args) > 0 {
		panic(fmt.Sprintf("%s has commands, and options or arguments of its own", c.Name()))
	}
}

func newOption(field reflect.StructField, value reflect.Value, name, help string) *Option {
	o := &Option{
		Name: name, Help: help, Placeholder: field.Tag.Get("placeholder"), Default: field.Tag.Get("default"),
		Required: has(field, "required"), Negatable: has(field, "negatable"), xor: field.Tag.Get("xor"), field: value,
	}
	switch o.list = kind(value.Type()) == reflect.Slice; {
	case kind(value.Type()) == reflect.Bool:
		o.Placeholder = ""
	case o.Placeholder == "" && o.Default != "":
		o.Placeholder = o.Default
	case o.Placeholder == "":
		o.Placeholder = strings.ToUpper(name)
	}
	if o.Default != "" {
		if err := set(value, o.Default, false); err != nil {
			panic(fmt.Sprintf("default of --%s: %v", name, err))
		}
	}
	return o
}

// kind sees through a pointer, by which a command tells "not given".
func kind(t reflect.Type) reflect.Kind {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind()
}

func has(field reflect.StructField, tag string) bool {
	_, ok := field.Tag.Lookup(tag)
	return ok
}

// dashed writes a field's name as people type it: TokenFile is token-file.
func dashed(name string) string {
	var b strings.Builder
	letters := []rune(name)
	for i, r := range letters {
		if i > 0 && unicode.IsUpper(r) && unicode.IsLower(letters[i-1]) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// Name is the command as it is typed, with the program's name.
func (c *Command) Name() string { return strings.Join(append([]string{c.program}, c.Path...), " ") }

// All is c and every command below it, parents first.
func (c *Command) All() []*Command {
	list := []*Command{c}
	for _, sub := range c.Commands {
		list = append(list, sub.All()...)
	}
	return list
}

// last is the word by which a command is chosen.
func (c *Command) last() string { return c.Path[len(c.Path)-1] }
