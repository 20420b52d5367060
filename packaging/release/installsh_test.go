package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// archive is a folder as a release archive has it, with a program that says
// what it was asked.
func archive(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for from, to := range map[string]string{
		"install.sh": "", "signalbox.toml": "", "CHANGELOG.md": "", "man": "", "completions": "",
		"../README.md": "", "../LICENSE": "", "../SECURITY.md": "", "../systemd": "",
	} {
		command(t, nil, "cp", "-R", filepath.Join("..", from), filepath.Join(dir, to))
	}
	for name, text := range map[string]string{
		"signalbox":                "#!/bin/sh\necho signalbox \"$@\" >>/asked\n",
		"THIRD-PARTY-LICENSES.txt": "x\n", "sbom.cdx.json": "{}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// What the service needs to start is there, and it can read it whatever the
// umask of the administrator is.
func TestInstallForTheService(t *testing.T) {
	dir, root := archive(t), t.TempDir()
	for range 2 {
		command(t, []string{"DESTDIR=" + root}, "sh", "-c", `umask 077; exec "$0"`, filepath.Join(dir, "install.sh"))
	}
	for name, want := range map[string]os.FileMode{
		"usr/bin/signalbox": 0o755, "etc/signalbox": 0o755, "etc/signalbox/signalbox.toml": 0o644, "etc/signalbox/credentials": 0o700,
		"etc/systemd/system/signalbox.service": 0o644, "usr/lib/tmpfiles.d": 0o755,
	} {
		if info, err := os.Stat(filepath.Join(root, name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: got %v, %v, want %o", name, info, err, want)
		}
	}
	command(t, nil, "sh", "-c", `! find "$0" -name '*.new' | grep .`, root)
	// Every credentials folder that a unit loads is one that is made, also when
	// somebody deletes it later.
	tmpfiles, err := os.ReadFile(filepath.Join(root, "usr/lib/tmpfiles.d/signalbox.conf"))
	if err != nil || !strings.Contains(string(tmpfiles), "\nd /etc/signalbox/credentials 0700 root root -\n") {
		t.Errorf("tmpfiles.d does not make the folder, %v", err)
	}
}

// TestInstallOnSystem installs twice on this machine's own system, with changes
// going elsewhere and a manager that only notes what it is asked.
func TestInstallOnSystem(t *testing.T) {
	dir, work := archive(t), t.TempDir()
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(work, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(work, "root")
	if err := syscall.Mount("overlay", root, "overlay", 0, "lowerdir=/,upperdir="+work+"/upper,workdir="+work+"/work"); err != nil {
		t.Skipf("an overlay cannot be mounted here, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	command(t, nil, "cp", "-R", dir, filepath.Join(root, "archive"))
	if err := os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"systemctl", "systemd-sysusers", "systemd-tmpfiles"} {
		_ = os.Remove(filepath.Join(root, "usr/bin", name)) // it may not be installed
		text := "#!/bin/sh\necho " + name + " \"$@\" >>/asked\n"
		if err := os.WriteFile(filepath.Join(root, "usr/bin", name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asked := func() string {
		t.Helper()
		command(t, []string{"PATH=/usr/bin:/bin"}, "chroot", root, "/archive/install.sh")
		text, err := os.ReadFile(filepath.Join(root, "asked"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(root, "asked")); err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := asked(); !strings.Contains(got, "systemctl enable --now signalbox.socket") {
		t.Errorf("the first time it asks\n%s", got)
	}
	// What was disabled or stopped meanwhile stays so.
	got := asked()
	if strings.Contains(got, "enable") || strings.Contains(got, "systemctl start") ||
		!strings.Contains(got, "systemctl try-restart signalbox.service signalbox-cloud.service\n") || !strings.HasPrefix(got, "signalbox upgrade keep\n") {
		t.Errorf("on an upgrade it asks\n%s", got)
	}
}
