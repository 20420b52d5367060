// Package releasetest makes the release that tests look into and install, once
// for all of them: what takes the time is compressing, not compiling.
package releasetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"signalbox/packaging/minisign"
)

// Variable names the folder that test processes share a release in; without it
// each makes one for itself. packaging/test sets it.
const Variable = "TEST_RELEASE_DIR"

// Version is that of the release. Next and Broken are for packages that Remake
// makes of it: they are as long, so that one program becomes another by its
// version alone.
const (
	Version = "7.31.4101-rc1"
	Next    = "7.31.4101-rc2"
	Broken  = "7.31.4101-rc3"
)

// ErrOffline is returned by Make when the modules of the packing tools are not
// on this machine and cannot be fetched.
var ErrOffline = errors.New("the modules of packaging/tools cannot be fetched from here")

// ErrNoXZ is returned by Make when debs cannot be compressed.
var ErrNoXZ = errors.New("xz is not installed; Debian has it in xz-utils")

// Set is a release for this machine's architecture.
type Set struct {
	Dir string             // archive, deb, rpm, apk, sums and signatures
	Key minisign.SecretKey // that signed it, and is thrown away
}

// Make returns the shared release, or makes one in dir where nothing is shared.
// Processes that come at the same time wait for the one that makes it. root is
// the repository.
func Make(ctx context.Context, root, dir string) (*Set, error) {
	if shared := os.Getenv(Variable); shared != "" {
		dir = shared
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer lock.Close() // which ends the lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	set := &Set{Dir: filepath.Join(dir, "dist")}
	keyFile := filepath.Join(dir, "key")
	text, err := os.ReadFile(keyFile) // written last
	if errors.Is(err, fs.ErrNotExist) {
		set.Key = minisign.GenerateKey()
		if err := Build(ctx, root, set.Dir, runtime.GOARCH, set.Key); err != nil {
			return nil, err
		}
		return set, os.WriteFile(keyFile, []byte(set.Key.File()), 0o600)
	}
	if err != nil {
		return nil, err
	}
	set.Key, err = minisign.ParseSecretKey(string(text))
	return set, err
}

// Build makes a release of the repository root in out, for some architectures.
func Build(ctx context.Context, root, out, arch string, key minisign.SecretKey) error {
	if _, err := exec.LookPath("xz"); err != nil {
		return ErrNoXZ
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-C", filepath.Join(root, "packaging/tools"), "-deps", "./...")
	if text, err := cmd.CombinedOutput(); err != nil {
		if unreachable(string(text)) {
			return ErrOffline
		}
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	cmd = exec.CommandContext(ctx, "go", "run", "-C", root, "./packaging/release", "build", "-arch", arch, "-out", out)
	cmd.Env = append(os.Environ(), "VERSION="+Version, "SIGNALBOX_SIGNING_KEY="+key.File())
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, text)
	}
	return nil
}

// unreachable tells a network that is not there from a mistake of ours.
func unreachable(text string) bool {
	for _, sign := range []string{"dial tcp", "no such host", "i/o timeout", "connection refused", "module lookup disabled", "TLS handshake timeout"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// File is the one file of the release that ends in suffix.
func (s *Set) File(suffix string) (string, error) {
	found, err := filepath.Glob(filepath.Join(s.Dir, "*"+suffix))
	if err != nil || len(found) != 1 {
		return "", fmt.Errorf("got %v, %w, want one *%s", found, err, suffix)
	}
	return found[0], nil
}
