package releasetest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Remake takes the set's deb apart in dir, and puts it together into to as the
// package of another version. change makes its program of that of the set, nil
// is for Rename. It needs dpkg-deb. Nothing is compressed, which would take the
// longest.
func (s *Set) Remake(dir, to, version string, change func([]byte) ([]byte, error)) error {
	deb, err := s.File(".deb")
	if err != nil {
		return err
	}
	tree := filepath.Join(dir, "tree-"+version)
	defer func() { _ = os.RemoveAll(tree) }()
	if err := dpkg("-R", deb, tree); err != nil {
		return err
	}
	if change == nil {
		change = func(program []byte) ([]byte, error) { return Rename(program, version) }
	}
	if err := edit(filepath.Join(tree, "usr/bin/signalbox"), change); err != nil {
		return err
	}
	if err := edit(filepath.Join(tree, "DEBIAN/control"), func(text []byte) ([]byte, error) {
		return replace(text, "Version: "+debian(Version), "Version: "+debian(version))
	}); err != nil {
		return err
	}
	return dpkg("-Znone", "-b", tree, to)
}

// Rename makes a program call itself another version, one as long.
func Rename(program []byte, version string) ([]byte, error) {
	return replace(program, Version, version)
}

// Replacing works in the bytes of a program only where lengths are the same.
func replace(text []byte, from, to string) ([]byte, error) {
	if len(from) != len(to) || !bytes.Contains(text, []byte(from)) {
		return nil, fmt.Errorf("no %q to replace by %q, or they differ in length", from, to)
	}
	return bytes.ReplaceAll(text, []byte(from), []byte(to)), nil
}

// debian writes a version as the packages do: see versionFor in packaging/tools/pack.
func debian(version string) string { return strings.Replace(version, "-", "~", 1) }

func edit(path string, change func([]byte) ([]byte, error)) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if text, err = change(text); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, text, 0o755) // the mode stays that of the file
}

func dpkg(args ...string) error {
	if out, err := exec.Command("dpkg-deb", args...).CombinedOutput(); err != nil { //nolint:noctx // a moment, and to its end
		return fmt.Errorf("dpkg-deb %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
