package store

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"signalbox/internal/order"
)

const (
	backupDir = "backups" // scheduled backups, and those before an upgrade
	keptDir   = "kept"    // files that were replaced
	keptFiles = 3
)

// numbered is a file such as signalbox-000017-20260102T150405Z.db. The number
// gives the order: a box without a clock chip starts in 1970 every time.
type numbered struct {
	path   string
	number int
	at     time.Time
	by     string // "" or the version of the program that wrote it, see safeVersion
	note   string // "" or why the file was made, such as "schema1"
}

const stampLayout = "20060102T150405Z"

var numberedName = regexp.MustCompile(`^signalbox-(\d{6,9})-(\d{8}T\d{6}Z)(?:(?:-v([A-Za-z0-9.+~_-]+))?-([a-z0-9]+))?\.db$`)

// listNumbered returns the numbered files of dir, newest first. A missing
// folder is an empty one.
func listNumbered(dir string) ([]numbered, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []numbered
	for _, e := range entries {
		m := numberedName.FindStringSubmatch(e.Name())
		if m == nil || !e.Type().IsRegular() {
			continue
		}
		at, err := time.Parse(stampLayout, m[2])
		if err != nil {
			continue // digits that are no date: not ours
		}
		number, _ := strconv.Atoi(m[1]) // at most nine digits
		files = append(files, numbered{path: filepath.Join(dir, e.Name()), number: number, at: at, by: m[3], note: m[4]})
	}
	order.By(files, func(a, b numbered) int { return cmp.Compare(b.number, a.number) })
	return files, nil
}

// nextNumbered names a new file of dir, and creates dir.
func nextNumbered(dir, note string) (string, error) {
	if err := makeDir(dir); err != nil {
		return "", err
	}
	files, err := listNumbered(dir)
	if err != nil {
		return "", err
	}
	number := 1
	if len(files) > 0 {
		number = files[0].number + 1
	}
	name := fmt.Sprintf("signalbox-%06d-%s", number, time.Now().UTC().Format(stampLayout))
	if note != "" {
		name += "-" + note
	}
	return filepath.Join(dir, name+".db"), nil
}

// prune removes all but the newest keep of the files for which match is true.
func prune(dir string, keep int, match func(numbered) bool) error {
	files, err := listNumbered(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range files {
		if !match(f) {
			continue
		}
		if keep--; keep < 0 {
			errs = append(errs, os.Remove(f.path))
		}
	}
	return errors.Join(errs...)
}

// keepAside gives the file at path a second name in the folder of kept files,
// so that a new one can be renamed over it and there is never a moment without
// a database. Where there are no hard links it is moved.
func keepAside(dir, path string) (string, error) {
	kept, err := nextNumbered(filepath.Join(dir, keptDir), "")
	if err != nil {
		return "", err
	}
	if err := os.Link(path, kept); err != nil {
		if err := os.Rename(path, kept); err != nil {
			return "", err
		}
	}
	err = errors.Join(
		prune(filepath.Dir(kept), keptFiles, func(numbered) bool { return true }),
		syncDir(filepath.Dir(kept)),
	)
	return kept, err
}
