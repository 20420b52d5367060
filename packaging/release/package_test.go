//go:build interop

package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDebIsClean has lintian look at the package, together with the source
// package that tells it, as for Debian's own, that a Go compiler made the
// program: those are static. What lintian thinks of that source is left out.
func TestDebIsClean(t *testing.T) {
	deb := made(t, dist, ".deb")
	need(t, "lintian", "lintian")
	need(t, "dpkg-source", "dpkg-dev")
	dsc := sourcePackage(t)
	out, err := try(t, "lintian", "--allow-root", "--no-cfg", "--show-overrides", "--display-level", ">=warning", dsc, deb)
	if !strings.Contains(out, ": signalbox source: ") {
		t.Fatalf("lintian has not looked at the two, %v:\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, ": signalbox: ") {
			t.Errorf("lintian: %s (%v)", strings.TrimSpace(line), err)
		}
	}
}

// sourcePackage describes how the deb was built.
func sourcePackage(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "signalbox")
	for name, text := range map[string]string{
		"debian/control": "Source: signalbox\nSection: comm\nPriority: optional\nMaintainer: " + maintainer +
			"\nBuild-Depends: golang-go\nStandards-Version: 4.6.2\n\nPackage: signalbox\nArchitecture: any\nDescription: box\n text\n",
		"debian/changelog":     "signalbox (" + debianVersion(version) + ") stable; urgency=medium\n\n  * x\n\n -- " + maintainer + "  Wed, 25 Nov 2026 13:50:00 +0000\n",
		"debian/source/format": "3.0 (native)\n",
		"debian/rules":         "#!/usr/bin/make -f\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := "cd " + filepath.Dir(dir) + " && dpkg-source --build signalbox"
	shell(t, "sh", "-c", cmd)
	return filepath.Join(filepath.Dir(dir), "signalbox_"+debianVersion(version)+".dsc")
}

func TestDebFields(t *testing.T) {
	deb := made(t, dist, ".deb")
	need(t, "dpkg-deb", "dpkg")
	wantLines(t, shell(t, "dpkg-deb", "--field", deb), "Package: signalbox", "Version: 7.31.4101~rc1", "Section: comm",
		"Maintainer: "+maintainer, "Depends: systemd | systemd-standalone-sysusers | systemd-sysusers")
	wantLines(t, shell(t, "dpkg-deb", "--info", deb, "conffiles"), "/etc/signalbox/signalbox.toml")
	// A pre-release goes before what it leads to, and a tag before what follows.
	for _, order := range [][2]string{{"1.2.3-rc1", "1.2.3"}, {"1.2.3", "1.2.3+4.gabc"}, {"1.2.3+4.gabc", "1.2.3+10.gabc"}, {"1.2.3+4.gabc", "1.2.4-rc1"}} {
		if _, err := try(t, "dpkg", "--compare-versions", debianVersion(order[0]), "lt", debianVersion(order[1])); err != nil {
			t.Errorf("dpkg does not see %s before %s", order[0], order[1])
		}
	}
}

func TestRPM(t *testing.T) {
	file := made(t, dist, ".rpm")
	need(t, "rpm", "rpm")
	if out := shell(t, "rpm", "-K", "--nosignature", file); !strings.Contains(out, "digests OK") {
		t.Errorf("rpm -K: %s", out)
	}
	wantLines(t, shell(t, "rpm", "-qp", "--qf", "%{NAME}\n%{VERSION}\n%{RELEASE}\n%{LICENSE}\n%{OS}\n", file),
		"signalbox", "7.31.4101~rc1", "1", "Apache-2.0", "linux")
	wantLines(t, shell(t, "rpm", "-qpc", file), "/etc/signalbox/signalbox.toml")
	wantLines(t, shell(t, "rpm", "-qpl", file), "/usr/bin/signalbox", "/usr/lib/systemd/system/signalbox.service",
		"/usr/lib/systemd/system/signalbox.socket", "/usr/lib/sysusers.d/signalbox.conf", "/usr/share/man/man1/signalbox.1.gz")
	scripts := shell(t, "rpm", "-qp", "--scripts", file)
	for _, part := range []string{"preinstall scriptlet", "postinstall scriptlet", "preuninstall scriptlet", "postuninstall scriptlet", "systemd-sysusers signalbox.conf"} {
		if !strings.Contains(scripts, part) {
			t.Errorf("no %q among the scripts:\n%s", part, scripts)
		}
	}
	// noreplace: what an administrator has changed stays in place.
	if out := shell(t, "rpm", "-qp", "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags}\n]", file); !strings.Contains(out, "/etc/signalbox/signalbox.toml cn") {
		t.Errorf("the configuration is not config(noreplace):\n%s", out)
	}
}

// TestAPK reads the package as apk does: gzip members, the control files in the
// first, the data in the next (unsigned, as nfpm has no key here).
func TestAPK(t *testing.T) {
	content, err := os.ReadFile(made(t, dist, ".apk"))
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(bytes.NewReader(content))
	control, data := member(t, in), member(t, in)
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		t.Error("there is more than control and data")
	}
	wantLines(t, string(control[".PKGINFO"]), "pkgname = signalbox", "pkgver = 7.31.4101_rc1-r0", "license = Apache-2.0", "depend = openrc")
	for _, script := range []string{".pre-install", ".post-install", ".pre-upgrade", ".post-upgrade", ".pre-deinstall"} {
		if !strings.HasPrefix(string(control[script]), "#!/bin/sh\n") {
			t.Errorf("%s: got %q", script, control[script])
		}
	}
	for _, name := range []string{"usr/bin/signalbox", "etc/init.d/signalbox", "etc/conf.d/signalbox", "etc/signalbox/signalbox.toml"} {
		if len(data[name]) == 0 {
			t.Errorf("no %s in the package", name)
		}
	}
	for name := range data {
		if strings.Contains(name, "systemd") {
			t.Errorf("Alpine has no systemd, and the package %s", name)
		}
	}
	if !strings.HasPrefix(string(data["etc/init.d/signalbox"]), "#!/sbin/openrc-run\n") {
		t.Error("the service is no OpenRC script")
	}
	shell(t, "sh", "-n", "../openrc/signalbox.initd")
}

// member reads the files of the next gzip member, a tar segment.
func member(t *testing.T, in *bufio.Reader) map[string][]byte {
	t.Helper()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	z.Multistream(false)
	whole, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return files(t, bytes.NewReader(whole))
}

// files reads a tar, whose end marks a segment may lack.
func files(t *testing.T, in io.Reader) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	for r := tar.NewReader(in); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if found[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}
