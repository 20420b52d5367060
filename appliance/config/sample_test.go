package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestDocs(t *testing.T) {
	left := maps.Clone(docs)
	var walk func(t reflect.Type, path string)
	walk = func(typ reflect.Type, path string) {
		for _, f := range fieldsOf(typ) {
			full := join(path, f.key)
			if docs[full] == "" {
				t.Errorf("%s is not documented in docs.go", full)
			}
			delete(left, full)
			if isTable(f.typ) {
				walk(f.typ, full)
			} else if isTableList(f.typ) {
				walk(f.typ.Elem(), full)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	for _, key := range slices.Sorted(maps.Keys(left)) {
		t.Errorf("docs.go describes %s, which is no key", key)
	}
}

// TestKeys reads every key once from the environment, so that a section cannot
// have one of a type that nothing reads, and no two share a variable.
func TestKeys(t *testing.T) {
	cfg := Default()
	seen := map[string]string{}
	for path := range newLoader(&cfg, boxDialect).targets() {
		name := boxDialect.envName(path)
		if other, twice := seen[name]; twice {
			t.Errorf("%s and %s share %s", path, other, name)
		}
		seen[name] = path
		if strings.ToLower(path) != path || strings.ContainsAny(path, "- ") {
			t.Errorf("%s is not spelled like a key", path)
		}
		newLoader(&cfg, boxDialect).environment([]string{name + "=x"})
	}
}
