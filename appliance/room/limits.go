package room

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits bounds what local changes may make. A field that is 0 has its default.
// A merge is never refused over a limit: boxes that were apart may each have
// filled a room, and dropping a member then would be worse than one too many.
type Limits struct {
	Rooms            int // on this box; default 10,000
	Capacity         int // of a room that does not say; default 1,000
	Members          int // most that a room may ask for as its Capacity; default 10,000
	DescriptionBytes int // default 1 KiB
	AllowEntries     int // default 64
	MetadataKeys     int // of one room; default 64
	MetadataBytes    int // keys and values of one room; default 64 KiB
	MemberBytes      int // Subject, Name and Meta of one member; default 8 KiB
}

// Bounds that are the same on every box.
const (
	maxPatternBytes  = 256 // one entry of Allow
	maxKeyBytes      = 64  // a metadata key
	maxMemberIDBytes = 128
	maxNumber        = 1<<53 - 1 // of stamps and ordinals, which browsers read
)

func (l Limits) withDefaults() Limits {
	for _, f := range []struct {
		limit    *int
		standard int
	}{
		{&l.Rooms, 10_000},
		{&l.Capacity, 1_000},
		{&l.Members, 10_000},
		{&l.DescriptionBytes, 1 << 10},
		{&l.AllowEntries, 64},
		{&l.MetadataKeys, 64},
		{&l.MetadataBytes, 64 << 10},
		{&l.MemberBytes, 8 << 10},
	} {
		if *f.limit == 0 {
			*f.limit = f.standard
		}
	}
	return l
}

// checkInfo returns an *InvalidError for the first thing about info that a room
// may not have.
func (l Limits) checkInfo(info Info) error {
	if err := ValidName(info.Name); err != nil {
		return err
	}
	if err := checkText("description", info.Description, 0, l.DescriptionBytes, "\n\t"); err != nil {
		return err
	}
	if info.Capacity < 0 || info.Capacity > l.Members {
		return invalid("capacity", fmt.Sprint(info.Capacity), "0 (the default of %d) to %d", l.Capacity, l.Members)
	}
	if len(info.Allow) > l.AllowEntries {
		return invalid("allow", fmt.Sprintf("%d patterns", len(info.Allow)), "at most %d", l.AllowEntries)
	}
	for i, pattern := range info.Allow {
		if err := checkText(fmt.Sprintf("allow[%d]", i), pattern, 1, maxPatternBytes, ""); err != nil {
			return err
		}
	}
	return l.checkMetadata(info.Metadata)
}

func (l Limits) checkMetadata(metadata map[string]Value) error {
	size := 0
	for _, key := range sortedKeys(metadata) {
		data := metadata[key].Data
		size += len(key) + len(data)
		if err := checkMetadataValue(key, data); err != nil {
			return err
		}
	}
	return l.checkMetadataSize(len(metadata), size)
}

func checkMetadataValue(key string, data json.RawMessage) error {
	if err := checkText("metadata key", key, 1, maxKeyBytes, ""); err != nil {
		return err
	}
	if !json.Valid(data) {
		return invalid("metadata."+key, quote(string(data)), "valid JSON")
	}
	return nil
}

func (l Limits) checkMetadataSize(keys, size int) error {
	if keys > l.MetadataKeys {
		return invalid("metadata", fmt.Sprintf("%d keys", keys), "at most %d", l.MetadataKeys)
	}
	if size > l.MetadataBytes {
		return invalid("metadata", fmt.Sprintf("%d bytes of keys and values", size), "at most %d", l.MetadataBytes)
	}
	return nil
}

// checkMember returns an *InvalidError for the first thing about m that a member
// may not have.
func (l Limits) checkMember(m Member) error {
	if err := checkText("id", m.ID, 1, maxMemberIDBytes, ""); err != nil {
		return err
	}
	if err := checkText("subject", m.Subject, 0, l.MemberBytes, ""); err != nil {
		return err
	}
	if err := checkText("name", m.Name, 0, l.MemberBytes, ""); err != nil {
		return err
	}
	if len(m.Meta) > 0 && !json.Valid(m.Meta) {
		return invalid("meta", quote(string(m.Meta)), "valid JSON")
	}
	if size := len(m.Subject) + len(m.Name) + len(m.Meta); size > l.MemberBytes {
		return invalid("meta", fmt.Sprintf("%d bytes with subject and name", size), "at most %d", l.MemberBytes)
	}
	if m.Joined > maxNumber {
		return invalid("joined", fmt.Sprint(m.Joined), "at most %d", uint64(maxNumber))
	}
	_, err := m.State.MarshalText()
	return err
}

// checkText returns an *InvalidError unless s is UTF-8 of that many bytes and
// free of control characters other than those in allowed.
func checkText(field, s string, minBytes, maxBytes int, allowed string) error {
	if len(s) < minBytes || len(s) > maxBytes {
		return invalid(field, quote(s), "%d to %d bytes", minBytes, maxBytes)
	}
	if !utf8.ValidString(s) {
		return invalid(field, quote(s), "valid UTF-8")
	}
	for _, c := range s {
		if unicode.IsControl(c) && !strings.ContainsRune(allowed, c) {
			return invalid(field, quote(s), "no control characters")
		}
	}
	return nil
}

func invalid(field, got, want string, args ...any) error {
	return &InvalidError{Field: field, Got: got, Want: fmt.Sprintf(want, args...)}
}
