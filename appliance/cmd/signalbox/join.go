package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"signalbox/appliance"
	"signalbox/appliance/api"
	"signalbox/appliance/config"
	"signalbox/appliance/control"
	"signalbox/sync/upstream/identity"
	"signalbox/sync/upstream/sealed"
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

// Run joins from this process, whose proxy settings apply, and tells a box that
// runs to look for its new identity.
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
	var load func() (config.Config, error)
	if opts.Dir, load, err = c.locate(p); err != nil {
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
	cfg, _ := load() // what is wrong with it, serve says
	code, err := ensureRecovery(cfg, opts.Dir, joined)
	if err != nil {
		fmt.Fprintf(p.stderr, "signalbox: the box has joined, and has no recovery code: %v\n", err)
	}
	c.tell(p, opts.Dir)
	if err := c.print(p, joined, code); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(p.ctx, checkTimeout)
	defer cancel()
	if err := joined.Check(ctx, nil); err != nil {
		fmt.Fprintf(p.stderr, "signalbox: the box has joined, and does not reach the cloud yet: %v\n", err)
	}
	return nil
}

// tell has a box that runs use its new identity at once; one that cannot be told
// finds it within a minute.
func (c *joinCommand) tell(p *program, dir string) {
	box, err := dialBox(p.ctx, dir)
	if err == nil {
		err = errors.Join(box.call(p.ctx, http.MethodPost, appliance.JoinedPath, nil, nil), box.close())
	}
	if err != nil && !errors.Is(err, control.ErrStopped) {
		fmt.Fprintf(p.stderr, "signalbox: the box that runs could not be told, and takes up to %v to notice: %v\n", identity.LookEvery, err)
	}
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

func (c *joinCommand) print(p *program, joined *identity.Identity, code sealed.Code) error {
	box, end := joined.Box(), joined.CertEnd()
	if c.JSON {
		return printJSON(p.stdout, struct {
			Cloud   string    `json:"cloud"`
			Tenant  string    `json:"tenant"`
			Site    string    `json:"site"`
			Box     string    `json:"box"`
			CertEnd time.Time `json:"cert_end"`
			Code    string    `json:"recovery_code,omitempty"`
		}{joined.URL(), box.Tenant, box.Site, box.Box, end, code.Text()})
	}
	t := newTable(p.stdout)
	t.row("cloud", joined.URL())
	t.row("site", box.Site)
	t.row("box", box.Box)
	t.row("certificate", "until "+end.Local().Format(time.RFC3339)+", renewed by itself")
	if code.IsZero() {
		return t.Flush()
	}
	t.row(recoveryLabel, code.Text())
	err := t.Flush()
	fmt.Fprintln(p.stderr, recoveryAbout)
	return err
}
