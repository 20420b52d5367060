package commandline

import (
	_ "embed"
	"fmt"
	"strings"

	"signalbox/internal/grammar"
)

// What no grammar knows, before and after what is made from it.
var (
	//go:embed man/signalbox.head
	commandHead string
	//go:embed man/signalbox.tail
	commandTail string
	//go:embed man/signalbox.toml.head
	configHead string
	//go:embed man/signalbox.toml.tail
	configTail string
)

// Man is the page signalbox(1).
func Man(program *grammar.Command) string {
	root := read(program)
	var b strings.Builder
	b.WriteString(generated + commandHead)
	b.WriteString(".SH COMMANDS\n")
	for _, c := range root.all() {
		if len(c.subs) > 0 {
			continue // its children say it
		}
		fmt.Fprintf(&b, ".SS \"signalbox %s\"\n%s\n", roff(c.synopsis()), roff(c.help))
		for _, a := range c.args {
			tagged(&b, `\fI`+roff(a.name)+`\fR`, a.help)
		}
		for _, o := range c.options {
			if o.name == "help" {
				continue // every command has it
			}
			tagged(&b, optionRoff(o), o.text)
		}
	}
	b.WriteString(commandTail)
	return b.String()
}

func optionRoff(o option) string {
	text := `\fB` + roff("--"+o.name) + `\fR`
	if o.placeholder != "" {
		text += ` \fI` + roff(o.placeholder) + `\fR`
	}
	return text
}

// ConfigMan is the page signalbox.toml(5), made from the commented sample of a
// configuration: comments, then the key with its default behind a #.
func ConfigMan(sample string) string {
	var b strings.Builder
	b.WriteString(generated + configHead)
	b.WriteString(".SH KEYS\n")
	var remark []string
	_, keys, _ := strings.Cut(sample, "\n\n") // the first paragraph is about the file
	for line := range strings.SplitSeq(keys, "\n") {
		switch text := strings.TrimPrefix(line, "#"); {
		case strings.HasPrefix(line, "# "):
			remark = append(remark, line[2:])
			continue
		case strings.HasPrefix(text, "["):
			fmt.Fprintf(&b, ".SS %s\n%s\n", roff(text), roff(strings.Join(remark, " ")))
		case text != "":
			key, def, _ := strings.Cut(text, " = ")
			if def != `""` && def != "[]" {
				remark = append(remark, "Default: "+def+".")
			}
			tagged(&b, `\fB`+roff(key)+`\fR`, strings.Join(remark, " "))
		}
		remark = nil
	}
	b.WriteString(configTail)
	return b.String()
}

const generated = ".\\\" Made by make generate; change packaging/commandline/man or the commands themselves.\n"

func tagged(b *strings.Builder, tag, text string) {
	fmt.Fprintf(b, ".TP\n%s\n%s\n", tag, roff(text))
}

// roff keeps text from being taken for requests, and its hyphens hyphens that
// can be copied into a shell.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", `\[u2026]`, "'", `\(aq`, "`", `\(ga`, "~", `\(ti`, "^", `\(ha`, "][", `]\:[`).Replace(text)
	if strings.HasPrefix(text, ".") {
		text = `\&` + text
	}
	return text
}
