package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"signalbox/appliance/api"
	"signalbox/appliance/config"
	"signalbox/appliance/control"
	"signalbox/appliance/store"
)

type backupCommand struct {
	boxFlags
	File string `arg:"" help:"The copy to write. An older file of that name is replaced once the copy is good."`
}

func (c *backupCommand) Run(p *program) error {
	path, err := filepath.Abs(c.File) // the box has another working folder
	if err != nil {
		return err
	}
	box, err := c.either(p)
	return with(box, err, func(box *client) error {
		var made api.Backup
		if err := box.call(p.ctx, http.MethodPost, "/v1/backup", api.BackupCreate{Path: path}, &made); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.stderr, "%s: %s, verified\n", made.Path, bytesText(made.Bytes))
		return err
	})
}

type restoreCommand struct {
	boxFlags
	File string `arg:"" help:"The backup. It is verified first; what it replaces is kept."`
}

func (c *restoreCommand) Run(p *program) error {
	loaded, err := config.Load(c.sources(p))
	if err != nil {
		return err
	}
	dir := loaded.Data
	conn, err := control.Dial(p.ctx, dir)
	if err == nil {
		return errors.Join(fmt.Errorf("the box on %s is running; stop it first", dir), conn.Close())
	}
	if _, err := os.Stat(c.File); err != nil {
		return err
	}
	if err := store.Restore(dir, c.File); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stderr, "%s is restored from %s; what it replaces is in %s\n",
		dir, c.File, filepath.Join(dir, "kept"))
	return err
}
