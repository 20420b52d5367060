package commandline

import (
	"fmt"
	"strings"

	"signalbox/internal/grammar"
)

// Fish is a completion for fish.
func Fish(program *grammar.Command) string {
	var b strings.Builder
	b.WriteString(fishHead)
	for _, c := range read(program).all() {
		here := fmt.Sprintf("__signalbox_at %s", fishWords(c))
		for _, sub := range c.subs {
			fmt.Fprintf(&b, "complete -c signalbox -n '%s' -a %s -d '%s'\n", here, sub.name(), fishText(sub.help))
		}
		for _, o := range c.options {
			value := ""
			if o.placeholder != "" {
				value = " -x"
				switch kindOf(o.placeholder) {
				case file:
					value = " -rF"
				case folder:
					value = " -xa '(__fish_complete_directories)'"
				case anything:
				}
			}
			fmt.Fprintf(&b, "complete -c signalbox -n '%s' -l %s%s -d '%s'\n", here, o.name, value, fishText(o.help))
		}
		if takesFile(c) {
			fmt.Fprintf(&b, "complete -c signalbox -n '%s' -F\n", here)
		}
	}
	return b.String()
}

// fishWords is the path of c, or "" in a form that is still one word.
func fishWords(c *command) string {
	if len(c.path) == 0 {
		return `""`
	}
	return `"` + c.key() + `"`
}

func fishText(text string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text)
}

// fishHead finds the command among the words: an option's value looks like one
// only when somebody calls it so, and then the shell offers too little.
const fishHead = `# Completion of signalbox for fish. Made by make generate.

# Tells whether the words so far that are no options are these.
function __signalbox_at
	set -l words (commandline -opc)
	set -l said
	for word in $words[2..-1]
		string match -q -- '-*' $word; or set -a said $word
	end
	test "$argv[1]" = "$said"; and return 0
	# What comes after a whole command is an argument or a value.
	test -n "$argv[1]"; and string match -q -- "$argv[1] *" "$said"
end

complete -c signalbox -f
`
