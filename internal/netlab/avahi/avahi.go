//go:build linux

// Package avahi runs Avahi, the mDNS stack of most Linux systems, on the hosts
// of a netlab: the stranger that announcements and answers are held against.
package avahi

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// Daemon is an avahi-daemon on a host, with a message bus of its own.
type Daemon struct {
	tb   testing.TB
	host *netlab.Host
	bus  string
}

// Start runs avahi-daemon on the host under a host name, until the test ends.
// It sees a /run of its own, where the machine's avahi keeps its lock. The test
// is skipped where avahi is not installed.
func Start(tb testing.TB, h *netlab.Host, hostname string) *Daemon {
	tb.Helper()
	for _, tool := range []string{"avahi-daemon", "avahi-browse", "avahi-resolve-host-name", "dbus-daemon", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			tb.Skipf("%s is not installed; on Debian: apt-get install avahi-daemon avahi-utils dbus", tool)
		}
	}
	dir, err := os.MkdirTemp("", "avahi") // TempDir is too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &Daemon{tb: tb, host: h, bus: "unix:path=" + filepath.Join(dir, "bus")}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
		return path
	}
	busConfig := write("bus.conf", fmt.Sprintf(`<busconfig><type>system</type><listen>%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/></policy>
</busconfig>`, d.bus))
	config := write("avahi.conf", fmt.Sprintf("[server]\nhost-name=%s\nuse-ipv4=yes\nuse-ipv6=yes\nenable-dbus=yes\nratelimit-interval-usec=0\n", hostname))

	d.run("dbus-daemon", "--nofork", "--nosyslog", "--config-file="+busConfig)
	d.waitFor("the message bus", func() bool { _, err := os.Stat(filepath.Join(dir, "bus")); return err == nil })
	d.run("unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mount -t tmpfs run /run && mkdir /run/avahi-daemon && exec avahi-daemon --no-drop-root --no-chroot --no-rlimits --file="$0"`, config)
	d.waitFor("avahi-daemon", func() bool { return d.Command("avahi-browse", "-t", "_none._tcp").Run() == nil })
	return d
}

// run keeps a daemon running until the test ends.
func (d *Daemon) run(name string, args ...string) {
	d.tb.Helper()
	cmd := d.host.Command(context.Background(), name, args...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+d.bus)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		d.tb.Fatal(err)
	}
	d.tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if d.tb.Failed() {
			d.tb.Logf("%s said:\n%s", name, out)
		}
	})
}

// Command is one of the avahi commands, talking to this avahi.
func (d *Daemon) Command(name string, args ...string) *exec.Cmd {
	cmd := d.host.Command(d.tb.Context(), name, args...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+d.bus, "LC_ALL=C.UTF-8")
	return cmd
}

// Browse is what avahi-browse resolves of a service type in one go, in its
// parsable form.
func (d *Daemon) Browse(service string) string {
	d.tb.Helper()
	out, err := d.Command("avahi-browse", "-rpt", service).Output()
	if err != nil {
		d.tb.Fatalf("avahi-browse: %v\n%s", err, out)
	}
	return string(out)
}

// Watch lets avahi-browse go on in the background and returns what it has
// printed so far.
func (d *Daemon) Watch(option, service string) (printed func() string) {
	d.tb.Helper()
	cmd := d.Command("avahi-browse", option, service)
	out, err := os.Create(filepath.Join(d.tb.TempDir(), "watch"))
	if err != nil {
		d.tb.Fatal(err)
	}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		d.tb.Fatal(err)
	}
	d.tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		out.Close()
	})
	return func() string {
		text, _ := os.ReadFile(out.Name())
		return string(text)
	}
}

// Resolve looks a host name up; option is -4 or -6. It is the name, a tab and
// the address, or an error's text.
func (d *Daemon) Resolve(option, name string) string {
	out, err := d.Command("avahi-resolve-host-name", option, name).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

func (d *Daemon) waitFor(what string, done func() bool) {
	d.tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			d.tb.Fatalf("waited 10s for %s", what)
		}
	}
}
