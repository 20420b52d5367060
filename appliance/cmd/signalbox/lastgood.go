package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"signalbox/appliance/config"
)

// lastGood is the copy of the configuration file that a service came up with
// last, in its own folder. A file that a power cut has emptied, or that somebody
// has broken, is no reason for a box that nobody looks after to stay down, or to
// serve as if nothing had been configured. A file that was emptied while the
// service had already run with what was in it is another matter: somebody did
// that, and it is in force from the next restart.
type lastGood struct {
	file, copy string // "" where there is none
	seen       string // a file that lasts until the service is stopped, as long as file was good and said something
	text       []byte // of file, as it was read for this start
}

const (
	lastGoodName = "last-good.toml"
	seenName     = "configured"
)

// newLastGood is empty but for a service, which is told its folder
// (systemd.exec(5)): who starts a box by hand wants to hear of the mistake.
func newLastGood(p *program, from config.Sources) (g lastGood) {
	folder, _, _ := strings.Cut(p.getenv("STATE_DIRECTORY"), ":")
	file := config.FileOf(from)
	if folder == "" || file == "" {
		return g
	}
	g.file, g.copy = file, filepath.Join(folder, lastGoodName)
	if runtime := p.getenv("RUNTIME_DIRECTORY"); runtime != "" {
		g.seen = filepath.Join(runtime, seenName)
	}
	g.text, _ = os.ReadFile(file) // Load says why it cannot be read
	return g
}

// load is config.Load. fault is what is wrong with the file while the copy is
// used in its place, for the status.
func (g lastGood) load(from config.Sources) (loaded *config.Loaded, fault, err error) {
	loaded, err = config.Load(from)
	if _, noCopy := os.Stat(g.copy); g.copy == "" || noCopy != nil {
		return loaded, nil, err
	}
	fault = err
	if fault == nil && len(g.text) == 0 && !g.emptied() {
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

// emptied reports whether somebody has emptied the file while the service ran.
func (g lastGood) emptied() bool {
	_, err := os.Stat(g.seen)
	return err == nil
}

// keep makes the copy, once the box serves, or removes it where there are no
// settings any more. On a disk that cannot be written it goes without.
func (g lastGood) keep() error {
	switch old, err := os.ReadFile(g.copy); {
	case g.copy == "":
		return nil
	case len(g.text) == 0 && errors.Is(err, fs.ErrNotExist):
		return nil
	case len(g.text) == 0:
		return errors.Join(os.Remove(g.copy), config.SyncDir(filepath.Dir(g.copy)))
	case err != nil || !bytes.Equal(old, g.text):
		if err := config.Replace(g.copy, g.text, 0o600); err != nil {
			return err
		}
	}
	if g.seen == "" {
		return nil
	}
	return os.WriteFile(g.seen, nil, 0o600)
}
