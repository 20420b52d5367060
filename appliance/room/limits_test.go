package room_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"signalbox/appliance/room"
)

func TestValidName(t *testing.T) {
	for _, name := range []string{"a", "line-3", "Hall_2.north/cell-1", "...", strings.Repeat("x", 64)} {
		if err := room.ValidName(name); err != nil {
			t.Errorf("ValidName(%q) = %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"":                      `name: got "", want 1 to 64 bytes`,
		strings.Repeat("x", 65): "want 1 to 64 bytes",
		"two words":             `name: got "two words", want ASCII letters, digits, "-", "_", "." and "/" (byte 4 is not)`,
		"grün":                  "byte 3 is not",
		"*":                     "byte 1 is not",
		"/hall":                 `no "/" at either end nor two in a row`,
		"hall/":                 `no "/" at either end`,
		"hall//cell":            `no "/" at either end`,
		"hall/../yard":          `no part between slashes to be "." or ".."`,
		".":                     `no part between slashes`,
	} {
		err := room.ValidName(name)
		if _, ok := errors.AsType[*room.InvalidError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("ValidName(%q) = %v, want %q in it", name, err, want)
		}
	}
}

func TestMatchName(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"hall", "hall", true},
		{"hall", "hall2", false},
		{"hall2", "hall", false},
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "line-3/cell-1", true},
		{"line-*", "line-", true},
		{"line-*/cam", "line-3/x/cam", true},
		{"line-*/cam", "line-3/x/came", false},
		{"*-cam-*", "hall-cam-7", true},
		{"a*b*c", "aXbXbXc", true},
		{"a*b*c", "aXbXbX", false},
		{"**a", "xa", true},
		{"a?c", "abc", false},
		{"[ab]", "a", false},
		{strings.Repeat("a*", 100) + "b", strings.Repeat("a", 10_000), false},
	} {
		if got := room.MatchName(tc.pattern, tc.name); got != tc.want {
			t.Errorf("MatchName(%.20q, %.20q) = %t, want %t", tc.pattern, tc.name, got, tc.want)
		}
	}
}

func FuzzMatchName(f *testing.F) {
	f.Add("line-*/cam", "line-", "3/x", "/cam")
	f.Fuzz(func(t *testing.T, pattern, before, between, after string) {
		_ = room.MatchName(pattern, before) // only that it ends
		if name := before + between + after; !room.MatchName(before+"*"+after, name) && !strings.Contains(before+after, "*") {
			t.Errorf("%q does not match %q", before+"*"+after, name)
		}
	})
}

func TestLimits(t *testing.T) {
	long := strings.Repeat("x", 300)
	value := func(data string) map[string]room.Value {
		return map[string]room.Value{"k": {Data: json.RawMessage(data)}}
	}
	for _, tc := range []struct {
		info        room.Info
		field, want string
	}{
		{room.Info{Description: long}, "description", "0 to 256 bytes"},
		{room.Info{Description: "\xff"}, "description", "valid UTF-8"},
		{room.Info{Description: "\x00"}, "description", "no control characters"},
		{room.Info{Capacity: -1}, "capacity", "0 (the default of 10) to 20"},
		{room.Info{Capacity: 21}, "capacity", "0 (the default of 10) to 20"},
		{room.Info{Allow: []string{"a", "b", "c"}}, "allow", "at most 2"},
		{room.Info{Allow: []string{"a", ""}}, "allow[1]", "1 to 256 bytes"},
		{room.Info{Metadata: value(`{`)}, "metadata.k", "valid JSON"},
		{room.Info{Metadata: value(``)}, "metadata.k", "valid JSON"},
		{room.Info{Metadata: value(`"` + long + `"`)}, "metadata", "at most 256"},
		{room.Info{Metadata: map[string]room.Value{"": {Data: []byte(`1`)}}}, "metadata key", "1 to 64 bytes"},
		{room.Info{Metadata: map[string]room.Value{"a": {Data: []byte(`1`)}, "b": {Data: []byte(`1`)}}}, "metadata", "at most 1"},
	} {
		s := room.New(room.Origin{Box: "box", Incarnation: 1}, room.Limits{
			Capacity: 10, Members: 20, DescriptionBytes: 256, AllowEntries: 2, MetadataKeys: 1, MetadataBytes: 256,
		})
		tc.info.Name = "hall"
		_, err := s.Create(tc.info)
		wantInvalid(t, err, tc.field, tc.want)
		if s.Len() != 0 || len(s.Vector()) != 0 {
			t.Errorf("%s: refused and changed the state", tc.field)
		}
	}
}

func wantInvalid(t *testing.T, err error, field, want string) {
	t.Helper()
	invalid, ok := errors.AsType[*room.InvalidError](err)
	if !ok || invalid.Field != field || invalid.Want != want {
		t.Errorf("got error %v, want one about %q that wants %q", err, field, want)
	} else if len(err.Error()) > 300 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

func TestMetadataLimits(t *testing.T) {
	s := room.New(room.Origin{Box: "box", Incarnation: 1}, room.Limits{MetadataKeys: 2, MetadataBytes: 10})
	if _, err := s.Create(room.Info{Name: "hall"}); err != nil {
		t.Fatal(err)
	}
	set := func(key, data string) error {
		_, err := s.SetMetadata("hall", key, []byte(data), nil)
		return err
	}
	if err := errors.Join(set("a", `1`), set("b", `22`), set("b", `1234567`)); err != nil {
		t.Fatal(err)
	}
	wantInvalid(t, set("b", `12345678`), "metadata", "at most 10")
	wantInvalid(t, set("c", `1`), "metadata", "at most 2")
	wantInvalid(t, set("b", `nil`), "metadata.b", "valid JSON")
}

func TestMemberLimits(t *testing.T) {
	s := room.New(room.Origin{Box: "box", Incarnation: 1}, room.Limits{MemberBytes: 20})
	if _, err := s.Create(room.Info{Name: "hall"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		member      room.Member
		field, want string
	}{
		{room.Member{}, "id", "1 to 128 bytes"},
		{room.Member{ID: "a\n"}, "id", "no control characters"},
		{room.Member{ID: "a", Subject: strings.Repeat("s", 21)}, "subject", "0 to 20 bytes"},
		{room.Member{ID: "a", Name: "\xc0"}, "name", "valid UTF-8"},
		{room.Member{ID: "a", Meta: []byte(`{`)}, "meta", "valid JSON"},
		{room.Member{ID: "a", Subject: "1234567890", Name: "1234567890", Meta: []byte(`1`)}, "meta", "at most 20"},
		{room.Member{ID: "a", State: 7}, "state", `"online" or "suspended"`},
		{room.Member{ID: "a", Joined: 1 << 53}, "joined", "at most 9007199254740991"},
	} {
		_, err := s.Join("hall", tc.member)
		wantInvalid(t, err, tc.field, tc.want)
	}
	if s.MemberCount("hall") != 0 {
		t.Error("somebody was let in")
	}
}
