//go:build linux && interop

package discovery_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
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

func TestAvahiFindsABox(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	phone := startAvahi(t, lab.Host("phone"), "phone")

	// A browser that is there before the box, and stays until it has gone.
	watched := phone.watch("-rp")
	started := time.Now()
	box := play(t, lab.Host("box"), "box", hall2())
	waitFor(t, "avahi to resolve the box", func() bool {
		return strings.Contains(watched(), "=;eth0;IPv4;")
	})
	t.Logf("resolved %v after the start of the box's process", time.Since(started).Round(time.Millisecond))

	out := phone.browse()
	for _, protocol := range []string{"IPv4", "IPv6"} {
		want := `=;eth0;` + protocol + `;Halle\0322\.1\032\040S\195\188d\041;_signalbox._tcp;local;signalbox.local;`
		if !strings.Contains(out, want) {
			t.Errorf("avahi-browse printed:\n%s\nwant a line with %s", out, want)
		}
	}
	if !regexp.MustCompile(`;(10\.77\.0\.1|fd77::1);8443;`).MatchString(out) {
		t.Errorf("avahi-browse printed:\n%s\nwant an address of the box and its port", out)
	}
	for _, want := range []string{`"txtvers=1"`, `"id=k3f7abcdef"`, `"path=/v1/signal"`, `"up=0"`} {
		if !strings.Contains(out, want) {
			t.Errorf("avahi-browse printed:\n%s\nwant %s in it", out, want)
		}
	}

	box.end()
	waitFor(t, "avahi to see the goodbye", func() bool {
		return strings.Contains(watched(), "-;eth0;IPv4;")
	})
	if out := phone.browse(); strings.Contains(out, "signalbox.local") {
		t.Errorf("after the goodbye avahi-browse still printed:\n%s", out)
	}
}

// TestAFreshAvahiResolvesTheHost asks for the name long after the announcements.
func TestAFreshAvahiResolvesTheHost(t *testing.T) {
	t.Parallel()
	lab, office, plant := twoNetworks(t)
	box := play(t, lab.Host("box"), "box", hall2())
	await(box, "both interfaces", 5*time.Second, onInterfaces(2))
	time.Sleep(2 * time.Second)
	for _, ask := range []struct {
		host  *netlab.Host
		addrs []string
	}{
		{office, []string{"10.77.1.1", "fd77:1::1"}},
		{plant, []string{"10.77.2.1"}},
	} {
		a := startAvahi(t, ask.host, ask.host.Name)
		for i, addr := range ask.addrs {
			option := []string{"-4", "-6"}[i]
			if got, want := a.resolve(option, "signalbox.local"), "signalbox.local\t"+addr; got != want {
				t.Errorf("%s: avahi-resolve-host-name %s: %q, want %q", ask.host.Name, option, got, want)
			}
		}
		// Whatever avahi resolves the service to is an address of this segment.
		out := a.browse()
		for _, addr := range regexp.MustCompile(`;signalbox\.local;([^;]+);8443;`).FindAllStringSubmatch(out, -1) {
			if !slices.Contains(ask.addrs, addr[1]) && !strings.HasPrefix(addr[1], "fe80:") {
				t.Errorf("%s: avahi-browse resolved to %s, want one of %v", ask.host.Name, addr[1], ask.addrs)
			}
		}
		if !strings.Contains(out, ";8443;") {
			t.Errorf("%s: avahi-browse printed:\n%s\nwant the box", ask.host.Name, out)
		}
	}
}

// TestAvahiGivesWay starts a machine that wants the box's host name: it probes,
// hears that the name is taken, and becomes signalbox-2.
func TestAvahiGivesWay(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "rival")
	box := play(t, lab.Host("box"), "box", hall2())
	await(box, "announced", 5*time.Second, announced)
	rival := startAvahi(t, lab.Host("rival"), "signalbox")
	waitFor(t, "the rival to take another name", func() bool {
		return rival.resolve("-4", "signalbox-2.local") == "signalbox-2.local\t10.77.0.2"
	})
	if got, want := rival.resolve("-4", "signalbox.local"), "signalbox.local\t10.77.0.1"; got != want {
		t.Errorf("the rival resolves %q, want %q", got, want)
	}
}

// TestAvahiSeesAnotherTXT wants an update in place: the box must not leave.
func TestAvahiSeesAnotherTXT(t *testing.T) {
	t.Parallel()
	lab := netlab.New(t, "box", "phone")
	phone := startAvahi(t, lab.Host("phone"), "phone")
	part := hall2()
	box := play(t, lab.Host("box"), "box", part)
	await(box, "announced", 5*time.Second, announced)
	waitFor(t, "up=0", func() bool { return strings.Contains(phone.browse(), `"up=0"`) })
	watched := phone.watch("-p")
	part.Announcement.TXT["up"] = "1"
	box.say(part.Announcement)
	waitFor(t, "up=1", func() bool {
		out := phone.browse()
		return strings.Contains(out, `"up=1"`) && !strings.Contains(out, `"up=0"`)
	})
	time.Sleep(1500 * time.Millisecond) // longer than a goodbye takes effect
	if seen := watched(); strings.Contains(seen, "-;") {
		t.Errorf("avahi saw the box leave:\n%s", seen)
	}
}
