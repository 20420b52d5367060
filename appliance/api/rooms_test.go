package api_test

import (
	"net/http"
	"strings"
	"testing"

	"signalbox/appliance/api"
)

func TestRoomLifecycle(t *testing.T) {
	b := newBox(t)
	boss := bearer(b.admin)

	created := b.do("POST", "/v1/rooms", boss, body(`{"name":"hall/line-3","description":"Press line 3","capacity":4,"allow":["cam-*"]}`))
	room := want[api.Room](created, http.StatusCreated)
	if got := created.header.Get("Location"); got != "/v1/rooms/hall%2Fline-3" {
		t.Errorf("Location %q, want the percent-encoded path", got)
	}
	if room.Name != "hall/line-3" || room.Capacity != 4 || room.Version == 0 || len(room.Allow) != 1 {
		t.Errorf("created %+v", room)
	}
	read := b.do("GET", "/v1/rooms/hall%2Fline-3", boss)
	if got := want[api.Room](read, http.StatusOK); got.Description != "Press line 3" || got.Version != room.Version {
		t.Errorf("read %+v, want what was created", got)
	}

	etag := read.header.Get("ETag")
	patched := want[api.Room](b.do("PATCH", "/v1/rooms/hall%2Fline-3", boss, header("If-Match", etag), body(`{"description":"","pinned":true}`)), http.StatusOK)
	if patched.Description != "" || !patched.Pinned || patched.Capacity != 4 || patched.Version <= room.Version {
		t.Errorf("patched %+v, want description and pinned changed, capacity kept", patched)
	}
	lost := b.do("PATCH", "/v1/rooms/hall%2Fline-3", boss, header("If-Match", etag), body(`{"capacity":9}`)).
		refused(http.StatusPreconditionFailed, "version_conflict", `room "hall/line-3"`)
	if lost.Version != patched.Version || !lost.Temporary {
		t.Errorf("conflict %+v, want version %d, temporary", lost, patched.Version)
	}

	b.do("DELETE", "/v1/rooms/hall%2Fline-3", boss).empty()
	b.do("GET", "/v1/rooms/hall%2Fline-3", boss).refused(http.StatusNotFound, "room_not_found", `"hall/line-3"`)
}

func TestRoomListPages(t *testing.T) {
	b := newBox(t)
	for _, name := range []string{"a-1", "a-2", "a-3", "b-1"} {
		want[api.Room](b.do("POST", "/v1/rooms", bearer(b.admin), body(`{"name":%q}`, name)), http.StatusCreated)
	}
	b.rooms.join(t, "a-1", "m_1")
	names := func(query string) string {
		t.Helper()
		list := want[api.RoomList](b.do("GET", "/v1/rooms"+query, bearer(b.admin)), http.StatusOK)
		var names []string
		for _, room := range list.Rooms {
			names = append(names, room.Name)
			if room.Name == "a-1" && (room.Count != 1 || (len(room.Members) == 1) != strings.Contains(query, "members=true")) {
				t.Errorf("%s: a-1 has count %d and %d members", query, room.Count, len(room.Members))
			}
		}
		if list.Next != "" {
			names = append(names, "next="+list.Next)
		}
		return strings.Join(names, " ")
	}
	for query, want := range map[string]string{
		"":                         "a-1 a-2 a-3 b-1",
		"?members=true":            "a-1 a-2 a-3 b-1",
		"?limit=2":                 "a-1 a-2 next=a-2",
		"?limit=2&after=a-2":       "a-3 b-1",
		"?match=a-*&limit=2":       "a-1 a-2 next=a-2",
		"?match=a-*&after=a-2":     "a-3",
		"?match=*-1&members=false": "a-1 b-1",
		"?after=z":                 "",
	} {
		if got := names(query); got != want {
			t.Errorf("GET /v1/rooms%s = %q, want %q", query, got, want)
		}
	}
}

func TestRoomRefusals(t *testing.T) {
	b := newBox(t)
	boss := bearer(b.admin)
	want[api.Room](b.do("POST", "/v1/rooms", boss, body(`{"name":"line-3"}`)), http.StatusCreated)
	long := strings.Repeat("x", 65)
	for name, test := range map[string]struct {
		method, path string
		opts         []option
		status       int
		code, text   string
		field        string
	}{
		"twice":        {"POST", "/v1/rooms", []option{body(`{"name":"line-3"}`)}, 409, "room_exists", `"line-3"`, ""},
		"no name":      {"POST", "/v1/rooms", []option{body(`{}`)}, 400, "bad_request", "name", "name"},
		"long name":    {"POST", "/v1/rooms", []option{body(`{"name":%q}`, long)}, 400, "bad_request", "64", "name"},
		"space":        {"POST", "/v1/rooms", []option{body(`{"name":"line 3"}`)}, 400, "bad_request", "line 3", "name"},
		"slash at end": {"POST", "/v1/rooms", []option{body(`{"name":"line/"}`)}, 400, "bad_request", "line/", "name"},
		"capacity":     {"POST", "/v1/rooms", []option{body(`{"name":"r","capacity":-1}`)}, 400, "bad_request", "capacity", "capacity"},
		"description":  {"POST", "/v1/rooms", []option{body(`{"name":"r","description":%q}`, strings.Repeat("x", 2000))}, 400, "bad_request", "description", "description"},
		"unknown":      {"POST", "/v1/rooms", []option{body(`{"name":"r","colour":"red"}`)}, 400, "bad_request", "allow, capacity, description, name, pinned", "colour"},
		"patch name":   {"PATCH", "/v1/rooms/line-3", []option{body(`{"name":"r"}`)}, 400, "bad_request", "no field", "name"},
		"patch none":   {"PATCH", "/v1/rooms/none", []option{body(`{}`)}, 404, "room_not_found", `"none"`, ""},
		"patch null":   {"PATCH", "/v1/rooms/line-3", []option{body(`{"pinned":null}`)}, 400, "bad_request", "null", "pinned"},
		"etag":         {"PATCH", "/v1/rooms/line-3", []option{body(`{}`), header("If-Match", "W/x")}, 400, "bad_request", "W/x", "If-Match"},
		"etag 0":       {"PATCH", "/v1/rooms/line-3", []option{body(`{}`), header("If-Match", `"0"`)}, 400, "bad_request", "version 1", "If-Match"},
		"delete none":  {"DELETE", "/v1/rooms/none", nil, 404, "room_not_found", `"none"`, ""},
		"bare slash":   {"GET", "/v1/rooms/hall/line-3", nil, 404, "not_found", "%2F", ""},
		"limit":        {"GET", "/v1/rooms?limit=0", nil, 400, "bad_request", "1 to 1000", "limit"},
		"members":      {"GET", "/v1/rooms?members=maybe", nil, 400, "bad_request", "true or false", "members"},
		"parameter":    {"GET", "/v1/rooms?mach=a", nil, 400, "bad_request", `"mach"`, "mach"},
		"query":        {"GET", "/v1/rooms?match=%zz", nil, 400, "bad_request", "not well-formed", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.do(test.method, test.path, append(test.opts, boss)...).refused(test.status, test.code, test.text)
			if got.Field != test.field {
				t.Errorf("field %q, want %q", got.Field, test.field)
			}
		})
	}
}

func TestRoomsRunOut(t *testing.T) {
	b := newBox(t)
	for i := range 20 {
		want[api.Room](b.do("POST", "/v1/rooms", bearer(b.admin), body(`{"name":"r%d"}`, i)), http.StatusCreated)
	}
	b.do("POST", "/v1/rooms", bearer(b.admin), body(`{"name":"one-more"}`)).refused(http.StatusConflict, "limit", "delete rooms")
}
