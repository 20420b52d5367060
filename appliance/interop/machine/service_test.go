//go:build linux && interop

package machine_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// TestMachine follows a box from the package to the empty disk it leaves: one
// boot for all of it. Waits that are long in the field are shortened by drop-ins
// here: the watchdog from 30 s to 8 s, and its time to die from 20 s to 2 s, where a test hangs the process, the trial
// of a new version from 60 s to 10 s where it passes. The trial that fails has
// the times of the field.
func TestMachine(t *testing.T) {
	need(t, "systemd-nspawn", "dpkg-deb", "unshare", "nsenter", "script", "curl")
	lab := netlab.New(t, "box", "device")
	debs := packages(t)
	m := boot(t, lab.Host("box"), debs)
	device := lab.Host("device")
	for _, step := range []struct {
		name string
		run  func(*testing.T, *machine, *netlab.Host)
	}{
		{"install", testInstall},
		{"idle", testIdle}, // before there are sessions that might be resumed, and a cloud to report to
		{"cloud", testCloud},
		{"setup", testSetup},
		{"privileges", testPrivileges},
		{"call", testCall},
		{"reload", testReload},
		{"restarts", testRestarts},
		{"watchdog", testWatchdog},
		{"disk", testDisk},
		{"upgrade", testUpgrade},
		{"broken upgrade", testBrokenUpgrade},
		{"downgrade", testDowngrade},
		{"purge", testPurge},
	} {
		if !t.Run(step.name, func(t *testing.T) {
			step.run(t, m.in(t), device)
		}) {
			return // what follows builds on it
		}
	}
}

func testInstall(t *testing.T, m *machine, _ *netlab.Host) {
	m.sh("dpkg -i /debs/" + deb(firstVersion))
	m.active()
	if got := m.property("signalbox", "StatusText"); got != "box: 0 sessions, 0 rooms, 0 allocations" {
		t.Errorf("the status is %q", got)
	}
	if got := m.sh("signalbox status"); !strings.Contains(got, firstVersion) {
		t.Errorf("status says:\n%s", got)
	}
	if got := m.sh("stat -c '%U %a' /var/lib/signalbox"); got != "signalbox 700" {
		t.Errorf("the state folder is of %s", got)
	}
	if got := m.sh("systemctl list-units --failed --no-legend 'signalbox*'"); got != "" {
		t.Errorf("failed units: %s", got)
	}
	// The best of three starts: other tests may want the machine too.
	best := time.Hour
	for range 3 {
		m.sh("systemctl restart signalbox")
		m.active()
		from := m.number("signalbox", "ExecMainStartTimestampMonotonic")
		best = min(best, time.Duration(m.readyAt()-from)*time.Microsecond)
	}
	t.Logf("ready %v after the start", best)
	if best > time.Second {
		t.Errorf("the box was ready after %v", best)
	}
}

// readyAt is when systemd heard that the box is ready, in µs of the monotonic
// clock: that comes before what follows a start.
func (m *machine) readyAt() int64 {
	m.t.Helper()
	out := m.sh("journalctl -o json --output-fields=__MONOTONIC_TIMESTAMP,MESSAGE -u signalbox -g 'box serves' -n 1 | sed 's/.*__MONOTONIC_TIMESTAMP\" *: *\"\\([0-9]*\\)\".*/\\1/'")
	at, err := strconv.ParseInt(out, 10, 64)
	if err != nil {
		m.t.Fatalf("the journal's time is %q", out)
	}
	return at
}

func testPrivileges(t *testing.T, m *machine, _ *netlab.Host) {
	status := m.sh("cat /proc/$(systemctl show -P MainPID signalbox)/status")
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		if !regexp.MustCompile(`(?m)^` + set + `:\s0+$`).MatchString(status) {
			t.Errorf("the process has capabilities:\n%s", status)
		}
	}
	if !strings.Contains(status, "NoNewPrivs:\t1") || !strings.Contains(status, "Seccomp:\t2") {
		t.Errorf("the process may gain privileges:\n%s", status)
	}
	// Before the first upgrade there is no earlier program to call.
	for line := range strings.Lines(m.sh("systemd-analyze verify /lib/systemd/system/signalbox* 2>&1; true")) {
		if strings.Contains(line, "signalbox") && !strings.Contains(line, "previous/signalbox is not executable") {
			t.Errorf("the units: %s", line)
		}
	}
	// --threshold fails for what is above it, in tenths.
	for _, unit := range []string{"signalbox", "signalbox-cloud"} {
		if out, err := m.try("systemd-analyze security --threshold=11 " + unit + ".service"); err != nil {
			t.Errorf("%s: %v\n%s", unit, err, out)
		}
	}
	m.sh("mkdir -p /etc/systemd/system/signalbox.service.d && cp /usr/share/doc/signalbox/examples/air-gapped.conf /etc/systemd/system/signalbox.service.d/ && systemctl daemon-reload")
	if out, err := m.try("systemd-analyze security --threshold=10 signalbox.service"); err != nil {
		t.Errorf("air-gapped: %v\n%s", err, out)
	}
	m.sh("systemctl restart signalbox")
	m.active()
	m.sh("rm /etc/systemd/system/signalbox.service.d/air-gapped.conf && systemctl daemon-reload && systemctl restart signalbox")
	m.active()
}

func testReload(t *testing.T, m *machine, _ *netlab.Host) {
	pid := m.property("signalbox", "MainPID")
	at := m.cursor()
	m.write("/etc/signalbox/signalbox.toml", "[site]\nname = \"hall 9\"\n[turn]\nallow_peers = [\"10.20.0.0/16\"]\nmax_allocations = 7\n[log]\nlevel = \"debug\"")
	m.sh("systemctl reload signalbox")
	m.says(at, "configuration reloaded")
	m.says(at, "waits for a restart")
	if got := m.property("signalbox", "StatusText"); !strings.Contains(got, "wait for a restart: site.name, turn.max_allocations") {
		t.Errorf("the status is %q", got)
	}
	at = m.cursor()
	m.write("/etc/signalbox/signalbox.toml", "[turn]\nrelay_ports = \"60000-50000\"\n[log]\nlevel = \"loud\"")
	m.sh("kill -HUP " + pid)
	m.says(at, "the configuration was not reloaded")
	const why = "relay_ports"
	m.await("the reason in the status line", func() bool { return strings.Contains(m.property("signalbox", "StatusText"), why) })
	if out := m.sh("signalbox status"); !strings.Contains(out, why) || !regexp.MustCompile(`(?m)^configuration +down`).MatchString(out) {
		t.Errorf("signalbox status does not say that the configuration is not in force:\n%s", out)
	}
	m.sh("signalbox status --json >/dev/null") // the box is ready all the same
	at = m.cursor()
	m.sh("cp -f /usr/share/doc/signalbox/examples/signalbox.toml /etc/signalbox/signalbox.toml 2>/dev/null || : >/etc/signalbox/signalbox.toml; systemctl reload signalbox")
	m.says(at, "configuration reloaded")
	if got := m.property("signalbox", "MainPID"); got != pid {
		t.Errorf("the process is %s, was %s: a reload is no restart", got, pid)
	}
	if got := m.property("signalbox", "ActiveState") + " " + m.property("signalbox", "StatusText"); !strings.HasPrefix(got, "active box: ") || strings.Contains(got, ";") {
		t.Errorf("in the end the unit is %s", got)
	}
}

// A process that hangs is killed and started again, with the watchdog's name in
// the journal.
func testWatchdog(t *testing.T, m *machine, _ *netlab.Host) {
	m.write("/etc/systemd/system/signalbox.service.d/watchdog.conf", "[Service]\nWatchdogSec=8s\nTimeoutAbortSec=2s")
	m.sh("systemctl daemon-reload && systemctl restart signalbox")
	m.active()
	pid, at := m.property("signalbox", "MainPID"), m.cursor()
	fed := m.number("signalbox", "WatchdogTimestampMonotonic")
	m.await("the watchdog to be fed", func() bool { return m.number("signalbox", "WatchdogTimestampMonotonic") > fed })
	m.sh("kill -STOP " + pid)
	m.says(at, "Watchdog timeout")
	m.active()
	if got := m.property("signalbox", "MainPID"); got == pid {
		t.Error("the stopped process is still there")
	}
	m.sh("rm /etc/systemd/system/signalbox.service.d/watchdog.conf && systemctl daemon-reload && systemctl restart signalbox")
	m.active()
}

// host is the box's process id as this machine counts.
func (m *machine) host() int {
	m.t.Helper()
	inside := m.property("signalbox", "MainPID")
	entries, err := os.ReadDir("/proc")
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile("/proc/" + e.Name() + "/status")
		if err != nil || !strings.HasPrefix(string(text), "Name:\tsignalbox\n") {
			continue
		}
		if regexp.MustCompile(`(?m)^NSpid:\t\d+\t` + inside + `$`).Match(text) {
			pid, _ := strconv.Atoi(e.Name())
			return pid
		}
	}
	m.t.Fatalf("process %s of the machine is not found", inside)
	return 0
}
