//go:build linux && interop

package discovery_test

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

// avahi is an avahi-daemon on a host, with a message bus of its own.
type avahi struct {
	t    *testing.T
	host *netlab.Host
	bus  string
}

// startAvahi runs avahi-daemon on the host under a host name. It sees a /run of
// its own, where the machine's avahi keeps its lock.
func startAvahi(t *testing.T, h *netlab.Host, hostname string) *avahi {
	t.Helper()
	for _, tool := range []string{"avahi-daemon", "avahi-browse", "avahi-resolve-host-name", "dbus-daemon", "unshare"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed; on Debian: apt-get install avahi-daemon avahi-utils dbus", tool)
		}
	}
	dir, err := os.MkdirTemp("", "avahi") // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	a := &avahi{t: t, host: h, bus: "unix:path=" + filepath.Join(dir, "bus")}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	busConfig := write("bus.conf", fmt.Sprintf(`<busconfig><type>system</type><listen>%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/></policy>
</busconfig>`, a.bus))
	config := write("avahi.conf", fmt.Sprintf("[server]\nhost-name=%s\nuse-ipv4=yes\nuse-ipv6=yes\nenable-dbus=yes\nratelimit-interval-usec=0\n", hostname))

	a.run("dbus-daemon", "--nofork", "--nosyslog", "--config-file="+busConfig)
	waitFor(t, "the message bus", func() bool { _, err := os.Stat(filepath.Join(dir, "bus")); return err == nil })
	a.run("unshare", "--mount", "--propagation", "private", "sh", "-c",
		`mount -t tmpfs run /run && mkdir /run/avahi-daemon && exec avahi-daemon --no-drop-root --no-chroot --no-rlimits --file="$0"`, config)
	waitFor(t, "avahi-daemon", func() bool { return a.tool("avahi-browse", "-t", "_none._tcp").Run() == nil })
	return a
}

// run keeps a daemon running until the test ends.
func (a *avahi) run(name string, args ...string) {
	a.t.Helper()
	cmd := a.host.Command(context.Background(), name, args...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+a.bus)
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if a.t.Failed() {
			a.t.Logf("%s said:\n%s", name, out)
		}
	})
}

// tool is one of the avahi commands, talking to this avahi.
func (a *avahi) tool(name string, args ...string) *exec.Cmd {
	cmd := a.host.Command(a.t.Context(), name, args...)
	cmd.Env = append(os.Environ(), "DBUS_SYSTEM_BUS_ADDRESS="+a.bus, "LC_ALL=C.UTF-8")
	return cmd
}

// browse prints what avahi-browse resolves in one go, in its parsable form.
func (a *avahi) browse() string {
	a.t.Helper()
	out, err := a.tool("avahi-browse", "-rpt", "_signalbox._tcp").Output()
	if err != nil {
		a.t.Fatalf("avahi-browse: %v\n%s", err, out)
	}
	return string(out)
}

// watch lets avahi-browse go on in the background and returns what it has printed.
func (a *avahi) watch(option string) (printed func() string) {
	a.t.Helper()
	cmd := a.tool("avahi-browse", option, "_signalbox._tcp")
	out, err := os.Create(filepath.Join(a.t.TempDir(), "watch"))
	if err != nil {
		a.t.Fatal(err)
	}
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		out.Close()
	})
	return func() string {
		text, _ := os.ReadFile(out.Name())
		return string(text)
	}
}

func (a *avahi) resolve(option, name string) string {
	out, err := a.tool("avahi-resolve-host-name", option, name).CombinedOutput()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(out))
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10s for %s", what)
		}
	}
}
