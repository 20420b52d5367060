package auth

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	maxKeyFileBytes = 256 << 10
	// keyFileEvery is how often, at most, a key file is looked at.
	keyFileEvery = time.Second
	// keyFileSettle: a file changed this short before it was read is read
	// again, since a second change may carry the same time stamp and size.
	keyFileSettle = 2 * time.Second
)

// keyFile is a file of keys that may change while the box runs. It is looked at
// when keys are asked for, at most once per keyFileEvery. Keys stay in force
// until the file holds better ones: to stop believing an issuer, remove it from
// the configuration.
type keyFile struct {
	path   string
	secret bool // others should not be able to read it
	parse  func([]byte) ([]verifyKey, error)
	log    *slog.Logger

	mu      sync.Mutex
	busy    bool // somebody is looking at the file now
	checked time.Time
	seen    fs.FileInfo // of the content last read; nil: never, or no file
	readAt  time.Time
	keys    []verifyKey
	loaded  time.Time
	err     error
}

// current gives the keys in force. Without any, the error wraps ErrNoKeys.
func (f *keyFile) current() ([]verifyKey, error) {
	if f.claim() {
		f.refresh()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.keys) > 0 {
		return f.keys, nil
	}
	if f.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoKeys, f.err)
	}
	return nil, ErrNoKeys // the first look is under way elsewhere
}

// claim reports whether the caller has to look at the file: it is time, and
// nobody else does.
func (f *keyFile) claim() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	since := time.Since(f.checked)
	if f.busy || since >= 0 && since < keyFileEvery {
		return false
	}
	f.busy = true
	return true
}

// refresh looks at the file, without holding the lock meanwhile.
func (f *keyFile) refresh() {
	f.mu.Lock()
	seen, last, failed := f.seen, f.readAt, f.err != nil
	f.mu.Unlock()

	now := time.Now()
	info, err := os.Stat(f.path)
	var keys []verifyKey
	changed := err != nil || failed || !sameContent(seen, info) || last.Sub(info.ModTime()) < keyFileSettle
	if err == nil && changed {
		keys, err = f.read()
	}

	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy, f.checked = false, now
	if !changed {
		return
	}
	f.seen, f.readAt = info, now
	f.settleLocked(keys, err, now)
}

// settleLocked takes over what a look at the file gave, and says so once.
func (f *keyFile) settleLocked(keys []verifyKey, err error, now time.Time) {
	old := f.err
	f.err = err
	if err == nil {
		f.keys, f.loaded = keys, now
		if old != nil {
			f.log.Info("issuer keys are in force again")
		}
		return
	}
	if old != nil && old.Error() == err.Error() {
		return
	}
	if len(f.keys) > 0 {
		f.log.Warn("new issuer keys are not used, the last good ones stay in force", "err", err)
	} else {
		f.log.Error("issuer keys cannot be used, its tokens are refused", "err", err)
	}
}

// read reads and parses the file as it is now.
func (f *keyFile) read() ([]verifyKey, error) {
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxKeyFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxKeyFileBytes {
		return nil, fmt.Errorf("%s has more than %d KiB, want a key file", f.path, maxKeyFileBytes>>10)
	}
	if info, err := file.Stat(); err == nil && f.secret && info.Mode().Perm()&0o007 != 0 {
		f.log.Warn("a shared secret can be read by every user of this machine, chmod it to 0640 or less", "reason", f.path)
	}
	keys, err := f.parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	return keys, nil
}

func sameContent(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
