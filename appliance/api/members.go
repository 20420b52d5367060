package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"signalbox/appliance/room"
	"signalbox/internal/jsonapi"
)

func (a *API) listMembers(c *call) (MemberList, error) {
	view, err := a.room(c)
	if err != nil {
		return MemberList{}, err
	}
	return MemberList{Members: membersOf(view)}, nil
}

func (a *API) kickMember(c *call) error {
	ctx, cancel := c.change()
	defer cancel()
	name, member := c.r.PathValue("name"), c.r.PathValue("member")
	err := a.cfg.Rooms.Kick(ctx, name, member)
	if errors.Is(err, room.ErrNoMember) {
		return jsonapi.Refuse(http.StatusNotFound, "member_not_found", "room %q has no member %q; see GET /v1/rooms/{name}/members", name, member)
	}
	return roomFault(err, name, "")
}

func membersOf(view room.View) []Member {
	members := make([]Member, 0, len(view.Members))
	for _, m := range view.Members {
		members = append(members, Member{
			Member: m.ID, Subject: m.Subject, Name: m.Name, Meta: m.Meta, State: m.State.String(), Joined: m.Joined,
		})
	}
	return members
}

func (a *API) putMetadata(c *call, in *ValuePut) (Value, error) {
	if len(in.Data) == 0 || string(in.Data) == "null" {
		return Value{}, jsonapi.Wrong("data", "data is missing or null; send a JSON value, or DELETE the entry")
	}
	return a.setMetadata(c, in.Data)
}

func (a *API) deleteMetadata(c *call) error {
	view, err := a.room(c)
	if err != nil {
		return err
	}
	key := c.r.PathValue("key")
	if _, ok := view.Metadata[key]; !ok {
		return jsonapi.Refuse(http.StatusNotFound, "key_not_found", "room %q has no metadata %q", view.Name, key)
	}
	_, err = a.setMetadata(c, nil)
	return err
}

func (a *API) setMetadata(c *call, data json.RawMessage) (Value, error) {
	version, err := ifMatch(c.r)
	if err != nil {
		return Value{}, err
	}
	name, key := c.r.PathValue("name"), c.r.PathValue("key")
	ctx, cancel := c.change()
	defer cancel()
	value, err := a.cfg.Rooms.SetMetadata(ctx, name, key, data, version)
	if err != nil {
		return Value{}, roomFault(err, name, key)
	}
	c.w.Header().Set("ETag", etag(value.Version))
	return Value{Data: value.Data, Version: value.Version}, nil
}

// ifMatch reads the version a change is meant for: nil when it is meant for any.
func ifMatch(r *http.Request) (*uint64, error) {
	text := strings.Join(r.Header.Values("If-Match"), ",")
	if text == "" || text == "*" {
		return nil, nil
	}
	version, err := strconv.ParseUint(strings.Trim(text, `"`), 10, 64)
	if err != nil {
		return nil, jsonapi.Wrong("If-Match", "If-Match is %.64q; send one version, like %q", text, `"17"`)
	}
	return &version, nil
}

func etag(version uint64) string { return fmt.Sprintf("%q", strconv.FormatUint(version, 10)) }

// roomFault puts the names of the request into an error of Rooms.
func roomFault(err error, name, key string) error {
	version, lost := errors.AsType[*room.VersionError](err)
	switch {
	case lost:
		what := fmt.Sprintf("room %q", name)
		if key != "" {
			what = fmt.Sprintf("metadata %q of room %q", key, name)
		}
		f := jsonapi.Refuse(http.StatusPreconditionFailed, "version_conflict", "%s: %v", what, err)
		f.Body.Temporary, f.Body.Version = true, version.Current
		return f
	case errors.Is(err, room.ErrNotFound):
		return roomNotFound(name)
	case errors.Is(err, room.ErrExists):
		return jsonapi.Refuse(http.StatusConflict, "room_exists", "room %q exists already; change it with PATCH, or take another name", name)
	}
	return err
}
