//go:build interop

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// chroot is this machine's own Debian with changes going elsewhere: nothing in
// it is started, as systemd does not run there.
func chroot(t *testing.T) string {
	t.Helper()
	need(t, "dpkg", "dpkg")
	need(t, "systemd-sysusers", "systemd or systemd-standalone-sysusers")
	if os.Geteuid() != 0 {
		t.Skip("not root, which mounting an overlay takes")
	}
	dir := t.TempDir()
	for _, name := range []string{"upper", "work", "root"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	root := filepath.Join(dir, "root")
	options := "lowerdir=/,upperdir=" + dir + "/upper,workdir=" + dir + "/work"
	if err := unix.Mount("overlay", root, "overlay", 0, options); err != nil {
		t.Skipf("this machine mounts no overlay: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, 0); err != nil {
			t.Error(err)
		}
	})
	return root
}

// TestDebInChroot installs, upgrades, removes and purges with dpkg itself.
func TestDebInChroot(t *testing.T) {
	old := made(t, dist, ".deb")
	root := chroot(t)
	newer := filepath.Join(t.TempDir(), "new.deb")
	if err := set.Remake(t.TempDir(), newer, next, nil); err != nil {
		t.Fatal(err)
	}
	in := func(args ...string) string { return shell(t, "chroot", append([]string{root}, args...)...) }
	at := func(name string) string { return filepath.Join(root, name) }
	for from, to := range map[string]string{old: "old.deb", newer: "new.deb"} {
		shell(t, "cp", from, at(to))
	}
	before := traces(t, root)

	in("dpkg", "--install", "--force-depends", "/old.deb")
	if got := in("signalbox", "version"); !strings.HasPrefix(got, "signalbox "+version+" ") {
		t.Errorf("installed: %s", got)
	}
	if got := in("getent", "passwd", "signalbox"); !strings.Contains(got, ":/var/lib/signalbox:") {
		t.Errorf("the user: %s", got)
	}
	for _, unit := range []string{"multi-user.target.wants/signalbox.service", "sockets.target.wants/signalbox.socket"} {
		if _, err := os.Lstat(at("etc/systemd/system/" + unit)); err != nil {
			t.Errorf("not enabled: %v", err)
		}
	}
	if _, err := os.Lstat(at("etc/systemd/system/multi-user.target.wants/signalbox-cloud.service")); err == nil {
		t.Error("the cloud node is enabled, which nobody asked for")
	}

	config := at("etc/signalbox/signalbox.toml")
	const ours = "[site]\nname = \"hall 3\"\n"
	if err := os.WriteFile(config, []byte(ours), 0o644); err != nil {
		t.Fatal(err)
	}
	// What an administrator has disabled stays so.
	if err := os.Remove(at("etc/systemd/system/sockets.target.wants/signalbox-https.socket")); err != nil {
		t.Fatal(err)
	}
	in("dpkg", "--install", "--force-depends", "/new.deb")
	if got := in("signalbox", "version"); !strings.HasPrefix(got, "signalbox "+next+" ") {
		t.Errorf("upgraded: %s", got)
	}
	if text, err := os.ReadFile(config); err != nil || string(text) != ours {
		t.Errorf("after the upgrade the configuration is %q, %v", text, err)
	}
	if _, err := os.Lstat(at("etc/systemd/system/sockets.target.wants/signalbox-https.socket")); err == nil {
		t.Error("the upgrade enabled what the administrator had disabled")
	}

	for _, folder := range []string{"var/lib/signalbox", "var/lib/signalbox-cloud"} {
		if err := os.MkdirAll(at(folder), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	in("dpkg", "--remove", "signalbox")
	if _, err := os.Stat(at("var/lib/signalbox")); err != nil {
		t.Errorf("removing took the state along: %v", err)
	}
	in("dpkg", "--purge", "signalbox")
	if after := traces(t, root); after != before {
		t.Errorf("before:\n%s\npurging leaves:\n%s", before, after)
	}
	if _, err := try(t, "chroot", root, "getent", "passwd", "signalbox"); err == nil {
		t.Error("purging leaves the user")
	}
}

// traces are the paths with our name outside of where this machine works.
func traces(t *testing.T, root string) string {
	t.Helper()
	return shell(t, "find", root+"/etc", root+"/usr/bin", root+"/usr/lib", root+"/usr/share", root+"/var/lib", root+"/lib/systemd",
		"-xdev", "-name", "*signalbox*")
}

// TestPolicyIsAsked: nothing is started or restarted but through Debian's
// helpers, which ask policy-rc.d. Reading the units anew starts nothing, and the
// helper cannot do it in Debian 12.
func TestPolicyIsAsked(t *testing.T) {
	scripts, err := filepath.Glob("../scripts/deb/*")
	if err != nil || len(scripts) != 4 {
		t.Fatalf("scripts: %v, %v", scripts, err)
	}
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, "deb-systemd-invoke daemon-reload") {
				t.Errorf("%s: the helper refuses: %s", name, line)
			}
			line = strings.ReplaceAll(line, "systemctl --system daemon-reload", "")
			if strings.Contains(line, "systemctl") || strings.Contains(line, "invoke-rc.d") || strings.Contains(line, "/etc/init.d") {
				t.Errorf("%s: %s", name, line)
			}
		}
		shell(t, "sh", "-n", name)
	}
}
