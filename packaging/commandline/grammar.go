// Package commandline writes what people read about the command line and what
// shells complete on it, from the grammar that the program parses: man pages
// and completions for bash, zsh and fish.
package commandline

import (
	"strings"

	"github.com/alecthomas/kong"
)

// command is one command with what may follow it.
type command struct {
	path    []string // without the program's name; empty for the program itself
	help    string
	options []option
	subs    []*command
	args    []argument
}

func (c *command) name() string { return c.path[len(c.path)-1] }

// key is the path as the completions compare it.
func (c *command) key() string { return strings.Join(c.path, " ") }

// option is a flag. It takes a value unless placeholder is empty.
type option struct {
	name, placeholder, help, def string
	required                     bool
}

func (o option) synopsis() string {
	if o.placeholder == "" {
		return "--" + o.name
	}
	return "--" + o.name + " " + o.placeholder
}

type argument struct {
	name, help string
	required   bool
}

// What a shell offers for a value.
type kind int

const (
	anything kind = iota
	file
	folder
)

// kindOf tells from the placeholder, which is for people first.
func kindOf(placeholder string) kind {
	switch strings.ToUpper(placeholder) {
	case "FILE":
		return file
	case "DIR":
		return folder
	}
	return anything
}

// read turns kong's model into ours, in the order of the grammar.
func read(app *kong.Application) *command { return readNode(app.Node, nil) }

func readNode(n *kong.Node, path []string) *command {
	c := &command{path: path, help: n.Help}
	for _, f := range n.Flags {
		if !f.Hidden {
			c.options = append(c.options, readFlag(f)...)
		}
	}
	for _, a := range n.Positional {
		c.args = append(c.args, argument{strings.ToUpper(a.Name), a.Help, a.Required})
	}
	for _, child := range n.Children {
		if !child.Hidden {
			c.subs = append(c.subs, readNode(child, append(append([]string{}, path...), child.Name)))
		}
	}
	return c
}

func readFlag(f *kong.Flag) []option {
	o := option{name: f.Name, help: f.Help, required: f.Required}
	if !isBool(f) {
		if o.placeholder = f.PlaceHolder; o.placeholder == "" {
			o.placeholder = strings.ToUpper(f.Name)
			if f.HasDefault {
				o.placeholder = f.Default
			}
		}
		o.def = f.Default
	}
	if f.Tag.Negatable != "" {
		return []option{o, {name: "no-" + f.Name, help: "The opposite of --" + f.Name + "."}}
	}
	return []option{o}
}

// isBool sees through a pointer, by which a command tells "not given".
func isBool(f *kong.Flag) bool {
	return f.IsBool() || f.Target.Type().String() == "*bool"
}

// all is c and every command below it, parents first.
func (c *command) all() []*command {
	list := []*command{c}
	for _, sub := range c.subs {
		list = append(list, sub.all()...)
	}
	return list
}

// synopsis is what may follow the program's name.
func (c *command) synopsis() string {
	parts := append([]string{}, c.path...)
	for _, o := range c.options {
		if o.required {
			parts = append(parts, o.synopsis())
		}
	}
	for _, a := range c.args {
		if a.required {
			parts = append(parts, a.name)
		} else {
			parts = append(parts, "["+a.name+"]")
		}
	}
	return strings.Join(parts, " ")
}
