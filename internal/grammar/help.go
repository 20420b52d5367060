package grammar

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// helpWidth is that of the narrowest terminal people still have.
const helpWidth = 80

// usage is the option as it is typed.
func (o *Option) usage() string {
	switch {
	case o.Negatable:
		return "--[no-]" + o.Name
	case o.Placeholder == "":
		return "--" + o.Name
	case o.list:
		return "--" + o.Name + "=" + o.Placeholder + ",..."
	}
	return "--" + o.Name + "=" + o.Placeholder
}

// usage is the argument as its place is marked.
func (a *Arg) usage() string {
	if a.Required {
		return "<" + a.Name + ">"
	}
	return "[<" + a.Name + ">]"
}

// Text is the help of the option with its default.
func (o *Option) Text() string {
	if o.Default == "" {
		return o.Help
	}
	return strings.TrimSuffix(o.Help, ".") + ". Default: " + o.Default + "."
}

// usage is one line with everything that has to be given.
func (c *Command) usage() string {
	text := c.Name()
	if len(c.Commands) > 0 {
		return text + " <command>"
	}
	for _, options := range c.required(func(*Option) bool { return true }, "|") {
		text += " " + options
	}
	for _, a := range c.Args {
		text += " " + a.usage()
	}
	return text + " [flags]"
}

// row is a name and what there is to say about it.
type row struct{ name, text string }

// WriteHelp is what --help prints.
func (c *Command) WriteHelp(w io.Writer) {
	fmt.Fprintf(w, "Usage: %s\n\n", c.usage())
	for _, line := range wrap(c.Help, helpWidth) {
		fmt.Fprintln(w, line)
	}
	var args, commands []row
	for _, a := range c.Args {
		args = append(args, row{a.usage(), a.Help})
	}
	flags := []row{{"-h, --help", "Show this help."}}
	for _, o := range c.Options {
		flags = append(flags, row{"    " + o.usage(), o.Text()})
	}
	for _, sub := range c.All() {
		if len(sub.Commands) == 0 {
			commands = append(commands, row{strings.Join(sub.Path, " "), sub.Help})
		}
	}
	writeRows(w, "Arguments", args)
	writeRows(w, "Flags", flags)
	if len(c.Commands) > 0 {
		writeRows(w, "Commands", commands)
		fmt.Fprintf(w, "\nRun \"%s <command> --help\" for more information on a command.\n", c.Name())
	}
}

// writeRows writes a section in two columns; nothing when there are no rows.
func writeRows(w io.Writer, title string, rows []row) {
	if len(rows) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s:\n", title)
	const indent, gap, widest = 2, 4, 32 // a longer name has a line of its own
	column := 0
	for _, r := range rows {
		if n := utf8.RuneCountInString(r.name); n <= widest {
			column = max(column, n)
		}
	}
	margin := strings.Repeat(" ", indent+column+gap)
	for _, r := range rows {
		lines := wrap(r.text, helpWidth-len(margin))
		first := strings.Repeat(" ", indent) + r.name
		if n := utf8.RuneCountInString(first); n > indent+column {
			fmt.Fprintln(w, first)
			first = margin
		} else {
			first += strings.Repeat(" ", len(margin)-n)
		}
		for _, line := range lines {
			fmt.Fprintln(w, first+line)
			first = margin
		}
	}
}

// wrap breaks text into lines of at most so many letters, between words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines, line = append(lines, line), ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}
