package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"signalbox/appliance/api"
)

type roomCommands struct {
	List   roomList   `cmd:"" help:"List rooms."`
	Show   roomShow   `cmd:"" help:"Show a room and who is in it."`
	Create roomCreate `cmd:"" help:"Make a room."`
	Update roomUpdate `cmd:"" help:"Change a room."`
	Delete roomDelete `cmd:"" help:"Delete a room; its members are removed."`
	Kick   roomKick   `cmd:"" help:"Remove a member from a room."`
}

func roomPath(name string) string { return "/v1/rooms/" + url.PathEscape(name) }

type roomList struct {
	boxFlags
	Match string `help:"Only rooms whose name fits; * stands for any characters." placeholder:"PATTERN"`
	JSON  bool   `name:"json" help:"Print JSON."`
}

func (c *roomList) Run(p *program) error {
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		rooms, err := allRooms(p, box, c.Match)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, rooms)
		}
		t := newTable(p.stdout, "NAME", "MEMBERS", "CAPACITY", "PINNED", "DESCRIPTION")
		for _, r := range rooms {
			t.row(r.Name, r.Count, orDefault(r.Capacity), yes(r.Pinned), r.Description)
		}
		return t.Flush()
	})
}

// allRooms reads page after page.
func allRooms(p *program, box *client, match string) ([]api.Room, error) {
	rooms := []api.Room{}
	query := url.Values{"limit": {"1000"}}
	if match != "" {
		query.Set("match", match)
	}
	for {
		var page api.RoomList
		if err := box.call(p.ctx, http.MethodGet, "/v1/rooms?"+query.Encode(), nil, &page); err != nil {
			return nil, err
		}
		rooms = append(rooms, page.Rooms...)
		if page.Next == "" {
			return rooms, nil
		}
		query.Set("after", page.Next)
	}
}

type roomShow struct {
	boxFlags
	Name string `arg:"" help:"Name of the room."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *roomShow) Run(p *program) error {
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		var r api.Room
		if err := box.call(p.ctx, http.MethodGet, roomPath(c.Name), nil, &r); err != nil {
			return err
		}
		return printRoom(p, r, c.JSON)
	})
}

func printRoom(p *program, r api.Room, asJSON bool) error {
	if asJSON {
		return printJSON(p.stdout, r)
	}
	t := newTable(p.stdout)
	t.row("name", r.Name)
	t.row("description", r.Description)
	t.row("capacity", orDefault(r.Capacity))
	t.row("pinned", yes(r.Pinned))
	t.row("allow", allowText(r.Allow))
	t.row("version", r.Version)
	t.row("members", r.Count)
	if err := t.Flush(); err != nil || len(r.Members) == 0 {
		return err
	}
	fmt.Fprintln(p.stdout)
	t = newTable(p.stdout, "MEMBER", "SUBJECT", "NAME", "STATE")
	for _, m := range r.Members {
		t.row(m.Member, m.Subject, m.Name, m.State)
	}
	return t.Flush()
}

type roomCreate struct {
	boxFlags
	Name        string   `arg:"" help:"Name of the room."`
	Description string   `help:"What it is for." placeholder:"TEXT"`
	Capacity    int      `help:"How many members fit; 0 for the box's default." placeholder:"N"`
	Pinned      bool     `help:"Keep the room when its last member leaves."`
	Allow       []string `help:"Subjects that may join, such as cam-*; separated by commas. All, if not given." placeholder:"PATTERN"`
	JSON        bool     `name:"json" help:"Print JSON."`
}

func (c *roomCreate) Run(p *program) error {
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		var r api.Room
		err := box.call(p.ctx, http.MethodPost, "/v1/rooms", api.RoomCreate{
			Name: c.Name, Description: c.Description, Capacity: c.Capacity, Pinned: c.Pinned, Allow: c.Allow,
		}, &r)
		if err != nil {
			return err
		}
		return printRoom(p, r, c.JSON)
	})
}

type roomUpdate struct {
	boxFlags
	Name        string    `arg:"" help:"Name of the room."`
	Description *string   `help:"What it is for." placeholder:"TEXT"`
	Capacity    *int      `help:"How many members fit; 0 for the box's default." placeholder:"N"`
	Pinned      *bool     `help:"Keep the room when its last member leaves." negatable:""`
	Allow       *[]string `help:"Subjects that may join, separated by commas; empty for all." placeholder:"PATTERN"`
	IfVersion   *uint64   `help:"Change the room only if it still is at this version." placeholder:"N"`
	JSON        bool      `name:"json" help:"Print JSON."`
}

func (c *roomUpdate) Run(p *program) error {
	if c.Allow != nil && *c.Allow == nil {
		c.Allow = &[]string{} // --allow= is everyone, and JSON's null is not
	}
	patch := api.RoomPatch{Description: c.Description, Capacity: c.Capacity, Pinned: c.Pinned, Allow: c.Allow}
	if patch == (api.RoomPatch{}) {
		return usage("nothing to change; give --description, --capacity, --pinned, --no-pinned or --allow")
	}
	var header []string
	if c.IfVersion != nil {
		header = []string{"If-Match", strconv.Quote(strconv.FormatUint(*c.IfVersion, 10))}
	}
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		var r api.Room
		if err := box.call(p.ctx, http.MethodPatch, roomPath(c.Name), patch, &r, header...); err != nil {
			return err
		}
		return printRoom(p, r, c.JSON)
	})
}

type roomDelete struct {
	boxFlags
	Name string `arg:"" help:"Name of the room."`
}

func (c *roomDelete) Run(p *program) error {
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		return box.call(p.ctx, http.MethodDelete, roomPath(c.Name), nil, nil)
	})
}

type roomKick struct {
	boxFlags
	Room   string `arg:"" help:"Name of the room."`
	Member string `arg:"" help:"Member, as room show lists it."`
}

func (c *roomKick) Run(p *program) error {
	box, err := c.running(p)
	return with(box, err, func(box *client) error {
		return box.call(p.ctx, http.MethodDelete, roomPath(c.Room)+"/members/"+url.PathEscape(c.Member), nil, nil)
	})
}

func orDefault(capacity int) string {
	if capacity == 0 {
		return "default"
	}
	return strconv.Itoa(capacity)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func allowText(allow []string) string {
	if len(allow) == 0 {
		return "everyone with a token for it"
	}
	return strings.Join(allow, ", ")
}
