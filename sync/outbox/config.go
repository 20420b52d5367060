package outbox

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"time"
)

// Config is what New needs. Zero values are replaced by the defaults named.
type Config struct {
	Dir string // the data folder
	// SoftBytes are from when on minutes are merged into hours, and HardBytes are
	// what the file never exceeds: 24 and 64 MiB. Half way between them hours are
	// merged into days.
	SoftBytes, HardBytes int64
	// KeepApplied is for how long frames are kept that the cloud has applied, in
	// case it is restored from an older copy; less if room demands it. 72 h.
	KeepApplied time.Duration
	Logger      *slog.Logger // slog.Default() if nil

	noSync bool // for simulations
}

const minSoftBytes = 256 << 10

func (c *Config) fill() error {
	if c.SoftBytes == 0 {
		c.SoftBytes = 24 << 20
	}
	if c.HardBytes == 0 {
		c.HardBytes = 64 << 20
	}
	if c.KeepApplied == 0 {
		c.KeepApplied = 72 * time.Hour
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	switch {
	case c.Dir == "":
		return fmt.Errorf("outbox: no folder given")
	case c.SoftBytes < minSoftBytes:
		return fmt.Errorf("outbox: soft limit: got %d bytes, want at least %d", c.SoftBytes, minSoftBytes)
	case c.HardBytes < 2*c.SoftBytes:
		return fmt.Errorf("outbox: hard limit: got %d bytes, want at least twice the soft limit of %d", c.HardBytes, c.SoftBytes)
	}
	return nil
}

func (c *Config) path() string { return filepath.Join(c.Dir, fileName) }

// dayBytes are from when on hours are merged into days, and fullBytes from when
// on anything is merged with its neighbour.
func (c *Config) dayBytes() int64  { return (c.SoftBytes + c.HardBytes) / 2 }
func (c *Config) fullBytes() int64 { return c.HardBytes / 8 * 7 }
