package config

import (
	"encoding"
	"reflect"
	"strings"
)

// A field is one key of a section, or a section itself: a struct field with a
// toml tag. Fields without one are not configuration.
type field struct {
	key    string
	index  []int
	typ    reflect.Type
	bytes  bool // a number of bytes, written with its unit: "64KiB"
	secret bool // never shown
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// fieldsOf lists the keys of a section in the order of its struct. Embedded
// structs without a tag count as part of it.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for f := range t.Fields() {
		key, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case key == "-":
		case key == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{f.Index[0]}, inner.index...)
				fields = append(fields, inner)
			}
		case key != "" && f.IsExported():
			fields = append(fields, field{
				key:    key,
				index:  f.Index,
				typ:    f.Type,
				bytes:  strings.HasSuffix(f.Name, "Bytes"),
				secret: isSecret(key) && f.Type.Kind() == reflect.String,
			})
		}
	}
	return fields
}

// isTable reports whether a value of the type is a table of its own keys.
func isTable(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(textUnmarshaler)
}

// isTableList reports whether a value of the type is written as [[tables]].
func isTableList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && isTable(t.Elem()) && !reflect.PointerTo(t).Implements(textUnmarshaler)
}

// isList reports whether a value of the type is written as a list of values.
func isList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && !isTable(t.Elem()) && !reflect.PointerTo(t).Implements(textUnmarshaler)
}

// isSecret tells by its name whether a key holds a secret, and not the name of
// a file that does.
func isSecret(key string) bool {
	for _, end := range []string{"secret", "password", "token", "credential", "_key"} {
		if strings.HasSuffix(key, end) {
			return true
		}
	}
	return false
}

func keysOf(fields []field) []string {
	keys := make([]string, len(fields))
	for i, f := range fields {
		keys[i] = f.key
	}
	return keys
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// leaves calls visit for every value below v that environment and flags can
// set: all but tables. path is dotted.
func leaves(v reflect.Value, path string, visit func(path string, f field, v reflect.Value)) {
	for _, f := range fieldsOf(v.Type()) {
		value := v.FieldByIndex(f.index)
		if isTable(f.typ) {
			leaves(value, join(path, f.key), visit)
		} else {
			visit(join(path, f.key), f, value)
		}
	}
}
