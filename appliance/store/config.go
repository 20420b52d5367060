package store

import (
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"time"
)

// Config is the [store] section. A zero field means its default.
type Config struct {
	// Dir is the data folder, mode 0700 when Open creates it.
	Dir string `toml:"-"`
	// MaxBytes is the most the database file may take; 256 MiB by default.
	// Backups and files kept aside come on top, each at most as large.
	MaxBytes int64 `toml:"max_bytes"`
	// BackupEvery is the time between two scheduled backups; 24 h by default.
	// A backup is made only when something has changed since the last one.
	BackupEvery time.Duration `toml:"backup_every"`
	// BackupKeep is how many scheduled backups are kept; 3 by default. One
	// more is kept from before the last upgrade of the file, and one from
	// before that while it may be needed.
	BackupKeep int `toml:"backup_keep"`
	// LockTimeout is how long Open waits for another process to let go of
	// the folder; 2 s by default.
	LockTimeout time.Duration `toml:"-"`
	// Program is the version of the program. When it is another than the one
	// that had the file before, Open copies the file first. Empty: unknown.
	Program string `toml:"-"`
	// Fetch brings a backup from elsewhere into Dir when there is none here that
	// can be used: a file that Open renames, and when it was made. "" is none, and
	// nobody to ask. Its error does not keep Open from going on with an empty file.
	// nil: there is nowhere to ask.
	Fetch func() (path string, made time.Time, err error) `toml:"-"`
	// BackedUp is told of each backup that Run or BackupNow has made; nil: nobody.
	BackedUp func() `toml:"-"`
	// Previous is the version of the program that may have to come back, or has:
	// the newest copy of what that one wrote is kept. Empty: none.
	Previous string       `toml:"-"`
	Logger   *slog.Logger `toml:"-"`
}

const (
	minMaxBytes    = 4 << 20
	minBackupEvery = time.Minute
	maxBackupKeep  = 100
)

// Default is the configuration of an empty [store] section.
func Default() Config {
	return Config{
		MaxBytes:    256 << 20,
		BackupEvery: 24 * time.Hour,
		BackupKeep:  3,
		LockTimeout: 2 * time.Second,
	}
}

func (c Config) withDefaults() Config {
	d := Default()
	if c.MaxBytes == 0 {
		c.MaxBytes = d.MaxBytes
	}
	if c.BackupEvery == 0 {
		c.BackupEvery = d.BackupEvery
	}
	if c.BackupKeep == 0 {
		c.BackupKeep = d.BackupKeep
	}
	if c.LockTimeout == 0 {
		c.LockTimeout = d.LockTimeout
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Validate reports every setting that Open would refuse, joined. Zero fields
// stand for their defaults and are accepted.
func (c Config) Validate() error {
	c = c.withDefaults()
	var errs []error
	if c.MaxBytes < minMaxBytes || c.MaxBytes > maxMaxBytes {
		errs = append(errs, fmt.Errorf("store.max_bytes: got %d, want a size from %dMiB to %dGiB", c.MaxBytes, minMaxBytes>>20, int64(maxMaxBytes)>>30))
	}
	if c.BackupEvery < minBackupEvery {
		errs = append(errs, fmt.Errorf("store.backup_every: got %v, want at least 1m", c.BackupEvery))
	}
	if c.BackupKeep < 1 || c.BackupKeep > maxBackupKeep {
		errs = append(errs, fmt.Errorf("store.backup_keep: got %d, want 1 to %d", c.BackupKeep, maxBackupKeep))
	}
	return errors.Join(errs...)
}

// maxMaxBytes leaves a 32-bit process half of its address space: the whole
// file is mapped.
const maxMaxBytes = 1 << (30 + 6*(bits.UintSize/64))

// spareBytes is the part of MaxBytes that only Reclaim may use. Copy-on-write
// needs new pages even to delete, so a file filled to the brim could never be
// emptied again.
func (c Config) spareBytes() int { return max(int(c.MaxBytes)/16, 512<<10) }

// softLimit is where ordinary writes end.
func (c Config) softLimit() int { return int(c.MaxBytes) - c.spareBytes() }
