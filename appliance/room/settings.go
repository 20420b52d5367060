package room

import (
	"encoding/json"
	"maps"
	"slices"
)

// field is one setting and the write that made it.
type field[T any] struct {
	mark
	value T
}

func (f *field[T]) put(m mark, value T) {
	f.mark, f.value = m, value
}

func (f *field[T]) takeLater(other field[T]) {
	if f.compare(other.mark) < 0 {
		*f = other
	}
}

// settings is what Info says of a room, but for its name and metadata. Each
// field keeps the mark of the write that made it, so that two boxes changing
// different fields at once both get their way.
type settings struct {
	description field[string]
	capacity    field[int]
	pinned      field[bool]
	allow       field[[]string]
}

// resolve takes from each version of the settings the fields written last. A
// slot without versions resolves to zero.
func resolve(header slot[settings]) settings {
	if len(header) == 0 {
		return settings{}
	}
	now := header[0].value
	for _, v := range header[1:] {
		now.description.takeLater(v.value.description)
		now.capacity.takeLater(v.value.capacity)
		now.pinned.takeLater(v.value.pinned)
		now.allow.takeLater(v.value.allow)
	}
	return now
}

// marks tells whether two settings look the same: they do when these are equal.
func (s *settings) marks() [4]mark {
	return [4]mark{s.description.mark, s.capacity.mark, s.pinned.mark, s.allow.mark}
}

// matches reports whether info says the same, its name and metadata aside.
func (s *settings) matches(info Info) bool {
	return s.description.value == info.Description &&
		s.capacity.value == info.Capacity &&
		s.pinned.value == info.Pinned &&
		slices.Equal(s.allow.value, info.Allow)
}

// set writes, under m, those fields of info that differ.
func (s *settings) set(m mark, info Info) {
	if s.description.value != info.Description {
		s.description.put(m, info.Description)
	}
	if s.capacity.value != info.Capacity {
		s.capacity.put(m, info.Capacity)
	}
	if s.pinned.value != info.Pinned {
		s.pinned.put(m, info.Pinned)
	}
	if !slices.Equal(s.allow.value, info.Allow) {
		s.allow.put(m, slices.Clone(info.Allow))
	}
}

// newSettings makes every field anew under m.
func newSettings(m mark, info Info) settings {
	var s settings
	s.description.put(m, info.Description)
	s.capacity.put(m, info.Capacity)
	s.pinned.put(m, info.Pinned)
	s.allow.put(m, slices.Clone(info.Allow))
	return s
}

// infoOf makes the copy of a room's Info that callers get.
func infoOf(name string, now settings, metadata map[string]slot[json.RawMessage]) Info {
	info := Info{
		Name:        name,
		Description: now.description.value,
		Capacity:    now.capacity.value,
		Pinned:      now.pinned.value,
		Allow:       slices.Clone(now.allow.value),
	}
	if len(metadata) > 0 {
		info.Metadata = make(map[string]Value, len(metadata))
		for key, s := range metadata {
			info.Metadata[key] = valueOf(s)
		}
	}
	return info
}

// valueOf is the metadata value shown for a slot; zero when it is empty.
func valueOf(s slot[json.RawMessage]) Value {
	if len(s) == 0 {
		return Value{}
	}
	return Value{Data: s[0].value, Version: s[0].stamp}
}

// sortedKeys returns the keys of m in order: maps are walked in a fixed order
// wherever it shows in dots or bytes.
func sortedKeys[T any](m map[string]T) []string {
	return slices.Sorted(maps.Keys(m))
}
