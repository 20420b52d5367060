package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// explain says what to do about a folder that cannot be used as it is.
func explain(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		mine := userName(os.Geteuid())
		for _, path := range []string{dir, dir + "/" + lockName, dir + "/" + fileName, dir + "/" + backupDir, dir + "/" + keptDir} {
			info, statErr := os.Stat(path)
			if statErr != nil {
				continue
			}
			if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
				return fmt.Errorf("%w: %s belongs to %s, this program runs as %s; run chown -R %s %s", err, path, userName(int(owner.Uid)), mine, mine, dir)
			}
		}
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("%w: the disk of %s cannot be written; look for its faults with dmesg, and replace it", err, dir)
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: the disk of %s is full; free some space", err, dir)
	}
	return err
}

func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "user " + strconv.Itoa(uid)
}
