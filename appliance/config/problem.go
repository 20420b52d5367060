package config

import (
	"fmt"
	"strings"

	"signalbox/internal/order"
)

// Origin is where a value came from.
type Origin struct {
	Source string `json:"source"`         // a file, an environment variable, a flag, or "default"
	Line   int    `json:"line,omitempty"` // in a file, from 1; else 0
}

func (o Origin) String() string {
	if o.Line > 0 {
		return fmt.Sprintf("%s:%d", o.Source, o.Line)
	}
	return o.Source
}

// Problem is one thing wrong with a configuration: what was found where, and
// what would be accepted.
type Problem struct {
	Origin
	Key  string `json:"key,omitempty"`  // dotted, as in turn.relay_ports; empty when the fault is no key's
	Got  string `json:"got,omitempty"`  // the value as it was written
	Want string `json:"want,omitempty"` // what would be accepted
	// Text replaces Got and Want where no value is at fault.
	Text string `json:"text,omitempty"`
}

func (p Problem) String() string {
	text := p.Text
	if text == "" {
		text = "got " + p.Got + ", want " + p.Want
	}
	for _, before := range []string{p.Key, p.Origin.String()} {
		if before != "" {
			text = before + ": " + text
		}
	}
	return text
}

// Problems is every Problem of a configuration, in the order of its sources.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// sorted puts the problems of each source into the order of its lines, and
// keeps the order of the sources.
func (ps Problems) sorted() Problems {
	rank := map[string]int{}
	for _, p := range ps {
		if _, ok := rank[p.Source]; !ok {
			rank[p.Source] = len(rank)
		}
	}
	order.StableBy(ps, func(a, b Problem) int {
		if a.Source != b.Source {
			return rank[a.Source] - rank[b.Source]
		}
		return a.Line - b.Line
	})
	return ps
}
