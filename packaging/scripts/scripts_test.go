// Package scripts_test runs the maintainer scripts beside commands that only note
// how they were called.
package scripts_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// place is a machine: a root folder, and a folder of commands.
type place struct {
	t         *testing.T
	root, bin string
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, root: t.TempDir(), bin: t.TempDir()}
	for _, dir := range []string{"etc/signalbox", "run/systemd/system", "usr/bin", "usr/lib/signalbox/previous", "var/lib/signalbox-system", "sbin"} {
		if err := os.MkdirAll(filepath.Join(p.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"systemctl", "deb-systemd-invoke", "deb-systemd-helper", "systemd-sysusers", "systemd-tmpfiles"} {
		p.command(filepath.Join(p.bin, name), 0)
	}
	return p
}

// command puts a command in place that notes its arguments and ends with code.
func (p *place) command(path string, code int) {
	p.t.Helper()
	text := "#!/bin/sh\necho \"${0##*/} $*\" >>" + filepath.Join(p.bin, "calls") + "\n"
	if code != 0 {
		text += "echo 'no space left on device' >&2; exit 1\n"
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) write(name string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.root, name), []byte("{}"), 0o644); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) there(name string) bool {
	_, err := os.Lstat(filepath.Join(p.root, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		p.t.Fatal(err)
	}
	return err == nil
}

// run runs a script on the machine, and returns which commands it called and what
// it said.
func (p *place) run(script string, args ...string) (calls, said string) {
	p.t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		p.t.Fatal(err)
	}
	here := string(text)
	for _, top := range []string{"/etc/", "/run/", "/usr/", "/var/", "/sbin/"} {
		for _, before := range []string{" ", "\t", `"`, "$DPKG_ROOT"} {
			with := before
			if before == "$DPKG_ROOT" {
				with = ""
			}
			here = strings.ReplaceAll(here, before+top, with+p.root+top)
		}
	}
	file := filepath.Join(p.t.TempDir(), "script")
	if err := os.WriteFile(file, []byte(here), 0o755); err != nil {
		p.t.Fatal(err)
	}
	log := filepath.Join(p.bin, "calls")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command("sh", append([]string{file}, args...)...)
	cmd.Env = []string{"PATH=" + p.bin + ":/usr/bin:/bin"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", script, args, err, out)
	}
	called, err := os.ReadFile(log)
	if err != nil {
		p.t.Fatal(err)
	}
	return string(called), string(out)
}

// A package that was removed and is installed again starts the services, which an
// upgrade only restarts. Both read the units anew.
func TestInstallAfterRemoval(t *testing.T) {
	p := newPlace(t)
	p.run("deb/preinst", "install", "1.0", "1.1")
	if got, _ := p.run("deb/postinst", "configure", "1.0"); !strings.Contains(got, "deb-systemd-invoke start signalbox.service") || !strings.Contains(got, "systemctl --system daemon-reload") {
		t.Errorf("nothing is started:\n%s", got)
	}
	p.run("deb/preinst", "upgrade", "1.1", "1.2")
	if got, _ := p.run("deb/postinst", "configure", "1.1"); strings.Contains(got, "invoke start") || !strings.Contains(got, "try-restart signalbox.service") || !strings.Contains(got, "systemctl --system daemon-reload") {
		t.Errorf("an upgrade calls:\n%s", got)
	}
}

// That the program before cannot be kept is said, and stops no upgrade. The same
// version once more leaves the one before that.
func TestKeepBeforeUpgrade(t *testing.T) {
	for _, test := range []struct {
		script      string
		args, again []string // again: the same version
	}{
		{"deb/preinst", []string{"upgrade", "1.0", "1.1"}, []string{"upgrade", "1.1", "1.1"}},
		{"rpm/pre", []string{"2"}, nil},
		{"apk/pre-upgrade", []string{"1.1", "1.0"}, nil},
	} {
		p := newPlace(t)
		program := filepath.Join(p.root, "usr/bin/signalbox")
		p.command(program, 0)
		if calls, said := p.run(test.script, test.args...); calls != "signalbox upgrade keep\n" || said != "" {
			t.Errorf("%s calls %q and says %q", test.script, calls, said)
		}
		p.command(program, 1)
		if _, said := p.run(test.script, test.args...); !strings.Contains(said, "no space left") || !strings.Contains(said, "is not kept") {
			t.Errorf("%s says %q", test.script, said)
		}
		if test.again == nil {
			continue
		}
		if calls, _ := p.run(test.script, test.again...); calls != "" {
			t.Errorf("%s calls %q for the same version", test.script, calls)
		}
	}
}

// What is known about a program goes with it: the next installation is no trial.
func TestRemovalEndsTrial(t *testing.T) {
	for script, arg := range map[string]string{"deb/postrm": "remove", "rpm/postun": "0", "apk/pre-deinstall": "1.0"} {
		p := newPlace(t)
		gone := []string{"usr/lib/signalbox/previous/signalbox", "usr/bin/.signalbox-new-1", "var/lib/signalbox-system/pending.json", "var/lib/signalbox-system/verdict.json"}
		for _, name := range gone {
			p.write(name)
		}
		p.write("var/lib/signalbox-system/provisioned")
		p.run(script, arg)
		for _, name := range gone {
			if p.there(name) {
				t.Errorf("%s leaves %s", script, name)
			}
		}
		if !p.there("var/lib/signalbox-system/provisioned") {
			t.Errorf("%s takes what provisioning knows", script)
		}
	}
}
