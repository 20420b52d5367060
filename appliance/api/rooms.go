package api

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"signalbox/appliance/room"
	"signalbox/internal/jsonapi"
	"signalbox/internal/order"
)

const (
	defaultPage = 200
	maxPage     = 1000
)

var roomQuery = []jsonapi.Query{
	{Name: "match", Kind: "string", About: "Only rooms whose name fits this pattern, in which * stands for any run of characters."},
	{Name: "after", Kind: "string", About: "Only rooms that come after this name: the next of the page before."},
	{Name: "limit", Kind: "integer", About: "How many rooms at most, 1 to 1000; 200 when left out."},
	{Name: "members", Kind: "boolean", About: "true adds the members of each room."},
}

func (a *API) listRooms(c *call) (RoomList, error) {
	query, err := jsonapi.ParseQuery(c.r, roomQuery)
	if err != nil {
		return RoomList{}, err
	}
	limit, err := pageSize(query)
	if err != nil {
		return RoomList{}, err
	}
	withMembers := false
	if text, ok := query["members"]; ok {
		if withMembers, err = strconv.ParseBool(text); err != nil {
			return RoomList{}, jsonapi.Wrong("members", "members is %.32q; want true or false", text)
		}
	}
	views := slices.DeleteFunc(a.cfg.Rooms.Rooms(), func(v room.View) bool {
		return v.Name <= query["after"] || query["match"] != "" && !room.MatchName(query["match"], v.Name)
	})
	order.By(views, func(x, y room.View) int { return strings.Compare(x.Name, y.Name) })
	list := RoomList{Rooms: make([]Room, 0, min(limit, len(views)))}
	for _, view := range views[:min(limit, len(views))] {
		list.Rooms = append(list.Rooms, roomOf(view, withMembers))
	}
	if len(views) > limit {
		list.Next = views[limit-1].Name
	}
	return list, nil
}

func (a *API) createRoom(c *call, in *RoomCreate) (Room, error) {
	ctx, cancel := c.change()
	defer cancel()
	view, err := a.cfg.Rooms.CreateRoom(ctx, room.Info{
		Name: in.Name, Description: in.Description, Capacity: in.Capacity, Pinned: in.Pinned, Allow: in.Allow,
	})
	if err != nil {
		return Room{}, roomFault(err, in.Name, "")
	}
	c.w.Header().Set("Location", "/v1/rooms/"+url.PathEscape(view.Name))
	return a.showRoom(c, view), nil
}

func (a *API) getRoom(c *call) (Room, error) {
	view, err := a.room(c)
	if err != nil {
		return Room{}, err
	}
	return a.showRoom(c, view), nil
}

func (a *API) patchRoom(c *call, in *RoomPatch) (Room, error) {
	version, err := ifMatch(c.r)
	if err != nil {
		return Room{}, err
	}
	if version == nil {
		version = new(uint64) // any
	} else if *version == 0 {
		return Room{}, jsonapi.Wrong("If-Match", `If-Match is "0"; rooms start at version 1`)
	}
	name := c.r.PathValue("name")
	ctx, cancel := c.change()
	defer cancel()
	view, err := a.cfg.Rooms.UpdateRoom(ctx, name, *version, func(info *room.Info) {
		set(&info.Description, in.Description)
		set(&info.Capacity, in.Capacity)
		set(&info.Pinned, in.Pinned)
		set(&info.Allow, in.Allow)
	})
	if err != nil {
		return Room{}, roomFault(err, name, "")
	}
	return a.showRoom(c, view), nil
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

func (a *API) deleteRoom(c *call) error {
	ctx, cancel := c.change()
	defer cancel()
	name := c.r.PathValue("name")
	return roomFault(a.cfg.Rooms.DeleteRoom(ctx, name), name, "")
}

// room finds the room that the path names.
func (a *API) room(c *call) (room.View, error) {
	name := c.r.PathValue("name")
	view, ok := a.cfg.Rooms.Room(name)
	if !ok {
		return room.View{}, roomNotFound(name)
	}
	return view, nil
}

func (a *API) showRoom(c *call, view room.View) Room {
	c.w.Header().Set("ETag", etag(view.Version))
	return roomOf(view, true)
}

func roomOf(view room.View, withMembers bool) Room {
	r := Room{
		Name: view.Name, Description: view.Description, Capacity: view.Capacity, Pinned: view.Pinned,
		Allow: emptyList(view.Allow), Metadata: make(map[string]Value, len(view.Metadata)),
		Version: view.Version, Count: len(view.Members),
	}
	for key, value := range view.Metadata {
		r.Metadata[key] = Value{Data: value.Data, Version: value.Version}
	}
	if withMembers {
		r.Members = membersOf(view)
	}
	return r
}

// emptyList keeps null out of answers: a list is a list when it is empty.
func emptyList[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// pageSize reads how much of a list is wanted.
func pageSize(query map[string]string) (int, error) {
	text, ok := query["limit"]
	if !ok {
		return defaultPage, nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit < 1 || limit > maxPage {
		return 0, jsonapi.Wrong("limit", "limit is %.32q; want a number from 1 to %d", text, maxPage)
	}
	return limit, nil
}
