// Package upgrade keeps the program that worked while a new one is on trial, and
// takes it back when the new one fails. Keep runs before a package replaces the
// program; Watch runs beside the new one, in a process of the old program, so
// that the judge is one that is known to work.
//
// The trial's record is the state, and each step replaces or removes one file
// whole, so a power cut between any two leaves a state that Watch goes on from:
//
//	no trial   no record. Keep copies the program, then writes the record: on trial.
//	on trial   Keep writes the record again, and the trial begins anew, as it does
//	           when another program is found installed. A program that is no other
//	           than the one kept, for as long as it would have to be well, ends it
//	           without a verdict. One that passes gets its verdict written, then the
//	           record is removed: no trial. One that fails has that noted in the
//	           record: failed.
//	failed     The kept program is put in place, the service stopped, the verdict
//	           written, the service started, and the record removed: no trial.
//	           Whoever finds this state does it all, also what is done already.
//
// Whoever changes the state holds the lock of Dir, and a verdict is given on the
// record and the program that it was found for or not at all.
package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Layout is where things lie. Only root may write there: what lies in Previous
// becomes the program that everybody runs.
type Layout struct {
	Program  string // the installed program
	Previous string // the copy of the one before
	Dir      string // of the two records
	Unit     string // the service that runs Program
	BootID   string // a file that holds another text after each boot
}

// Installed is the layout of the packages.
func Installed() Layout {
	return Layout{
		Program: "/usr/bin/signalbox", Previous: "/usr/lib/signalbox/previous/signalbox",
		Dir: "/var/lib/signalbox-system", Unit: "signalbox.service", BootID: "/proc/sys/kernel/random/boot_id",
	}
}

// Trial is what is known when a new program is about to be installed. While its
// record is there the new program is on trial.
type Trial struct {
	From  string    `json:"from"`  // version of the program that is kept
	Began time.Time `json:"began"` // by the wall clock
	// Cloud says that the box was connected to its cloud, which the new program
	// then has to manage as well.
	Cloud bool   `json:"cloud"`
	Boot  string `json:"boot,omitempty"`  // the boot that it was last seen in
	Boots int    `json:"boots,omitempty"` // how often the machine was started since
	// Failed is set once the program is to be taken back.
	Failed *Verdict `json:"failed,omitempty"`
}

// same reports whether the record is of the same trial, in the same state.
func (t Trial) same(o Trial) bool {
	return t.From == o.From && t.Began.Equal(o.Began) && (t.Failed == nil) == (o.Failed == nil)
}

// Unknown stands for the version of a program that does not tell it.
const Unknown = "unknown"

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

// boot names the running boot, "" where that cannot be known.
func (l Layout) boot() string {
	text, err := os.ReadFile(l.BootID)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// begin reads the record, and counts the boots in it.
func (l Layout) begin() (t Trial, err error) {
	err = l.locked(func() error {
		l.sweep()
		if t, err = l.ReadTrial(); err != nil || t.Failed != nil {
			return err
		}
		boot := l.boot()
		if boot == t.Boot || boot == "" {
			return nil
		}
		t.Boot = boot
		t.Boots++
		if err := l.write(trialName, t); err != nil && !isFull(err) {
			return err
		}
		return nil
	})
	return t, err
}
