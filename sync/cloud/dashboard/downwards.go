package dashboard

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/sync/wire"
)

// Bounds of what is wanted of boxes.
const (
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
	if err := d.cfg.Registry.SetPolicy(ctx, site, box, doc, c.who.Name); err != nil {
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
	kept, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	if _, _, err := wire.ParsePolicyDoc(kept); err != nil {
		return nil, jsonapi.Wrong("policy", "policy: %v", err)
	}
	return kept, nil
}

func (d *Dashboard) sendCommand(c *call, in *NewCommand) (CommandMade, error) {
	m, err := d.member(c)
	if err != nil {
		return CommandMade{}, err
	}
	if !m.Revoked.IsZero() {
		return CommandMade{}, jsonapi.Refuse(http.StatusConflict, "revoked", "box %s was revoked; join it anew first", m.ID.Box)
	}
	within, err := in.check()
	if err != nil {
		return CommandMade{}, err
	}
	ctx, cancel := c.change()
	defer cancel()
	command, err := d.cfg.Registry.Order(ctx, m.ID, in.Name, in.Args, within, c.who.Name)
	if err != nil {
		return CommandMade{}, err
	}
	d.nudge(m.ID, wire.Nudge{Ask: true})
	made := CommandMade{ID: command.ID, Expires: command.Expires.UTC().Truncate(time.Second)}
	return made, d.note(ctx, c, "command-sent", m.ID.Site+"/"+m.ID.Box, command.Name+" "+command.ID)
}

// check refuses what no box would do, and gives how long it is good for.
func (in *NewCommand) check() (within time.Duration, err error) {
	if !slices.Contains(wire.CommandNames, in.Name) {
		return 0, jsonapi.Wrong("name", "name: got %.40q, want one of %s", in.Name, strings.Join(wire.CommandNames, ", "))
	}
	if in.Args = bytes.TrimSpace(in.Args); len(in.Args) > maxArgsBytes || len(in.Args) > 0 && in.Args[0] != '{' {
		return 0, jsonapi.Wrong("args", "args: want an object of at most %d bytes", maxArgsBytes)
	}
	if in.TTLSeconds == 0 {
		return usualCommandTTL, nil
	}
	if in.TTLSeconds < int64(minCommandTTL/time.Second) || in.TTLSeconds > int64(maxCommandTTL/time.Second) {
		return 0, jsonapi.Wrong("ttl_s", "ttl_s: got %d, want %d to %d", in.TTLSeconds, int64(minCommandTTL/time.Second), int64(maxCommandTTL/time.Second))
	}
	return time.Duration(in.TTLSeconds) * time.Second, nil
}
