package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// maintainer stands in nfpm.yaml, too; a test compares.
const maintainer = "Signalbox maintainers <maintainers@signalbox.example>"

var versionForm = regexp.MustCompile(`^\d+\.\d+\.\d+(-rc\d+)?(\+[0-9a-z]+(\.[0-9a-z]+)*)?$`)

// debianChangelog is the newest section of CHANGELOG.md in the form of
// deb-changelog(5), for version, made at when. Groups without entries go.
func debianChangelog(markdown, version string, when time.Time) (string, error) {
	_, newest, ok := strings.Cut(markdown, "\n## ")
	if !ok {
		return "", errors.New("CHANGELOG.md has no section that begins with ##")
	}
	newest, _, _ = strings.Cut(newest, "\n## ")
	var b strings.Builder
	fmt.Fprintf(&b, "signalbox (%s) stable; urgency=medium\n", version)
	var group, entry string
	flush := func() {
		if entry == "" {
			return
		}
		if group != "" {
			fmt.Fprintf(&b, "\n  [ %s ]\n", group)
		}
		b.WriteString(wrap("  * ", "    ", entry))
		group, entry = "", ""
	}
	for line := range strings.SplitSeq(newest, "\n") {
		switch {
		case strings.HasPrefix(line, "### "):
			flush()
			group = line[4:]
		case strings.HasPrefix(line, "- "):
			flush()
			entry = line[2:]
		case entry != "":
			entry += " " + line
		}
	}
	flush()
	fmt.Fprintf(&b, "\n -- %s  %s\n", maintainer, when.Format(time.RFC1123Z))
	return b.String(), nil
}

// wrap fills lines of 78 characters, the first after one indent, the others
// after another.
func wrap(first, rest, text string) string {
	var b strings.Builder
	line := first
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > 78:
			b.WriteString(line + "\n")
			line = rest + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
	return b.String()
}
