package config

import (
	"reflect"
	"slices"
)

// Changed lists the dotted keys whose values differ, but for those of live, in
// the order of Settings. A list of tables counts as one value. Secrets are
// compared, too, and not told.
func Changed(before, after Config, live ...string) []string {
	return changed(reflect.ValueOf(before), reflect.ValueOf(after), live)
}

// ChangedCloud is Changed for a cloud node.
func ChangedCloud(before, after Cloud, live ...string) []string {
	return changed(reflect.ValueOf(before), reflect.ValueOf(after), live)
}

func changed(before, after reflect.Value, live []string) []string {
	var keys []string
	now := map[string]reflect.Value{}
	leaves(after, "", func(path string, _ field, v reflect.Value) { now[path] = v })
	leaves(before, "", func(path string, _ field, v reflect.Value) {
		if !same(v, now[path]) && !slices.Contains(live, path) {
			keys = append(keys, path)
		}
	})
	return keys
}

// same takes an empty list for none, as Load does.
func same(x, y reflect.Value) bool {
	if x.Kind() == reflect.Slice && x.Len() == 0 && y.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(x.Interface(), y.Interface())
}
