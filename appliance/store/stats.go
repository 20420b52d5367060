package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
)

// stuckAfter is when a commit that has not come back from the disk makes the
// store unhealthy.
const stuckAfter = 15 * time.Second

// counters are what the store knows about itself since Open.
type counters struct {
	updates, commits, full  atomic.Uint64
	backups, backupFailures atomic.Uint64
	// commitSince is the start of the running commit, nil when none: with its
	// reading of the monotonic clock, as the wall clock may jump by decades
	// while a machine that began in 1970 hears the time.
	commitSince atomic.Pointer[time.Time]
	lastCommit  atomic.Int64 // ns the last commit took
	lastBackup  atomic.Int64 // unix ns of the last backup, 0 when none
	changed     atomic.Bool  // something was committed since the last scheduled backup
}

// Stats is the state of the store for status pages and metrics.
type Stats struct {
	FileBytes    int64         `json:"file_bytes"`    // size of the database file
	FreeBytes    int64         `json:"free_bytes"`    // of those, reusable
	MaxBytes     int64         `json:"max_bytes"`     // where writes end
	Updates      uint64        `json:"updates"`       // updates answered since Open
	Commits      uint64        `json:"commits"`       // commits they took
	WrittenBytes int64         `json:"written_bytes"` // handed to the disk by commits since Open
	Full         uint64        `json:"full"`          // commits refused with ErrFull
	LastCommit   time.Duration `json:"last_commit_ns"`
	Backups      uint64        `json:"backups"` // scheduled backups made since Open
	BackupFailed uint64        `json:"backup_failures"`
	LastBackup   time.Time     `json:"last_backup,omitzero"` // newest scheduled backup
}

// Stats costs no disk access beyond a stat of the file.
func (s *Store) Stats() Stats {
	db := s.db.Stats()
	st := Stats{
		MaxBytes:     s.cfg.MaxBytes,
		Updates:      s.counts.updates.Load(),
		Commits:      s.counts.commits.Load(),
		Full:         s.counts.full.Load(),
		LastCommit:   time.Duration(s.counts.lastCommit.Load()),
		Backups:      s.counts.backups.Load(),
		BackupFailed: s.counts.backupFailures.Load(),
	}
	st.FreeBytes = int64(db.FreePageN+db.PendingPageN) * s.pageSize
	st.WrittenBytes = db.TxStats.GetPageAlloc() + int64(st.Commits)*s.pageSize
	if info, err := os.Stat(s.Path()); err == nil {
		st.FileBytes = info.Size()
	}
	if at := s.counts.lastBackup.Load(); at != 0 {
		st.LastBackup = time.Unix(0, at)
	}
	return st
}

// Check tells whether the store can be read and written, without writing, and
// whether its file is still there. It is cheap enough for a probe every second.
func (s *Store) Check() error {
	if err := s.Alive(); err != nil {
		return err
	}
	if _, err := os.Stat(s.Path()); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was deleted and lives on in memory until the box stops; save it with signalbox backup --from", s.Path())
	}
	return nil
}

// Alive is Check without the look for the file: what another start would cure.
func (s *Store) Alive() error {
	if err := s.failure.err(); err != nil {
		return err
	}
	if since := s.counts.commitSince.Load(); since != nil {
		if age := time.Since(*since); age > stuckAfter {
			return fmt.Errorf("a write has been waiting for the disk for %v; the disk is overloaded or failing", age.Round(time.Second))
		}
	}
	return s.View(func(tx *bbolt.Tx) error {
		_, err := readSchema(tx)
		return err
	})
}
