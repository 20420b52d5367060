// Package upgrade keeps the program that worked while a new one is on trial, and
// takes it back when the new one fails. Keep runs before a package replaces the
// program; Watch runs beside the new one, in a process of the old program, so
// that the judge is one that is known to work.
package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Layout is where things lie. Only root may write there: what lies in Previous
// becomes the program that everybody runs.
type Layout struct {
	Program  string // the installed program
	Previous string // the copy of the one before
	Dir      string // of the two records
	Unit     string // the service that runs Program
}

// Installed is the layout of the packages.
func Installed() Layout {
	return Layout{
		Program: "/usr/bin/signalbox", Previous: "/usr/lib/signalbox/previous/signalbox",
		Dir: "/var/lib/signalbox-system", Unit: "signalbox.service",
	}
}

// Trial is what is known when a new program is about to be installed. While its
// record is there the new program is on trial.
type Trial struct {
	From  string    `json:"from"`  // version of the program that is kept
	Began time.Time `json:"began"` // by the wall clock
	// Cloud says that the box was connected to its cloud, which the new program
	// then has to manage as well.
	Cloud bool `json:"cloud"`
}

// Verdict is how the last trial ended.
type Verdict struct {
	From   string    `json:"from"`
	To     string    `json:"to"`
	Time   time.Time `json:"time"`
	Good   bool      `json:"good"`             // false: From is back in place
	Reason string    `json:"reason,omitempty"` // why it is
}

// String says for people what has happened; "" when there is nothing to do.
func (v Verdict) String() string {
	if v.Good || v.From == "" {
		return ""
	}
	return fmt.Sprintf("version %s was installed, failed its trial (%s), and %s was put back at %s; install a version that is mended",
		v.To, v.Reason, v.From, v.Time.UTC().Format("2006-01-02 15:04 UTC"))
}

const (
	trialName   = "pending.json" // the unit's condition names it
	verdictName = "verdict.json"
)

// ErrNone is returned by ReadTrial and ReadVerdict when there is no record.
var ErrNone = errors.New("no record")

// ReadTrial reads the record of the trial that is going on.
func (l Layout) ReadTrial() (t Trial, err error) { return t, l.read(trialName, &t) }

// ReadVerdict reads how the last trial ended. Any user may read it.
func (l Layout) ReadVerdict() (v Verdict, err error) { return v, l.read(verdictName, &v) }

func (l Layout) read(name string, into any) error {
	text, err := os.ReadFile(filepath.Join(l.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNone
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil { // a power cut cannot cause it, see replace
		return fmt.Errorf("read %s: %w; remove it if the program is as it should be", filepath.Join(l.Dir, name), err)
	}
	return nil
}

func (l Layout) write(name string, record any) error {
	text, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.Dir, 0o755); err != nil {
		return err
	}
	return replace(filepath.Join(l.Dir, name), 0o644, func(f *os.File) error {
		_, err := f.Write(append(text, '\n'))
		return err
	})
}

// remove takes a record away, which may not be there.
func (l Layout) remove(name string) error {
	if err := os.Remove(filepath.Join(l.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(l.Dir)
}

// copyProgram puts a copy of the program at from into to, in one step: whoever
// runs to meanwhile goes on with what it was.
func copyProgram(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return replace(to, 0o755, func(f *os.File) error {
		_, err := io.Copy(f, src)
		return err
	})
}

// replace writes a file so that a power cut leaves the old one or the new one.
func replace(path string, mode fs.FileMode, fill func(*os.File) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	err = errors.Join(fill(f), f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
