package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"signalbox/appliance/config"
)

// lastGood is the copy of the configuration file that a service came up with
// last, in its own folder. A file that a power cut has emptied, or that somebody
// has broken, is no reason for a box that nobody looks after to stay down, or to
// serve as if nothing had been configured.
type lastGood struct {
	file, copy string // "" where there is none
	text       []byte // of file, as it was read for this start
}

const lastGoodName = "last-good.toml"

// newLastGood is empty but for a service, which is told its folder
// (systemd.exec(5)): who starts a box by hand wants to hear of the mistake.
func newLastGood(p *program, from config.Sources) (g lastGood) {
	folder, _, _ := strings.Cut(p.getenv("STATE_DIRECTORY"), ":")
	file := config.FileOf(from)
	if folder == "" || file == "" {
		return g
	}
	g.file, g.copy = file, filepath.Join(folder, lastGoodName)
	g.text, _ = os.ReadFile(file) // Load says why it cannot be read
	return g
}

// load is config.Load. fault is what is wrong with the file while the copy is
// used in its place, for the status.
func (g lastGood) load(from config.Sources) (loaded *config.Loaded, fault, err error) {
	loaded, err = config.Load(from)
	old, noCopy := os.ReadFile(g.copy)
	if g.copy == "" || noCopy != nil {
		return loaded, nil, err
	}
	fault = err
	if fault == nil && len(g.text) == 0 && len(bytes.TrimSpace(old)) > 0 {
		fault = fmt.Errorf("%s is empty, as a power cut may leave it; write it again, with a comment at least", g.file)
	}
	if fault == nil {
		return loaded, nil, nil
	}
	from.File = g.copy
	before, copyErr := config.Load(from)
	if copyErr != nil { // it is not the file, or not it alone
		return loaded, nil, err
	}
	// Not as the problems that it is made of: those are told without the rest.
	return before, fmt.Errorf("%s; the box runs with the file as it was at its last good start, %s", fault.Error(), g.copy), nil
}

// keep makes the copy, once the box serves. On a disk that cannot be written it
// goes without.
func (g lastGood) keep() error {
	if g.copy == "" || len(g.text) == 0 {
		return nil
	}
	old, err := os.ReadFile(g.copy)
	if err == nil && bytes.Equal(old, g.text) {
		return nil
	}
	if err := config.Replace(g.copy, g.text, 0o600); err != nil {
		return errors.Join(errors.New("the configuration is not kept for a start with a broken one"), err)
	}
	return nil
}
