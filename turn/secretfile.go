package turn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

const (
	maxSecretFileBytes = 4 << 10
	// maxSecretFiles leaves room in MaxSecrets for the own secret and four
	// that it has replaced.
	maxSecretFiles = MaxSecrets - 5
	// minOutside is the least for a secret that another server chose. coturn
	// takes any; below this one a signed request gives it away.
	minOutside = 8
	// secretFileSettle: a file changed this short before it was read is read
	// again, since a second change may carry the same time and size.
	secretFileSettle = 2 * time.Second
)

// secretFiles are the secrets shared with application servers, one in each
// file. They stay in force until their file holds a better one. Its methods are
// for one goroutine at a time.
type secretFiles struct {
	paths []string
	seen  []secretFile
}

// secretFile is a file as it was read last.
type secretFile struct {
	info   fs.FileInfo
	read   time.Time
	secret []byte
	failed bool
}

// load reads every file for the first time; any fault is an error.
func (f *secretFiles) load() error {
	f.seen = make([]secretFile, len(f.paths))
	var errs []error
	for i := range f.paths {
		if _, err := f.look(i, time.Now()); err != nil {
			errs = append(errs, fmt.Errorf("turn.secret_files: %w", err))
		}
	}
	return errors.Join(errs...)
}

// look reads one file if it has changed. An error is told once.
func (f *secretFiles) look(i int, now time.Time) (changed bool, err error) {
	seen := &f.seen[i]
	info, err := os.Stat(f.paths[i])
	same := err == nil && seen.info != nil && os.SameFile(seen.info, info) &&
		seen.info.Size() == info.Size() && seen.info.ModTime().Equal(info.ModTime())
	if same && !seen.failed && seen.read.Sub(info.ModTime()) > secretFileSettle {
		return false, nil
	}
	var secret []byte
	if err == nil {
		secret, err = readOutside(f.paths[i])
	}
	if err != nil {
		told := seen.failed
		seen.failed = true
		if told {
			return false, nil
		}
		return false, err
	}
	changed = !bytes.Equal(secret, seen.secret)
	*seen = secretFile{info: info, read: now, secret: secret}
	return changed, nil
}

// secrets are those in force, each once.
func (f *secretFiles) secrets() [][]byte {
	var list [][]byte
	for _, s := range f.seen {
		if !slices.ContainsFunc(list, func(have []byte) bool { return bytes.Equal(have, s.secret) }) {
			list = append(list, s.secret)
		}
	}
	return list
}

// lookAtSecrets takes over what has changed in the secret files.
func (s *Server) lookAtSecrets(now time.Time) {
	for i, path := range s.files.paths {
		changed, err := s.files.look(i, now)
		if err != nil {
			s.log.Warn("new secret is not used, the last good one stays in force", "component", "turn", "err", err)
		}
		if changed {
			list := s.files.secrets()
			s.keys.outside.Store(&list)
			s.log.Info("secret read again", "component", "turn", "reason", path)
		}
	}
}

// readOutside reads a secret without the line break at its end.
func readOutside(path string) ([]byte, error) {
	text, err := readSecretFile(path)
	if err != nil {
		return nil, err
	}
	secret := bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	if len(secret) < minOutside || bytes.ContainsAny(secret, "\r\n") {
		return nil, fmt.Errorf("%s: got %d bytes, want one line with a secret of at least %d", path, len(secret), minOutside)
	}
	return secret, nil
}

// readSecretFile reads a small file whole.
func readSecretFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxSecretFileBytes+1))
	if err == nil && len(text) > maxSecretFileBytes {
		err = fmt.Errorf("%s has more than %d KiB, want a single secret", path, maxSecretFileBytes>>10)
	}
	return text, err
}

func checkSecretFiles(paths []string, fault faultFunc) {
	if len(paths) > maxSecretFiles {
		fault("secret_files", fmt.Sprint(len(paths), " files"), fmt.Sprintf("at most %d", maxSecretFiles))
	}
	for i, path := range paths {
		if path == "" || slices.Contains(paths[:i], path) {
			fault("secret_files", path, "names of files, each once")
		}
	}
}
