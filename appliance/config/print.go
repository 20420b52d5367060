package config

import (
	"bytes"
	"encoding"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// writeTOML writes a configuration as TOML. Of each value it writes what line
// returns, given the dotted path and "key = value".
func writeTOML(w io.Writer, v reflect.Value, path string, line func(path, text string) string) {
	var tables []field
	for _, f := range fieldsOf(v.Type()) {
		value, full := v.FieldByIndex(f.index), join(path, f.key)
		if isTable(f.typ) || isTableList(f.typ) && value.Len() > 0 {
			tables = append(tables, f) // TOML wants them behind the values
			continue
		}
		fmt.Fprintln(w, line(full, f.key+" = "+encode(value, f)))
	}
	for _, f := range tables {
		value, full := v.FieldByIndex(f.index), join(path, f.key)
		if isTable(f.typ) {
			fmt.Fprintf(w, "\n[%s]\n", full)
			writeTOML(w, value, full, line)
			continue
		}
		for i := range value.Len() {
			fmt.Fprintf(w, "\n[[%s]]\n", full)
			writeTOML(w, value.Index(i), fmt.Sprintf("%s[%d]", full, i), line)
		}
	}
}

// WriteTOML writes the configuration in force as TOML that reads back as the
// same, but for secrets. Behind each value it says where it came from.
func (l *Loaded) WriteTOML(w io.Writer) error {
	var b strings.Builder
	writeTOML(&b, reflect.ValueOf(l.Config), "", func(path, text string) string {
		return fmt.Sprintf("%-42s # %v", text, l.Origin(path))
	})
	_, err := io.WriteString(w, b.String())
	return err
}

// A Setting is one value of a configuration in force.
type Setting struct {
	Key   string `json:"key"`   // dotted
	Value string `json:"value"` // as TOML
	Origin
}

// Settings lists every value, in the order of WriteTOML.
func (l *Loaded) Settings() []Setting {
	var settings []Setting
	writeTOML(io.Discard, reflect.ValueOf(l.Config), "", func(path, text string) string {
		_, value, _ := strings.Cut(text, " = ")
		settings = append(settings, Setting{path, value, l.Origin(path)})
		return ""
	})
	return settings
}

// encode writes a value as TOML, in the words that people use: "30s", "64KiB".
func encode(v reflect.Value, f field) string {
	if s, ok := reflect.TypeAssert[fmt.Stringer](v); f.secret && !v.IsZero() || ok && s.String() == Redacted {
		return quote(Redacted)
	}
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		text, err := m.MarshalText()
		if err != nil {
			return quote(fmt.Sprint(v.Interface()))
		}
		if _, ok := reflect.TypeAssert[slog.Level](v); ok {
			text = bytes.ToLower(text)
		}
		return quote(string(text))
	}
	switch {
	case v.Type() == durationType:
		return quote(formatDuration(time.Duration(v.Int())))
	case f.bytes && v.CanInt():
		return quote(formatSize(v.Int()))
	case isTableList(v.Type()):
		return "[]"
	case isList(v.Type()):
		items := make([]string, v.Len())
		for i := range items {
			items[i] = encode(v.Index(i), f)
		}
		return "[" + strings.Join(items, ", ") + "]"
	case v.Kind() == reflect.String:
		return quote(v.String())
	case reflect.PointerTo(v.Type()).Implements(textUnmarshaler):
		return quote(fmt.Sprint(v.Interface()))
	case v.CanFloat():
		return strings.ToLower(strconv.FormatFloat(v.Float(), 'f', -1, 64))
	}
	return fmt.Sprint(v.Interface())
}

// quote writes a TOML basic string. Unlike Go, TOML knows no \x and no \a.
func quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// shownKey is a key as it is safe to show: quoted unless it is a plain one.
func shownKey(key string) string {
	for _, r := range key {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.[]", r) {
			return shown(key)
		}
	}
	return key
}
