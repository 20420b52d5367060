package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
	"signalbox/internal/jsonapi"
)

const (
	kindDevice = "device"
	kindAdmin  = "admin"

	maxInviteTTL  = 366 * 24 * time.Hour
	maxInviteUses = 10_000
	maxNoteBytes  = 256
)

func (a *API) listInvites(*call) (InviteList, error) {
	stored, err := a.cfg.Invites.Invites()
	if err != nil {
		return InviteList{}, err
	}
	list := InviteList{Invites: make([]Invite, 0, len(stored))}
	for _, invite := range stored {
		list.Invites = append(list.Invites, inviteOf(invite))
	}
	return list, nil
}

func (a *API) createInvite(c *call, in *InviteCreate) (InviteCreated, error) {
	opts, err := in.options()
	if err != nil {
		return InviteCreated{}, err
	}
	base, err := a.baseURL(c)
	if err != nil {
		return InviteCreated{}, err
	}
	if err := a.tryGrant(opts.Grant); err != nil {
		return InviteCreated{}, err
	}
	open, err := a.cfg.Invites.Invites()
	if err != nil {
		return InviteCreated{}, err
	}
	if len(open) >= auth.MaxInvites {
		return InviteCreated{}, jsonapi.Refuse(http.StatusConflict, "limit", "%d invites are open, the most there may be; delete some", len(open))
	}
	ctx, cancel := c.change()
	defer cancel()
	code, invite, err := a.cfg.Invites.NewInvite(ctx, opts)
	if err != nil {
		return InviteCreated{}, err
	}
	link := InviteURL(base, code.Reveal(), in.Room)
	if in.Kind == kindAdmin {
		link = SetupURL(base, code.Reveal())
	}
	svg, err := qrSVG(link)
	if err != nil {
		return InviteCreated{}, errors.Join(err, a.cfg.Invites.DeleteInvite(ctx, invite.ID))
	}
	return InviteCreated{Invite: inviteOf(invite), Code: code.Reveal(), URL: link, QR: svg}, nil
}

// options checks the request and fills in what it leaves out, the room of the
// link included.
func (in *InviteCreate) options() (opts auth.InviteOptions, err error) {
	if in.Kind == "" {
		in.Kind = kindDevice
	}
	if in.Subject == "" {
		in.Subject = in.Kind + "-*"
	}
	switch in.Kind {
	case kindDevice:
		err = in.chooseRoom()
	case kindAdmin:
		err = in.forAdmin()
	default:
		err = jsonapi.Wrong("kind", "kind is %.64q; want device or admin", in.Kind)
	}
	if err != nil {
		return opts, err
	}
	if opts.Grant, err = grantOf(in.Subject, in.Rooms, in.Rights); err != nil {
		return opts, err
	}
	if in.Kind == kindDevice && opts.Grant.Rights&auth.RightAdmin != 0 {
		return opts, jsonapi.Wrong("rights", "rights holds admin; for an administrator set kind to admin")
	}
	if opts.Grant.TTL, err = lifetime("token_ttl_s", in.TokenTTL, auth.MaxTTL); err != nil {
		return opts, err
	}
	if opts.TTL, err = lifetime("ttl_s", in.TTL, maxInviteTTL); err != nil {
		return opts, err
	}
	stars := strings.Count(in.Subject, "*")
	switch {
	case stars > 1:
		return opts, jsonapi.Wrong("subject", "subject is %.64q; want at most one *", in.Subject)
	case in.Uses < 0 || in.Uses > maxInviteUses:
		return opts, jsonapi.Wrong("uses", "uses is %d; want 1 to %d", in.Uses, maxInviteUses)
	case in.Uses > 1 && stars == 0:
		return opts, jsonapi.Wrong("subject", "subject %.64q is for one device and uses is %d; put a * in it", in.Subject, in.Uses)
	case len(in.Note) > maxNoteBytes || strings.ContainsFunc(in.Note, unprintable):
		return opts, jsonapi.Wrong("note", "note has %d bytes; want at most %d of printable text", len(in.Note), maxNoteBytes)
	}
	opts.Uses, opts.Note = max(in.Uses, 1), in.Note
	return opts, nil
}

// chooseRoom settles which room the link opens and which may be joined.
func (in *InviteCreate) chooseRoom() error {
	if in.Room == "" {
		if at := slices.IndexFunc(in.Rooms, func(p string) bool { return !strings.Contains(p, "*") }); at >= 0 {
			in.Room = in.Rooms[at]
		}
		return nil
	}
	if err := room.ValidName(in.Room); err != nil {
		return jsonapi.Wrong("room", "room: %v", err)
	}
	if len(in.Rooms) == 0 {
		in.Rooms = []string{in.Room}
	}
	if !slices.ContainsFunc(in.Rooms, func(p string) bool { return room.MatchName(p, in.Room) }) {
		return jsonapi.Wrong("room", "room %q fits none of rooms %q; the invited could not join it", in.Room, in.Rooms)
	}
	return nil
}

func (in *InviteCreate) forAdmin() error {
	if in.Room != "" || len(in.Rooms) > 0 || len(in.Rights) > 0 {
		return jsonapi.Wrong("kind", "kind is admin, and an administrator has all rooms and rights; leave room, rooms and rights out")
	}
	in.Rights = auth.AllRights.Names()
	return nil
}

func (a *API) deleteInvite(c *call) error {
	id := c.r.PathValue("id")
	stored, err := a.cfg.Invites.Invites()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(stored, func(i auth.Invite) bool { return i.ID == id }) {
		return jsonapi.Refuse(http.StatusNotFound, "invite_unknown", "there is no invite %.64q; it may have been used up", id)
	}
	ctx, cancel := c.change()
	defer cancel()
	return a.cfg.Invites.DeleteInvite(ctx, id)
}

func inviteOf(i auth.Invite) Invite {
	kind := kindDevice
	if i.Grant.Rights&auth.RightAdmin != 0 {
		kind = kindAdmin
	}
	return Invite{
		ID: i.ID, Kind: kind, Subject: i.Grant.Subject, Rooms: emptyList(i.Grant.Rooms), Rights: i.Grant.Rights.Names(),
		Created: i.Created.UTC(), Expires: i.Expires.UTC(), TokenTTL: int64(i.Grant.TTL / time.Second), Uses: i.Uses, Note: i.Note,
	}
}

// InviteURL is the link that opens the call page with an invite. What is in the
// fragment stays in the browser: no server log and no proxy sees the code.
func InviteURL(base, code, roomName string) string {
	link := base + "/call#invite=" + url.QueryEscape(code)
	if roomName != "" {
		link += "&room=" + url.QueryEscape(roomName)
	}
	return link
}

// SetupURL is the link that makes whoever opens it an administrator.
func SetupURL(base, code string) string { return base + "/#setup=" + url.QueryEscape(code) }

// baseURL is where the links in an answer start.
func (a *API) baseURL(c *call) (string, error) {
	if c.local {
		return strings.TrimSuffix(a.cfg.Box.BaseURL(), "/"), nil
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	base := fmt.Sprintf("%s://%s", scheme, c.r.Host)
	if u, err := url.Parse(base); err != nil || u.Host != c.r.Host || u.Hostname() == "" {
		return "", jsonapi.Wrong("Host", "the Host header is %.64q, which no link can be made from; use the box's name or address", c.r.Host)
	}
	return base, nil
}
