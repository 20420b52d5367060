package registry

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"
)

// MaxRecordBytes bounds a record in JSON.
const MaxRecordBytes = 128 << 10

// Table is the records of one kind, by key. T is what encoding/json can write
// and read. If it has a method Ends() time.Time, the broker removes a record at
// that time; zero is never.
type Table[T any] struct {
	registry *Registry
	kind     string
	byKey    map[string]Entry[T]
	under    map[string]map[string]struct{} // keys by what is left of their last point
}

// Entry is a record. What its value points to is shared and must not be changed.
type Entry[T any] struct {
	Key      string // without the kind
	Revision uint64 // of the bucket: larger than that of every record written before
	At       time.Time
	Value    T
}

// ending is what a T may have.
type ending interface{ Ends() time.Time }

// NewTable adds a table to r, before Run. A kind is 1 to 63 of a-z and belongs
// to one table; anything else is a fault of the program and panics.
func NewTable[T any](r *Registry, kind string) *Table[T] {
	t := &Table[T]{registry: r, kind: kind, byKey: make(map[string]Entry[T]), under: make(map[string]map[string]struct{})}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tables[kind] != nil || r.running || checkKey(kind) != nil || strings.Contains(kind, ".") {
		panic("registry: table " + kind + ": made twice, too late, or of a bad name")
	}
	r.tables[kind] = t
	return t
}

// Get returns a record.
func (t *Table[T]) Get(key string) (T, bool) {
	e, ok := t.Entry(key)
	return e.Value, ok
}

// Entry returns a record with what is known about it.
func (t *Table[T]) Entry(key string) (Entry[T], bool) {
	t.registry.mu.RLock()
	defer t.registry.mu.RUnlock()
	e, ok := t.byKey[key]
	return e, ok
}

// All returns every record, by key.
func (t *Table[T]) All() []Entry[T] {
	t.registry.mu.RLock()
	out := make([]Entry[T], 0, len(t.byKey))
	for _, e := range t.byKey {
		out = append(out, e)
	}
	t.registry.mu.RUnlock()
	return sorted(out)
}

// Under returns the records whose keys are parent, a point and one name more, by
// key: the boxes of a site, the commands of a box.
func (t *Table[T]) Under(parent string) []Entry[T] {
	t.registry.mu.RLock()
	out := make([]Entry[T], 0, len(t.under[parent]))
	for key := range t.under[parent] {
		out = append(out, t.byKey[key])
	}
	t.registry.mu.RUnlock()
	return sorted(out)
}

// Len is how many records there are.
func (t *Table[T]) Len() int {
	t.registry.mu.RLock()
	defer t.registry.mu.RUnlock()
	return len(t.byKey)
}

func sorted[T any](entries []Entry[T]) []Entry[T] {
	sort.Slice(entries, func(i, j int) bool { return entries[i].Key < entries[j].Key })
	return entries
}

func parentOf(key string) string {
	return key[:max(0, strings.LastIndexByte(key, '.'))]
}

func (t *Table[T]) applyLocked(key string, revision uint64, at time.Time, value []byte) error {
	e := Entry[T]{Key: key, Revision: revision, At: at}
	if err := json.Unmarshal(value, &e.Value); err != nil {
		return err
	}
	t.byKey[key] = e
	parent := parentOf(key)
	if t.under[parent] == nil {
		t.under[parent] = make(map[string]struct{})
	}
	t.under[parent][key] = struct{}{}
	return nil
}

func (t *Table[T]) removeLocked(key string) bool {
	if _, ok := t.byKey[key]; !ok {
		return false
	}
	delete(t.byKey, key)
	parent := parentOf(key)
	delete(t.under[parent], key)
	if len(t.under[parent]) == 0 {
		delete(t.under, parent)
	}
	return true
}

func (t *Table[T]) keysLocked() []string {
	keys := make([]string, 0, len(t.byKey))
	for key := range t.byKey {
		keys = append(keys, key)
	}
	return keys
}

func (t *Table[T]) hasLocked(key string, revision uint64) bool {
	e, ok := t.byKey[key]
	return ok && e.Revision == revision
}

// checkKey accepts names of a-z, A-Z, 0-9, "-" and "_" joined by points: what a
// bucket takes, and nothing with a meaning in subjects.
func checkKey(key string) error {
	ok := len(key) > 0 && len(key) <= 512
	for name := range strings.SplitSeq(key, ".") {
		ok = ok && name != ""
		for _, c := range []byte(name) {
			ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
		}
	}
	if !ok {
		return fmt.Errorf(`registry key: got %.100q, want names of letters, digits, "-" and "_" joined by points`, key)
	}
	return nil
}
