// Package commandline writes what people read about the command line and what
// shells complete on it, from the grammar that the program parses: man pages
// and completions for bash, zsh and fish.
package commandline

import (
	"strings"

	"signalbox/internal/grammar"
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
	name, placeholder, help string
	text                    string // help with the default
	required                bool
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

// read turns the program's grammar into what is written about it, in its order.
func read(program *grammar.Command) *command {
	root := readCommand(program)
	root.options = append([]option{{name: "help", help: "Show this help."}}, root.options...)
	return root
}

func readCommand(g *grammar.Command) *command {
	c := &command{path: g.Path, help: g.Help}
	for _, o := range g.Options {
		c.options = append(c.options, option{o.Name, o.Placeholder, o.Help, o.Text(), o.Required})
		if o.Negatable {
			help := "The opposite of --" + o.Name + "."
			c.options = append(c.options, option{name: "no-" + o.Name, help: help, text: help})
		}
	}
	for _, a := range g.Args {
		c.args = append(c.args, argument{strings.ToUpper(a.Name), a.Help, a.Required})
	}
	for _, sub := range g.Commands {
		c.subs = append(c.subs, readCommand(sub))
	}
	return c
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
