package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Sample is a configuration file that sets nothing: every key there is, with
// what it does and its default behind a comment sign.
func Sample() string {
	var b strings.Builder
	b.WriteString("# Configuration of a Signalbox. Every key may be left out; what stands here are the defaults.\n" +
		"# Check a change with `signalbox check --config FILE` before restarting. Environment variables come\n" +
		"# on top of this file (SIGNALBOX_TURN_LISTEN sets turn.listen), flags on top of them.\n\n")
	writeSample(&b, reflect.ValueOf(Default()), "", "")
	return b.String()
}

// writeSample writes the keys of a table. sign comments out the headers of
// tables that a file would have only once somebody fills them.
func writeSample(b *strings.Builder, v reflect.Value, path, sign string) {
	var tables []field
	for _, f := range fieldsOf(v.Type()) {
		if isTable(f.typ) || isTableList(f.typ) {
			tables = append(tables, f)
			continue
		}
		remark(b, join(path, f.key))
		fmt.Fprintf(b, "#%s = %s\n", f.key, encode(v.FieldByIndex(f.index), f))
	}
	for _, f := range tables {
		full, value := join(path, f.key), v.FieldByIndex(f.index)
		b.WriteByte('\n')
		remark(b, full)
		if isTable(f.typ) {
			fmt.Fprintf(b, "%s[%s]\n", sign, full)
			writeSample(b, value, full, sign)
			continue
		}
		fmt.Fprintf(b, "#[[%s]]\n", full)
		writeSample(b, reflect.Zero(f.typ.Elem()), full, "#")
	}
}

func remark(b *strings.Builder, path string) {
	for line := range strings.SplitSeq(docs[path], "\n") {
		fmt.Fprintf(b, "# %s\n", line)
	}
}
