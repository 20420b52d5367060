// Package provision sets up a box that has no keyboard and no screen, from a file
// on a medium that somebody has put into it.
//
// The file counts once, and only on a box that has neither an administrator nor
// a cloud: whoever can put a medium into such a box could take its setup link
// from the console as well. On any other box it changes nothing.
package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// Name is what the file is called, in the top folder of the medium.
const Name = "signalbox-provision.toml"

// Places are the folders that are looked into, the first with a file counts: the
// boot partition, and media that something else has mounted. Nothing is mounted.
func Places() []string {
	places := []string{"/boot/firmware", "/boot", "/boot/efi"}
	for _, pattern := range []string{"/media/*", "/media/*/*", "/mnt/*"} {
		found, _ := filepath.Glob(pattern) // the patterns are good
		places = append(places, found...)
	}
	return places
}

// File is what the file may say. All of it may be left out.
type File struct {
	Admin Admin `toml:"admin"`
	Join  Join  `toml:"join"`
	// Config is what the configuration file is to hold: the keys of
	// signalbox.toml below [config.SECTION].
	Config map[string]any `toml:"config"`
}

// Admin asks for a link for the first administrator, which is written beside the
// file: whoever has put the medium in takes it out and opens the link.
type Admin struct {
	Link bool          `toml:"link"`
	For  time.Duration `toml:"-"`
	Text string        `toml:"for"` // how long the link works: "24h"
}

// Join is what `signalbox cloud site add` has printed for this box.
type Join struct {
	URL   string `toml:"url"`
	Token string `toml:"token"`
	CA    string `toml:"ca"`
}

const (
	maxFileBytes = 64 << 10
	defaultLink  = 24 * time.Hour
	longestLink  = 7 * 24 * time.Hour
)

func parse(text []byte) (f File, err error) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // what Windows puts before a text
	decoder := toml.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		if strict, ok := errors.AsType[*toml.StrictMissingError](err); ok {
			keys := make([]string, len(strict.Errors))
			for i := range strict.Errors {
				row, _ := strict.Errors[i].Position()
				keys[i] = fmt.Sprintf("line %d: %s is unknown; there are admin.link, admin.for, join.url, join.token, join.ca and config",
					row, strings.Join(strict.Errors[i].Key(), "."))
			}
			return File{}, errors.New(strings.Join(keys, "\n"))
		}
		if at, ok := errors.AsType[*toml.DecodeError](err); ok {
			row, _ := at.Position()
			return File{}, fmt.Errorf("line %d: %w", row, err)
		}
		return File{}, err
	}
	return f, f.check()
}

func (f *File) check() error {
	var errs []error
	f.Admin.For = defaultLink
	if f.Admin.Text != "" {
		d, err := time.ParseDuration(f.Admin.Text)
		if err != nil || d < time.Minute || d > longestLink {
			errs = append(errs, fmt.Errorf(`admin.for: got %q, want "1m" to "168h"`, f.Admin.Text))
		}
		f.Admin.For = d
	}
	set := 0
	for _, value := range []string{f.Join.URL, f.Join.Token, f.Join.CA} {
		if value != "" {
			set++
		}
	}
	if set != 0 && set != 3 {
		errs = append(errs, errors.New("join: url, token and ca go together; the cloud prints all three"))
	}
	if !f.Admin.Link && set == 0 && len(f.Config) == 0 {
		errs = append(errs, errors.New("it asks for nothing; want [admin], [join] or [config]"))
	}
	return errors.Join(errs...)
}

// Untouched reports whether a configuration file says nothing: a package has put
// it there, or there is none. One that somebody has written is not replaced.
func Untouched(path string) (bool, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	return !slices.ContainsFunc(strings.Split(string(text), "\n"), func(line string) bool {
		line = strings.TrimSpace(line)
		return line != "" && line[0] != '#' && line[0] != '['
	}), nil
}

// ConfigText is Config as the text of a configuration file.
func (f File) ConfigText() (string, error) {
	var b bytes.Buffer
	b.WriteString("# Written from " + Name + " at the first start.\n")
	encoder := toml.NewEncoder(&b)
	encoder.SetIndentTables(false)
	if err := encoder.Encode(f.Config); err != nil {
		return "", fmt.Errorf("config: %w", err)
	}
	return b.String(), nil
}
