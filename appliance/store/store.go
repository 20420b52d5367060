// Package store keeps everything a box must not lose in one bbolt file,
// DIR/signalbox.db: rooms, keys, invites, revocations, sessions, and what
// other parts put into buckets of their own.
//
// A write is on the disk before it is acknowledged, concurrent writes share
// one commit, and an idle store writes nothing. Open always ends in a living
// store: a file that cannot be used is kept aside and the newest good state
// is taken instead, see Recovery.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrFull is returned by a write that would take the file past its limit,
	// or for which the disk has no space. The store lives on; Reclaim and the
	// typed deletes still work.
	ErrFull = errors.New("store is full")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("store is closed")
	// ErrNotFound is returned when there is no record of that name.
	ErrNotFound = errors.New("not found")
	// ErrLocked is returned when another process has the data folder open.
	ErrLocked = errors.New("data folder is in use")
	// ErrDamaged is returned when a file or a record cannot be what was written.
	ErrDamaged = errors.New("damaged")
	// ErrFailed is returned once the disk has refused a write or a read. What
	// is on the disk is unknown until the store has been opened again.
	ErrFailed = errors.New("disk failed")
)

const (
	fileName = "signalbox.db"
	// allocBytes is the step in which the file grows. bbolt's 16 MiB would
	// cost a small box more flash than all its rooms.
	allocBytes = 128 << 10
)

// Store is one open data folder. All methods may be called concurrently.
type Store struct {
	cfg      Config
	schema   schema
	log      *slog.Logger
	lock     *os.File
	db       *database
	boxID    string
	pageSize int64
	recovery Recovery

	queue   chan *request // updates that wait for a commit
	leading chan struct{} // holds one token while somebody commits
	closing chan struct{} // closed when Close begins
	failure failure
	counts  counters

	backingUp sync.Mutex    // held while a backup is made: one at a time
	soon      chan struct{} // asks Run for a backup within firstBackup
	closeOnce sync.Once
	closeErr  error
}

// Open opens the data folder cfg.Dir, creating it on first start, and climbs
// the recovery ladder when the file in it is not usable. It returns an error
// only for what another file would not cure: a folder that is locked or not
// writable, or a file written by a newer Signalbox, which is not touched.
func Open(cfg Config) (*Store, error) {
	s, err := open(cfg, current)
	if err != nil {
		return nil, explain(cfg.Dir, err)
	}
	return s, nil
}

func open(cfg Config, want schema) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Dir == "" {
		return nil, errors.New("the data folder has no name; give one with --data DIR")
	}
	if err := makeDir(cfg.Dir); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	lock, err := lockDir(cfg.Dir, cfg.LockTimeout)
	if err != nil {
		return nil, err
	}
	l := ladder{cfg: cfg, schema: want, log: cfg.Logger}
	db, err := l.climb()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s := &Store{
		cfg:      cfg,
		schema:   want,
		log:      cfg.Logger,
		lock:     lock,
		db:       db,
		pageSize: int64(db.Info().PageSize),
		recovery: l.recovery,
		queue:    make(chan *request, queueLength),
		leading:  make(chan struct{}, 1),
		closing:  make(chan struct{}),
		failure:  failure{happened: make(chan struct{})},
		soon:     make(chan struct{}, 1),
	}
	s.counts.changed.Store(true)
	if err := s.readIdentity(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Run makes the scheduled backups until ctx is cancelled, and returns an error
// when the disk has failed and the process should start again. Updates do not
// need Run: they are committed by whichever caller comes first, so that what a
// part writes while everything stops still lands.
func (s *Store) Run(ctx context.Context) error {
	timer := time.NewTimer(s.untilBackup())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.failure.happened:
			return s.failure.err()
		case <-s.soon:
			timer.Reset(min(firstBackup, s.untilBackup()))
		case <-timer.C:
			timer.Reset(s.scheduledBackup(ctx))
		}
	}
}

// Close commits what is queued, waits for open transactions and releases the
// data folder. It may be called more than once.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.leading <- struct{}{} // never given back: nobody commits any more
		for s.commitQueued() > 0 {
		}
		s.closeErr = errors.Join(s.db.Close(), s.lock.Close())
	})
	return s.closeErr
}

// View runs fn in a read transaction. Slices it sees are valid only inside.
// A long fn keeps old pages from being reused; it never blocks a writer.
func (s *Store) View(fn func(*bbolt.Tx) error) error {
	err := catchFault(func() error { return s.db.View(fn) })
	switch {
	case errors.Is(err, ErrFailed):
		s.fail(err)
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return ErrClosed
	}
	return err
}

// Recovery tells what Open had to do to end with a usable file.
func (s *Store) Recovery() Recovery { return s.recovery }

// Dir is the data folder.
func (s *Store) Dir() string { return s.cfg.Dir }

// Path is the database file.
func (s *Store) Path() string { return filepath.Join(s.cfg.Dir, fileName) }

// fail stops all further writes. After a failed sync the kernel may have
// dropped the dirty pages, and a later sync that succeeds would prove nothing.
func (s *Store) fail(err error) {
	if s.failure.set(err) {
		s.log.Error("store failed; it must be opened again", "err", err)
	}
}

// failure remembers the first fault of the disk.
type failure struct {
	happened chan struct{} // closed by set
	first    atomic.Pointer[error]
}

func (f *failure) set(err error) bool {
	if !f.first.CompareAndSwap(nil, &err) {
		return false
	}
	close(f.happened)
	return true
}

func (f *failure) err() error {
	if err := f.first.Load(); err != nil {
		return *err
	}
	return nil
}
