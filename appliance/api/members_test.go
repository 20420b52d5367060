package api_test

import (
	"net/http"
	"testing"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

func TestMembersAreListedAndKicked(t *testing.T) {
	b := newBox(t)
	want[api.Room](b.do("POST", "/v1/rooms", bearer(b.admin), body(`{"name":"line-3","pinned":true}`)), http.StatusCreated)
	b.rooms.join(t, "line-3", "m_1")
	b.rooms.join(t, "line-3", "m_2")
	list := want[api.MemberList](b.do("GET", "/v1/rooms/line-3/members", bearer(b.admin)), http.StatusOK)
	if len(list.Members) != 2 || list.Members[0].Member != "m_1" || list.Members[0].State != "online" ||
		list.Members[0].Name != "Camera 7" || list.Members[0].Joined >= list.Members[1].Joined {
		t.Errorf("members %+v, want m_1 and m_2 in the order of joining", list.Members)
	}
	b.do("DELETE", "/v1/rooms/line-3/members/m_1", bearer(b.admin)).empty()
	b.do("DELETE", "/v1/rooms/line-3/members/m_1", bearer(b.admin)).refused(http.StatusNotFound, "member_not_found", `"m_1"`)
	b.do("DELETE", "/v1/rooms/none/members/m_1", bearer(b.admin)).refused(http.StatusNotFound, "room_not_found", `"none"`)
	b.do("GET", "/v1/rooms/none/members", bearer(b.admin)).refused(http.StatusNotFound, "room_not_found", `"none"`)
}

func TestMetadataIsCompareAndSet(t *testing.T) {
	b := newBox(t)
	boss, path := bearer(b.admin), "/v1/rooms/line-3/metadata/layout"
	want[api.Room](b.do("POST", "/v1/rooms", boss, body(`{"name":"line-3","pinned":true}`)), http.StatusCreated)

	first := b.do("PUT", path, boss, header("If-Match", `"0"`), body(`{"data":{"cols":2}}`))
	value := want[api.Value](first, http.StatusOK)
	if string(value.Data) != `{"cols":2}` || value.Version == 0 {
		t.Errorf("value %s version %d, want the data and a version", value.Data, value.Version)
	}
	lost := b.do("PUT", path, boss, header("If-Match", `"0"`), body(`{"data":1}`)).
		refused(http.StatusPreconditionFailed, "version_conflict", `metadata "layout" of room "line-3"`)
	if lost.Version != value.Version {
		t.Errorf("conflict names version %d, want %d", lost.Version, value.Version)
	}
	second := want[api.Value](b.do("PUT", path, boss, header("If-Match", first.header.Get("ETag")), body(`{"data":[1, 2]}`)), http.StatusOK)
	want[api.Value](b.do("PUT", path, boss, body(`{"data":"any version"}`)), http.StatusOK)
	room := want[api.Room](b.do("GET", "/v1/rooms/line-3", boss), http.StatusOK)
	if got := string(room.Metadata["layout"].Data); got != `"any version"` {
		t.Errorf("the room shows %s", got)
	}
	b.do("DELETE", path, boss, header("If-Match", `"`+itoa(second.Version)+`"`)).refused(http.StatusPreconditionFailed, "version_conflict", "layout")
	b.do("DELETE", path, boss).empty()
	b.do("DELETE", path, boss).refused(http.StatusNotFound, "key_not_found", `"layout"`)

	for name, test := range map[string]struct{ path, body, text string }{
		"null":    {path, `{"data":null}`, "DELETE"},
		"missing": {path, `{}`, "data is missing"},
		"version": {path, `{"data":1,"version":3}`, `"version"`},
	} {
		t.Run(name, func(t *testing.T) {
			b.do("PUT", test.path, boss, body("%s", test.body)).refused(http.StatusBadRequest, "bad_request", test.text)
		})
	}
	b.do("PUT", "/v1/rooms/none/metadata/k", boss, body(`{"data":1}`)).refused(http.StatusNotFound, "room_not_found", `"none"`)
	b.do("DELETE", "/v1/rooms/none/metadata/k", boss).refused(http.StatusNotFound, "room_not_found", `"none"`)
}

func TestManagerOfOneRoom(t *testing.T) {
	b := newBox(t)
	for _, name := range []string{"line-3", "office"} {
		want[api.Room](b.do("POST", "/v1/rooms", bearer(b.admin), body(`{"name":%q,"pinned":true}`, name)), http.StatusCreated)
		b.rooms.join(t, name, "m_1")
	}
	foreman := bearer(b.token("foreman", auth.RightManage, "line-*")) // without join: manages from outside
	want[api.Room](b.do("GET", "/v1/rooms/line-3", foreman), http.StatusOK)
	want[api.MemberList](b.do("GET", "/v1/rooms/line-3/members", foreman), http.StatusOK)
	want[api.Value](b.do("PUT", "/v1/rooms/line-3/metadata/k", foreman, body(`{"data":1}`)), http.StatusOK)
	b.do("DELETE", "/v1/rooms/line-3/metadata/k", foreman).empty()
	b.do("DELETE", "/v1/rooms/line-3/members/m_1", foreman).empty()

	b.do("DELETE", "/v1/rooms/office/members/m_1", foreman).refused(http.StatusForbidden, "forbidden", `"office" is none of them`)
	b.do("GET", "/v1/rooms/none", foreman).refused(http.StatusForbidden, "forbidden", `"none" is none of them`)
	b.do("PATCH", "/v1/rooms/line-3", foreman, body(`{}`)).refused(http.StatusForbidden, "forbidden", "needs admin")
	b.do("GET", "/v1/rooms", foreman).refused(http.StatusForbidden, "forbidden", "needs admin")
	device := bearer(b.token("cam-7", auth.DeviceRights, "line-*"))
	b.do("GET", "/v1/rooms/line-3", device).refused(http.StatusForbidden, "forbidden", "needs manage or admin")
}
