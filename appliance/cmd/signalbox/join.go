package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"signalbox/appliance/api"
	"signalbox/sync/upstream/identity"
	"signalbox/sync/wire"
)

// checkTimeout bounds the look whether the cloud knows the box.
const checkTimeout = 30 * time.Second

type joinCommand struct {
	boxFlags
	URL    string `arg:"" name:"url" help:"Address of the cloud."`
	Token  string `help:"Token that the cloud printed." placeholder:"sbx-…" required:"" xor:"token"`
	Secret string `name:"token-file" help:"File with that token, in place of --token; /dev/stdin for standard input." placeholder:"FILE" required:"" xor:"token"`
	CA     string `name:"ca" required:"" help:"Hash of the cloud's root that it printed." placeholder:"sha256:…"`
	CAFile string `name:"ca-file" help:"PEM file of an authority to trust for TLS to the cloud, as where a proxy looks into it." placeholder:"FILE"`
	Again  bool   `help:"Join also when the box has joined already; it leaves the site it was in."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// Run joins from this process, whose proxy settings apply. A box that runs
// looks for its new identity by itself.
func (c *joinCommand) Run(p *program) error {
	if c.Secret != "" {
		token, err := os.ReadFile(c.Secret)
		if err != nil {
			return err
		}
		c.Token = strings.TrimSpace(string(token))
	}
	opts := identity.JoinOptions{
		URL: c.URL, Token: c.Token, CA: c.CA, CAFile: c.CAFile, Version: p.version, Again: c.Again,
	}
	if err := opts.Check(); err != nil {
		return usage("%v", err)
	}
	var err error
	if opts.Dir, _, err = c.locate(p); err != nil {
		return err
	}
	if err := becomeOwner(opts.Dir); err != nil {
		return err
	}
	if opts.Box, opts.Name, err = c.self(p); err != nil {
		return err
	}
	joined, err := identity.Join(p.ctx, opts)
	if err != nil {
		return err
	}
	if err := c.print(p, joined); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, checkTimeout)
	defer cancel()
	if err := joined.Check(ctx, nil); err != nil {
		fmt.Fprintf(p.stderr, "signalbox: the box has joined, and does not reach the cloud yet: %v\n", err)
	}
	return nil
}

// self is the box's id and, at level named alone, the name of its place. A box
// that is stopped is let go of at once, so that it may be started meanwhile.
func (c *joinCommand) self(p *program) (id, name string, err error) {
	box, err := c.either(p)
	if err != nil {
		return "", "", err
	}
	var s api.Status
	err = box.call(p.ctx, http.MethodGet, "/v1/status", nil, &s)
	if s.Upstream.Level == string(wire.Named) {
		name = s.Site
	}
	return s.ID, name, errors.Join(err, box.close())
}

func (c *joinCommand) print(p *program, joined *identity.Identity) error {
	box, end := joined.Box(), joined.CertEnd()
	if c.JSON {
		return printJSON(p.stdout, struct {
			Cloud   string    `json:"cloud"`
			Tenant  string    `json:"tenant"`
			Site    string    `json:"site"`
			Box     string    `json:"box"`
			CertEnd time.Time `json:"cert_end"`
		}{joined.URL(), box.Tenant, box.Site, box.Box, end})
	}
	t := newTable(p.stdout)
	t.row("cloud", joined.URL())
	t.row("site", box.Site)
	t.row("box", box.Box)
	t.row("certificate", "until "+end.Local().Format(time.RFC3339)+", renewed by itself")
	return t.Flush()
}
