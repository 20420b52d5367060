package dashboard

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/sync/wire"
)

// Bounds of what is wanted of boxes.
const (
	minFrameEvery   = 60
	maxFrameEvery   = 300
	minUplinkBps    = 8000
	maxPolicyBytes  = 16 << 10
	maxArgsBytes    = 4 << 10
	minCommandTTL   = time.Minute
	maxCommandTTL   = 7 * 24 * time.Hour
	usualCommandTTL = time.Hour
)

func (d *Dashboard) putSitePolicy(c *call, in *PolicyWish) error {
	site := c.r.PathValue("site")
	if _, ok := d.cfg.Registry.Site(site); !ok {
		return siteNotFound(site)
	}
	return d.setPolicy(c, site, "", in)
}

func (d *Dashboard) putBoxPolicy(c *call, in *PolicyWish) error {
	m, err := d.member(c)
	if err != nil {
		return err
	}
	return d.setPolicy(c, m.ID.Site, m.ID.Box, in)
}

func (d *Dashboard) setPolicy(c *call, site, box string, in *PolicyWish) error {
	doc, err := checkPolicy(in.Policy)
	if err != nil {
		return err
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.cfg.Registry.SetPolicy(ctx, site, box, doc); err != nil {
		return err
	}
	target := site
	if box != "" {
		target += "/" + box
	}
	for _, m := range d.cfg.Registry.Members(site) {
		if m.Revoked.IsZero() && (box == "" || m.ID.Box == box) {
			d.nudge(m.ID, wire.Nudge{Ask: true})
		}
	}
	return d.note(ctx, c, "policy-set", target, string(doc))
}

// nudge tells a box that something waits. What it announces is not lost when it
// does not arrive, so that an error is of no consequence.
func (d *Dashboard) nudge(id wire.BoxID, n wire.Nudge) {
	data, err := json.Marshal(n)
	if err == nil {
		err = d.cfg.Conn.Publish(id.NudgeSubject(), data)
	}
	if err != nil {
		d.log.Debug("box not nudged", "site", id.Site, "err", err)
	}
}

// checkPolicy reads a document strictly, because a key that boxes do not know
// would make them keep what they have, and gives it as it is kept.
func checkPolicy(raw json.RawMessage) (json.RawMessage, error) {
	if len(raw) == 0 {
		return nil, jsonapi.Wrong("policy", "policy is missing; send an object, {} to want nothing")
	}
	if len(raw) > maxPolicyBytes {
		return nil, jsonapi.Wrong("policy", "policy: got %d bytes, want at most %d", len(raw), maxPolicyBytes)
	}
	var doc wire.PolicyDoc
	if err := jsonapi.Decode(raw, &doc); err != nil {
		return nil, err
	}
	oneOf := func(field, value string, allowed ...string) error {
		if value != "" && !slices.Contains(allowed, value) {
			return jsonapi.Wrong(field, "%s: got %.40q, want one of %s", field, value, strings.Join(allowed, ", "))
		}
		return nil
	}
	if err := oneOf("level", doc.Level, "minimal", "default", "named"); err != nil {
		return nil, err
	}
	if err := oneOf("log_level", doc.LogLevel, "debug", "info", "warn", "error"); err != nil {
		return nil, err
	}
	if doc.FrameEvery != 0 && (doc.FrameEvery < minFrameEvery || doc.FrameEvery > maxFrameEvery) {
		return nil, jsonapi.Wrong("frame_every", "frame_every: got %d, want %d to %d seconds", doc.FrameEvery, minFrameEvery, maxFrameEvery)
	}
	if doc.UplinkBps != 0 && doc.UplinkBps < minUplinkBps {
		return nil, jsonapi.Wrong("uplink_bps", "uplink_bps: got %d, want at least %d bits a second, or 0 for the box's own", doc.UplinkBps, minUplinkBps)
	}
	return json.Marshal(doc)
}

func (d *Dashboard) sendCommand(c *call, in *NewCommand) (CommandMade, error) {
	m, err := d.member(c)
	if err != nil {
		return CommandMade{}, err
	}
	if !m.Revoked.IsZero() {
		return CommandMade{}, jsonapi.Refuse(http.StatusConflict, "revoked", "box %s was revoked; join it anew first", m.ID.Box)
	}
	command, err := newCommand(in, time.Now())
	if err != nil {
		return CommandMade{}, err
	}
	ctx, cancel := c.change()
	defer cancel()
	if err := d.cfg.Registry.AddCommand(ctx, m.ID, command, c.who.Name); err != nil {
		return CommandMade{}, err
	}
	d.nudge(m.ID, wire.Nudge{Ask: true})
	made := CommandMade{ID: command.ID, Expires: command.Expires}
	return made, d.note(ctx, c, "command-sent", m.ID.Site+"/"+m.ID.Box, command.Name+" "+command.ID)
}

func newCommand(in *NewCommand, now time.Time) (wire.Command, error) {
	if !slices.Contains(wire.CommandNames, in.Name) {
		return wire.Command{}, jsonapi.Wrong("name", "name: got %.40q, want one of %s", in.Name, strings.Join(wire.CommandNames, ", "))
	}
	ttl := time.Duration(in.TTLSeconds) * time.Second
	switch {
	case in.TTLSeconds == 0:
		ttl = usualCommandTTL
	case in.TTLSeconds < int64(minCommandTTL/time.Second) || in.TTLSeconds > int64(maxCommandTTL/time.Second):
		return wire.Command{}, jsonapi.Wrong("ttl_s", "ttl_s: got %d, want %d to %d", in.TTLSeconds, int64(minCommandTTL/time.Second), int64(maxCommandTTL/time.Second))
	}
	args := bytes.TrimSpace(in.Args)
	if len(args) > 0 && args[0] != '{' || len(args) > maxArgsBytes {
		return wire.Command{}, jsonapi.Wrong("args", "args: want an object of at most %d bytes", maxArgsBytes)
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails
	return wire.Command{
		ID: fmt.Sprintf("c-%x", random), Name: in.Name, Args: args, Expires: now.Add(ttl).UTC().Truncate(time.Second),
	}, nil
}
