package commandline

import (
	"fmt"
	"strings"

	"signalbox/internal/grammar"
)

// Zsh is a completion for zsh, a file to be called _signalbox.
func Zsh(program *grammar.Command) string {
	var b strings.Builder
	b.WriteString("#compdef signalbox\n# Completion of signalbox for zsh. Made by make generate.\n")
	for _, c := range read(program).all() {
		fmt.Fprintf(&b, "\n%s() {\n", zshName(c))
		if len(c.subs) == 0 {
			b.WriteString("\t_arguments")
			zshSpecs(&b, c)
			b.WriteString("\n}\n")
			continue
		}
		b.WriteString("\tlocal context state line\n\ttypeset -A opt_args\n\t_arguments -C")
		zshSpecs(&b, c)
		b.WriteString(" \\\n\t\t'1:command:->command' \\\n\t\t'*::argument:->argument'\n\tcase $state in\n\tcommand)\n" +
			"\t\tlocal -a commands=(\n")
		for _, sub := range c.subs {
			fmt.Fprintf(&b, "\t\t\t'%s:%s'\n", sub.name(), zshText(sub.help))
		}
		b.WriteString("\t\t)\n\t\t_describe command commands\n\t\t;;\n\targument)\n\t\tcase $words[1] in\n")
		for _, sub := range c.subs {
			fmt.Fprintf(&b, "\t\t%s) %s ;;\n", sub.name(), zshName(sub))
		}
		b.WriteString("\t\tesac\n\t\t;;\n\tesac\n}\n")
	}
	b.WriteString("\n_signalbox \"$@\"\n")
	return b.String()
}

func zshName(c *command) string {
	return strings.Join(append([]string{"_signalbox"}, c.path...), "_")
}

func zshSpecs(b *strings.Builder, c *command) {
	for _, o := range c.options {
		value := ""
		if o.placeholder != "" {
			value = ":" + zshText(o.placeholder) + ":" + zshAction(o.placeholder)
		}
		fmt.Fprintf(b, " \\\n\t\t'--%s[%s]%s'", o.name, zshText(o.help), value)
	}
	for _, a := range c.args {
		fmt.Fprintf(b, " \\\n\t\t':%s:%s'", zshText(a.name), zshAction(a.name))
	}
}

func zshAction(placeholder string) string {
	switch kindOf(placeholder) {
	case file:
		return "_files"
	case folder:
		return "_files -/"
	case anything:
	}
	return " "
}

// zshText is safe between single quotes in a specification of _arguments.
func zshText(text string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `'\''`, ":", `\:`, "[", `\[`, "]", `\]`).Replace(text)
}
