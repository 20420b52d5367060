package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// staged says where files of the repository stand in an archive. Packages put
// the same files elsewhere, by nfpm.yaml.
var staged = map[string]string{
	"README.md":                       "README.md",
	"LICENSE":                         "LICENSE",
	"SECURITY.md":                     "SECURITY.md",
	"packaging/CHANGELOG.md":          "CHANGELOG.md",
	"packaging/signalbox.toml":        "signalbox.toml",
	"packaging/install.sh":            "install.sh",
	"packaging/man":                   "man",
	"packaging/completions":           "completions",
	"packaging/openrc":                "openrc",
	"appliance/METRICS.md":            "doc/METRICS.md",
	"appliance/signaling/PROTOCOL.md": "doc/PROTOCOL.md",
	"turn/COTURN.md":                  "doc/COTURN.md",
}

// stageFiles copies what a site needs beside the binary in dir.
func (r *release) stageFiles(dir string) error {
	for from, to := range staged {
		if err := copyTree(filepath.Join(r.root, from), filepath.Join(dir, to)); err != nil {
			return err
		}
	}
	// systemd/ has Go code, too.
	for _, pattern := range []string{"*.service", "*.socket", "*.timer", "*.path", "*/*.conf"} {
		found, err := filepath.Glob(filepath.Join(r.root, "systemd", pattern))
		if err != nil {
			return err
		}
		for _, from := range found {
			rel, err := filepath.Rel(r.root, from)
			if err != nil {
				return err
			}
			if err := copyTree(from, filepath.Join(dir, rel)); err != nil {
				return err
			}
		}
	}
	return r.stageForPackages(dir)
}

// stageForPackages writes, under pkg, what only packages have: compressed
// pages, a changelog in Debian's form, and scripts, whose times some formats keep.
func (r *release) stageForPackages(dir string) error {
	changelog, err := os.ReadFile(filepath.Join(r.root, "packaging/CHANGELOG.md"))
	if err != nil {
		return err
	}
	debian, err := debianChangelog(string(changelog), debianVersion(r.version), r.when)
	if err != nil {
		return err
	}
	files := map[string][]byte{"changelog.gz": []byte(debian), "CHANGELOG.md.gz": changelog}
	for _, name := range []string{
		"man/signalbox.1", "man/signalbox.toml.5", "THIRD-PARTY-LICENSES.txt", "sbom.cdx.json",
		"README.md", "doc/METRICS.md", "doc/PROTOCOL.md", "doc/COTURN.md",
	} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		files[filepath.Base(name)+".gz"] = content
	}
	for name, content := range files {
		if err := writeGzip(filepath.Join(dir, "pkg", name), content); err != nil {
			return err
		}
	}
	if err := copyTree(filepath.Join(r.root, "packaging/scripts"), filepath.Join(dir, "pkg/scripts")); err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, r.when, r.when)
	})
}

// copyTree copies a file or a folder. Modes are those that git knows.
func copyTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, content, mode(info.Mode()))
	})
}

// mode keeps the build machine's umask out of a release.
func mode(m fs.FileMode) fs.FileMode {
	if m&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// writeGzip compresses as gzip -9n does, as Debian wants documentation.
func writeGzip(name string, content []byte) error {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}

// debianVersion has no revision: the package is ours, not Debian's of something
// of ours. A pre-release sorts before what it leads to.
func debianVersion(version string) string { return strings.Replace(version, "-", "~", 1) }

// checkVersion refuses a version that one of the formats could not order.
func checkVersion(version string) error {
	if !versionForm.MatchString(version) {
		return fmt.Errorf("version: got %q, want X.Y.Z, X.Y.Z-rcN, or one of them with +N.gCOMMIT", version)
	}
	return nil
}
