package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"signalbox/sync/cloud/backups"
)

type cloudBackups struct {
	List backupList `cmd:"" help:"List the sealed backups of a site's boxes."`
	Get  backupGet  `cmd:"" help:"Copy a sealed backup to a file; signalbox restore opens it with the box's recovery code."`
}

func backupPath(site string) string { return "/v1/backups/" + url.PathEscape(site) }

type backupList struct {
	cloudFlags
	Site string `arg:"" help:"The site."`
	JSON bool   `name:"json" help:"Print JSON."`
}

func (c *backupList) Run(p *program) error {
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		var list []backups.Owned
		if err := node.call(p.ctx, http.MethodGet, backupPath(c.Site), nil, &list); err != nil {
			return err
		}
		if c.JSON {
			return printJSON(p.stdout, list)
		}
		t := newTable(p.stdout, "BOX", "AT", "SIZE", "ID")
		for _, b := range list {
			t.row(b.Box, b.At.Local().Format(time.RFC3339), bytesText(b.Bytes), b.ID)
		}
		return t.Flush()
	})
}

type backupGet struct {
	cloudFlags
	Site string `arg:"" help:"The site."`
	Box  string `arg:"" help:"The box."`
	File string `arg:"" help:"The file to write."`
	ID   string `name:"id" help:"Which one, as list shows it. Without it the newest." placeholder:"ID"`
}

func (c *backupGet) Run(p *program) error {
	path := backupPath(c.Site) + "/" + url.PathEscape(c.Box)
	if c.ID != "" {
		path += "/" + url.PathEscape(c.ID)
	}
	node, err := c.running(p)
	return with(node, err, func(node *client) error {
		temp, err := os.CreateTemp(filepath.Dir(c.File), ".backup-*")
		if err != nil {
			return err
		}
		err = node.copyTo(p.ctx, path, temp)
		if err := errors.Join(err, temp.Sync(), temp.Close()); err != nil {
			return errors.Join(err, os.Remove(temp.Name()))
		}
		if err := os.Rename(temp.Name(), c.File); err != nil {
			return errors.Join(err, os.Remove(temp.Name()))
		}
		_, err = fmt.Fprintf(p.stderr, "%s is written; it is sealed, and opens with the recovery code of box %s\n", c.File, c.Box)
		return err
	})
}
