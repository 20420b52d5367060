package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// maxFileBytes bounds what is read as a configuration. People do not write
// such files, but a path may name anything.
const maxFileBytes = 1 << 20

// file reads a configuration file. optional lets it be missing.
func (l *loader) file(path string, optional bool) {
	text, err := readFile(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err != nil {
		if fault, ok := errors.AsType[*fs.PathError](err); ok {
			err = fault.Err // the path is the origin
		}
		l.report(Problem{Origin: Origin{Source: path}, Text: "cannot be read: " + err.Error()})
		return
	}
	// Some editors begin a file with a byte order mark.
	l.document(path, bytes.TrimPrefix(text, []byte("\ufeff")))
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("larger than %s, which no configuration is", formatSize(maxFileBytes))
	}
	return text, err
}

// document reads TOML. Of a document that is not valid TOML, what comes before
// the fault is still checked.
func (l *loader) document(name string, text []byte) {
	var table map[string]any
	if err := toml.Unmarshal(text, &table); err != nil {
		line := 1
		if fault, ok := errors.AsType[*toml.DecodeError](err); ok {
			line, _ = fault.Position()
		}
		reason := strings.TrimPrefix(err.Error(), "toml: ")
		before := 0
		for n := 1; n < line; n++ {
			before += 1 + slices.Index(text[before:], '\n')
		}
		text = text[:before]
		if table = nil; toml.Unmarshal(text, &table) != nil {
			text, table = nil, nil // the fault is within a value of several lines
		}
		defer l.report(Problem{Origin: Origin{name, line}, Text: "not valid TOML: " + reason})
	}
	lines := linesOf(text)
	l.setTable(l.root, "", table, func(path string) Origin {
		for {
			if line, ok := lines[path]; ok {
				return Origin{name, line}
			}
			cut := strings.LastIndexAny(path, ".[")
			if cut < 0 {
				return Origin{name, 1}
			}
			path = path[:cut]
		}
	})
}

// linesOf finds the line of every key, and of every element of a list, in
// valid TOML. Keys are as the loader joins them: turn.external[1].
func linesOf(text []byte) map[string]int {
	f := lineFinder{lines: map[string]int{}, tables: map[string]int{}}
	for i, b := range text {
		if b == '\n' {
			f.ends = append(f.ends, i)
		}
	}
	f.parser.Reset(text)
	section := ""
	for f.parser.NextExpression() {
		switch node := f.parser.Expression(); node.Kind {
		case unstable.Table:
			section = f.header(node, false)
		case unstable.ArrayTable:
			section = f.header(node, true)
		case unstable.KeyValue:
			f.keyValue(section, node)
		}
	}
	return f.lines
}

// maxPathBytes is more than any key needs. What nests deeper is not ours, and
// is reported at the line of what it stands in.
const maxPathBytes = 256

type lineFinder struct {
	parser unstable.Parser
	ends   []int // offsets of line breaks
	lines  map[string]int
	tables map[string]int // how many [[tables]] of a path there are so far
}

// note records where a path is written first.
func (f *lineFinder) note(path string, node *unstable.Node) {
	if _, ok := f.lines[path]; !ok && node.Raw.Length > 0 {
		before, _ := slices.BinarySearch(f.ends, int(node.Raw.Offset))
		f.lines[path] = before + 1
	}
}

// header resolves the name of [a.b] or [[a.b]] to a path: a name that stands
// for a list of tables means the last one so far.
func (f *lineFinder) header(node *unstable.Node, list bool) string {
	path := ""
	for keys := node.Key(); keys.Next() && len(path) < maxPathBytes; {
		key := keys.Node()
		path = join(path, string(key.Data))
		f.note(path, key)
		if list && keys.IsLast() {
			f.tables[path]++
		}
		if n := f.tables[path]; n > 0 {
			path = fmt.Sprintf("%s[%d]", path, n-1)
			f.note(path, key)
		}
	}
	return path
}

func (f *lineFinder) keyValue(path string, node *unstable.Node) {
	for keys := node.Key(); keys.Next() && len(path) < maxPathBytes; {
		path = join(path, string(keys.Node().Data))
		f.note(path, keys.Node())
	}
	f.value(path, node.Value())
}

func (f *lineFinder) value(path string, node *unstable.Node) {
	if len(path) >= maxPathBytes {
		return
	}
	f.note(path, node)
	children := node.Children()
	switch node.Kind {
	case unstable.InlineTable:
		for children.Next() {
			f.keyValue(path, children.Node())
		}
	case unstable.Array:
		for i := 0; children.Next(); i++ {
			f.value(fmt.Sprintf("%s[%d]", path, i), children.Node())
		}
	}
}
