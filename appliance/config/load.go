package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
)

// Redacted stands in place of every secret that is shown.
const Redacted = "[redacted]"

// A loader puts values into a configuration, remembers where each came from,
// and collects every problem on the way instead of stopping at the first.
type loader struct {
	dialect
	root     reflect.Value
	origins  map[string]Origin // by dotted key; list elements as key[i]
	problems Problems
}

// dialect is what differs between the configuration of a box and that of a
// cloud node, beside the keys.
type dialect struct {
	defaultFile string // read when no other is named, if it is there
	envPrefix   string // of the variables that set keys
	others      string // what variables of the other kind begin with; "" for none
}

var (
	boxDialect   = dialect{DefaultFile, envPrefix, cloudEnvPrefix}
	cloudDialect = dialect{DefaultCloudFile, cloudEnvPrefix, ""}
)

func newLoader(config any, d dialect) *loader {
	return &loader{dialect: d, root: reflect.ValueOf(config).Elem(), origins: map[string]Origin{}}
}

func (l *loader) report(p Problem) { l.problems = append(l.problems, p) }

// at tells where the value of a path is written. What has no place of its own,
// such as an element of a list, is where the thing around it is.
type at func(path string) Origin

// setTable puts the values of a decoded table into dst.
func (l *loader) setTable(dst reflect.Value, path string, table map[string]any, at at) {
	fields := fieldsOf(dst.Type())
	for key, v := range table {
		full := join(path, key)
		i := slices.IndexFunc(fields, func(f field) bool { return f.key == key })
		if i < 0 {
			l.unknown(path, key, v, fields, at(full))
			continue
		}
		f := fields[i]
		inner, isMap := v.(map[string]any)
		switch {
		case isTable(f.typ) && isMap:
			l.setTable(dst.FieldByIndex(f.index), full, inner, at)
		case isTable(f.typ):
			l.report(Problem{Origin: at(full), Key: full, Got: shown(v), Want: "a table: [" + full + "]"})
		default:
			l.set(dst.FieldByIndex(f.index), full, f, v, at)
		}
	}
}

// unknown reports a key that is not there, with the likeliest it should be.
func (l *loader) unknown(path, key string, v any, fields []field, where Origin) {
	text := "unknown key; "
	if _, isMap := v.(map[string]any); isMap && path == "" {
		text = "unknown section; "
	}
	text += hint(key, keysOf(fields))
	if path == "" {
		if home := l.homeOf(key); home != "" {
			text = fmt.Sprintf("unknown key; write it below [%s]", home)
		}
	}
	l.report(Problem{Origin: where, Key: shownKey(join(path, key)), Text: text})
}

// homeOf finds the one section that has the key, or "".
func (l *loader) homeOf(key string) string {
	home := ""
	for _, section := range fieldsOf(l.root.Type()) {
		if isTable(section.typ) && slices.Contains(keysOf(fieldsOf(section.typ)), key) {
			if home != "" {
				return ""
			}
			home = section.key
		}
	}
	return home
}

// set puts one decoded value into dst. A value that does not fit is reported
// and leaves dst as it was.
func (l *loader) set(dst reflect.Value, path string, f field, v any, at at) {
	where := at(path)
	switch {
	case isTableList(f.typ):
		l.setTables(dst, path, v, at)
		return
	case isList(f.typ):
		list, ok := v.([]any)
		if !ok {
			list = []any{v} // one value without brackets
		}
		values := reflect.MakeSlice(f.typ, 0, len(list))
		good := true
		for i, item := range list {
			value, err := scalar(item, f.typ.Elem(), f.bytes)
			if err != nil {
				l.misfit(at(fmt.Sprintf("%s[%d]", path, i)), path, f, item, err)
				good = false
				continue
			}
			values = reflect.Append(values, value)
		}
		if !good {
			return
		}
		if values.Len() > 0 || !dst.IsNil() { // an empty list is as good as none
			dst.Set(values)
		}
	default:
		value, err := scalar(v, f.typ, f.bytes)
		if err == nil && f.secret && value.String() == Redacted {
			err = fmt.Errorf("want the secret itself, which was left out where this was copied from")
		}
		if err != nil {
			l.misfit(where, path, f, v, err)
			return
		}
		// A section takes a number of zero for one that nobody set, and it
		// would run with another than it was given.
		if zero := value.IsZero() && isNumber(value); zero && !dst.IsZero() {
			l.misfit(where, path, f, v, fmt.Errorf("want more than zero, or no such line: the default is %s", encode(dst, f)))
			return
		}
		dst.Set(value)
	}
	l.origins[path] = where
}

// isNumber reports whether v is a number, durations and sizes included.
func isNumber(v reflect.Value) bool {
	_, named := reflect.TypeAssert[slog.Level](v) // a number with names for its values
	return (v.CanInt() || v.CanUint() || v.CanFloat()) && !named
}

func (l *loader) misfit(where Origin, path string, f field, v any, err error) {
	p := Problem{Origin: where, Key: path, Got: shown(v)}
	if f.secret {
		p.Got = Redacted
	}
	if want, ok := strings.CutPrefix(err.Error(), "want "); ok {
		p.Want = want
	} else {
		p.Text = "got " + p.Got + ": " + err.Error()
	}
	l.report(p)
}

// setTables replaces a list of tables as a whole.
func (l *loader) setTables(dst reflect.Value, path string, v any, at at) {
	list, ok := v.([]any)
	tables := reflect.MakeSlice(dst.Type(), len(list), len(list))
	for i, item := range list {
		table, isMap := item.(map[string]any)
		if !isMap {
			ok = false
			break
		}
		l.setTable(tables.Index(i), fmt.Sprintf("%s[%d]", path, i), table, at)
	}
	if !ok {
		l.report(Problem{Origin: at(path), Key: path, Got: shown(v), Want: "tables: [[" + path + "]]"})
		return
	}
	if tables.Len() > 0 || !dst.IsNil() {
		dst.Set(tables)
	}
	l.origins[path] = at(path)
}
