package commandline

import (
	"fmt"
	"strings"

	"signalbox/internal/grammar"
)

// Bash is a completion for bash. It needs nothing of the bash-completion
// package, which a box may not have.
func Bash(program *grammar.Command) string {
	var b strings.Builder
	b.WriteString("# Completion of signalbox for bash. Made by make generate.\n" + bashData)
	for _, c := range read(program).all() {
		var subs, all, files, folders, others []string
		for _, sub := range c.subs {
			subs = append(subs, sub.name())
		}
		for _, o := range c.options {
			all = append(all, "--"+o.name)
			if o.placeholder == "" {
				continue
			}
			switch kindOf(o.placeholder) {
			case file:
				files = append(files, "--"+o.name)
			case folder:
				folders = append(folders, "--"+o.name)
			default:
				others = append(others, "--"+o.name)
			}
		}
		fmt.Fprintf(&b, "\t'%s')\n", c.key())
		for _, set := range []struct {
			name  string
			words []string
		}{{"commands", subs}, {"options", all}, {"files", files}, {"folders", folders}, {"others", others}} {
			if len(set.words) > 0 {
				fmt.Fprintf(&b, "\t\t%s='%s'\n", set.name, strings.Join(set.words, " "))
			}
		}
		if takesFile(c) {
			b.WriteString("\t\targument=file\n")
		}
		b.WriteString("\t\t;;\n")
	}
	b.WriteString(bashWork)
	return b.String()
}

// takesFile tells whether an argument of c is a file.
func takesFile(c *command) bool {
	for _, a := range c.args {
		if kindOf(a.name) == file {
			return true
		}
	}
	return false
}

const bashData = `
# Sets what may follow the command named by its words.
_signalbox_grammar() {
	commands= options= files= folders= others= argument=
	case $1 in
`

// bashWork finds the command among the words, leaving out values of options.
// bash splits --config=FILE into three words.
const bashWork = `	esac
}

_signalbox() {
	local cur=${COMP_WORDS[COMP_CWORD]} before= at= word i
	local commands options files folders others argument
	COMPREPLY=()
	_signalbox_grammar ''
	for ((i = 1; i < COMP_CWORD; i++)); do
		word=${COMP_WORDS[i]}
		if [[ $word == = ]]; then
			continue
		elif [[ -n $before ]]; then
			before=
		elif [[ " $files $folders $others " == *" $word "* ]]; then
			before=$word
		elif [[ " $commands " == *" $word "* ]]; then
			at="${at:+$at }$word"
			_signalbox_grammar "$at"
		fi
	done
	[[ $cur == = ]] && cur=
	if [[ -n $before && " $files " == *" $before "* ]] || [[ -z $before && $cur != -* && $argument == file ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
	elif [[ -n $before && " $folders " == *" $before "* ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
	elif [[ -z $before && $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$cur")
	elif [[ -z $before ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
	fi
}

complete -F _signalbox signalbox
`
