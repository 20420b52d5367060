package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/people"
)

type cloudSites struct {
	Add    siteAdd    `cmd:"" help:"Make a site and print the command that joins its box."`
	List   siteList   `cmd:"" help:"List sites, the worst first."`
	Join   siteJoin   `cmd:"" help:"Print the command that joins one more box."`
	Remove siteRemove `cmd:"" help:"Remove a site; its boxes are revoked."`
}

func sitePath(site string) string { return "/v1/sites/" + url.PathEscape(site) }

type siteAdd struct {
	cloudFlags
	Name  string `arg:"" help:"Short name, of a-z, 0-9 and -."`
	Title string `help:"What people call it." placeholder:"TEXT"`
	JSON  bool   `name:"json" help:"Print JSON."`
}

func (c *siteAdd) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var made dashboard.SiteMade
		if err := node.call(p.ctx, http.MethodPost, "/v1/sites", dashboard.NewSite{Site: c.Name, Title: c.Title}, &made); err != nil {
			return err
		}
		return printJoin(p, made, c.JSON)
	})
}

type siteJoin struct {
	cloudFlags
	Name string `arg:"" help:"The site."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *siteJoin) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var made dashboard.SiteMade
		if err := node.call(p.ctx, http.MethodPost, sitePath(c.Name)+"/tokens", dashboard.NewToken{}, &made); err != nil {
			return err
		}
		return printJoin(p, made, c.JSON)
	})
}

func printJoin(p *program, made dashboard.SiteMade, asJSON bool) error {
	if asJSON {
		return printJSON(p.stdout, made)
	}
	fmt.Fprintf(p.stderr, "paste this at the box, as root, until %s:\n", made.Expires.Local().Format(time.RFC3339))
	_, err := fmt.Fprintln(p.stdout, made.Command)
	return err
}

type siteRemove struct {
	cloudFlags
	Name string `arg:"" help:"The site."`
}

func (c *siteRemove) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		return node.call(p.ctx, http.MethodDelete, sitePath(c.Name), nil, nil)
	})
}

type siteList struct {
	cloudFlags
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *siteList) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var o dashboard.Overview
		if err := node.call(p.ctx, http.MethodGet, "/v1/overview", nil, &o); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, o.Sites)
		}
		t := newTable(p.stdout, "SITE", "STATE", "BOXES", "DEVICES", "ROOMS", "SEEN", "WHY")
		for _, s := range o.Sites {
			seen, why := "never", ""
			if !s.Seen.IsZero() {
				seen = since(s.Seen) + " ago"
			}
			if len(s.Why) > 0 {
				why = s.Why[0].Text
			}
			t.row(s.Site, s.Health, len(s.Boxes), s.Sessions, s.Rooms, seen, why)
		}
		return t.Flush()
	})
}

type cloudStatus struct {
	cloudFlags
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *cloudStatus) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var o dashboard.Overview
		if err := node.call(p.ctx, http.MethodGet, "/v1/overview", nil, &o); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, o)
		}
		t := newTable(p.stdout)
		t.row("sites", fmt.Sprintf("%d, of which %d red and %d amber", o.Totals.Sites, o.Totals.Red, o.Totals.Amber))
		t.row("boxes", fmt.Sprintf("%d, of which %d connected", o.Totals.Boxes, o.Totals.Online))
		t.row("devices", o.Totals.Sessions)
		t.row("rooms", o.Totals.Rooms)
		t.row("problems", o.Problems)
		t.row("stream", o.Seq)
		return t.Flush()
	})
}

type cloudBoxes struct {
	List   boxList   `cmd:"" help:"List the boxes of all sites, or of one."`
	Revoke boxRevoke `cmd:"" help:"Cut a box off. It cannot come back with the identity it has."`
}

type boxList struct {
	cloudFlags
	Site string `arg:"" optional:"" help:"Only of this site."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *boxList) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var o dashboard.Overview
		if err := node.call(p.ctx, http.MethodGet, "/v1/overview", nil, &o); err != nil {
			return err
		}
		type row struct {
			Site string `json:"site"`
			dashboard.BoxRow
		}
		rows := []row{}
		for _, s := range o.Sites {
			for _, b := range s.Boxes {
				if c.Site == "" || c.Site == s.Site {
					rows = append(rows, row{s.Site, b})
				}
			}
		}
		if c.JSON {
			return printJSON(p.stdout, rows)
		}
		t := newTable(p.stdout, "SITE", "BOX", "STATE", "CONNECTED", "VERSION", "QUEUE", "CERTIFICATE")
		for _, b := range rows {
			t.row(b.Site, b.Box, b.Health, yes(b.Online), b.Version, b.QueueFrames, fmt.Sprintf("%d days", b.CertificateDays))
		}
		return t.Flush()
	})
}

type boxRevoke struct {
	cloudFlags
	Site string `arg:"" help:"The site."`
	Box  string `arg:"" help:"The box's id."`
}

func (c *boxRevoke) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		return node.call(p.ctx, http.MethodPost, sitePath(c.Site)+"/boxes/"+url.PathEscape(c.Box)+"/revoke", struct{}{}, nil)
	})
}

type cloudPeople struct {
	Link   personLink   `cmd:"" help:"Print a one-time link that lets somebody in, or gives them a new password."`
	List   personList   `cmd:"" help:"List people."`
	Remove personRemove `cmd:"" help:"Take somebody's access away."`
}

type personLink struct {
	cloudFlags
	Name string `arg:"" help:"Whom it is for."`
	Role string `default:"viewer" help:"viewer, operator or administrator."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *personLink) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var made dashboard.PersonLink
		err := node.call(p.ctx, http.MethodPost, "/v1/people", dashboard.NewPerson{Name: c.Name, Role: people.Role(c.Role)}, &made)
		if err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, made)
		}
		_, err = fmt.Fprintln(p.stdout, made.Link)
		return err
	})
}

type personList struct {
	cloudFlags
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *personList) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var list dashboard.PersonList
		if err := node.call(p.ctx, http.MethodGet, "/v1/people", nil, &list); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, list.People)
		}
		t := newTable(p.stdout, "NAME", "ROLE", "BY", "SEEN")
		for _, one := range list.People {
			seen := "never"
			if !one.Seen.IsZero() {
				seen = since(one.Seen) + " ago"
			}
			t.row(one.Name, one.Role, one.By, seen)
		}
		return t.Flush()
	})
}

type personRemove struct {
	cloudFlags
	Name string `arg:"" help:"Whose."`
}

func (c *personRemove) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		return node.call(p.ctx, http.MethodDelete, "/v1/people/"+url.PathEscape(c.Name), nil, nil)
	})
}

type cloudKeys struct {
	Add    keyAdd    `cmd:"" help:"Make a key and print it, this once."`
	List   keyList   `cmd:"" help:"List keys, without their secrets."`
	Remove keyRemove `cmd:"" help:"End a key."`
}

type keyAdd struct {
	cloudFlags
	Name string   `arg:"" help:"What it is for."`
	Role string   `default:"viewer" help:"viewer, operator or administrator."`
	TTL  lifetime `name:"ttl" help:"How long it is good; without end if left out." placeholder:"90d"`
}

func (c *keyAdd) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var made dashboard.KeyMade
		wanted := dashboard.NewKey{Name: c.Name, Role: people.Role(c.Role), TTLSeconds: int64(time.Duration(c.TTL) / time.Second)}
		if err := node.call(p.ctx, http.MethodPost, "/v1/keys", wanted, &made); err != nil {
			return err
		}
		_, err := fmt.Fprintln(p.stdout, made.Key)
		return err
	})
}

type keyList struct {
	cloudFlags
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *keyList) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var list dashboard.KeyList
		if err := node.call(p.ctx, http.MethodGet, "/v1/keys", nil, &list); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, list.Keys)
		}
		t := newTable(p.stdout, "NAME", "ROLE", "BY", "ID")
		for _, k := range list.Keys {
			t.row(k.Name, k.Role, k.By, k.ID)
		}
		return t.Flush()
	})
}

type keyRemove struct {
	cloudFlags
	ID string `arg:"" help:"Id of the key, as list shows it."`
}

func (c *keyRemove) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		return node.call(p.ctx, http.MethodDelete, "/v1/keys/"+url.PathEscape(strings.TrimSpace(c.ID)), nil, nil)
	})
}
