//go:build linux && interop

package machine_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/internal/netlab"
)

// A new version passes its trial, which is short here, and keeps the state.
func testUpgrade(t *testing.T, m *machine, device *netlab.Host) {
	m.write("/etc/systemd/system/signalbox-upgrade.service.d/short.conf",
		"[Service]\nExecStart=\nExecStart=/usr/lib/signalbox/previous/signalbox upgrade watch --hold 10s")
	m.sh("systemctl daemon-reload; signalbox room create kept-room --pinned 2>&1 || true")
	m.sh(m.joinCommand("press-shop")) // a cloud that was there before has to be there after
	m.connected()
	id := m.sh("signalbox status --json | grep '\"id\"'")
	ports := m.property("signalbox.socket", "ActiveEnterTimestampMonotonic")
	m.sh("dpkg -i /debs/" + deb(nextVersion))
	m.active()
	if got := m.sh("signalbox version"); !strings.Contains(got, nextVersion) {
		t.Errorf("installed is %s", got)
	}
	if got := m.sh("signalbox upgrade status"); !strings.Contains(got, "trial") || !strings.Contains(got, firstVersion) && !strings.Contains(got, "has passed") {
		t.Errorf("during the trial: %s", got)
	}
	if got := m.property("signalbox.socket", "ActiveEnterTimestampMonotonic"); got != ports {
		t.Error("the socket of port 80 was closed on the way")
	}
	m.await("the verdict", func() bool {
		out, _ := m.try("signalbox upgrade status")
		return strings.Contains(out, nextVersion+" has passed its trial")
	})
	if got := m.sh("signalbox status --json | grep '\"id\"'; signalbox room list"); !strings.Contains(got, id) || !strings.Contains(got, "kept-room") {
		t.Errorf("the state is not that from before the upgrade:\n%s", got)
	}
	if got := m.sh("ls /var/lib/signalbox/backups"); !strings.Contains(got, "-program.db") {
		t.Errorf("there is no copy from before the upgrade:\n%s", got)
	}
	m.connected()
	m.exchange(device)
}

// A version that does not run is taken back while nobody looks, and whoever
// looks afterwards is told: at the box, and at the cloud. It has left the state
// in a form that the one before does not read, which goes on with its copy.
func testBrokenUpgrade(t *testing.T, m *machine, device *netlab.Host) {
	m.sh("rm -r /etc/systemd/system/signalbox-upgrade.service.d; systemctl daemon-reload")
	leave := m.visitors(device)
	began := time.Now()
	if out, err := m.try("dpkg -i /debs/" + deb(brokenVersion)); err != nil {
		t.Errorf("the package itself is to install: %v\n%s", err, out)
	}
	m.active()
	took := time.Since(began)
	for scheme, v := range leave() { // they wait in systemd's sockets meanwhile
		if v.refused.Load() > 0 {
			t.Errorf("%s: %d were refused meanwhile, such as: %v", scheme, v.refused.Load(), v.fault())
		}
	}
	t.Logf("rolled back and serving %v after the installation began", took.Round(time.Second/10))
	if took > 90*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := m.sh("signalbox version"); !strings.Contains(got, nextVersion) {
		t.Errorf("what runs is %s", got)
	}
	for _, command := range []string{"signalbox upgrade status", "signalbox status", "journalctl -o cat -u signalbox -n 50", "systemctl status signalbox"} {
		if got := m.sh(command); !strings.Contains(got, "failed its trial") {
			t.Errorf("%s does not tell what has happened:\n%s", command, got)
		}
	}
	if got := m.sh("signalbox room list"); !strings.Contains(got, "kept-room") {
		t.Errorf("the rooms are gone:\n%s", got)
	}
	if got := m.sh("signalbox status"); !strings.Contains(got, "goes on with the copy from before the upgrade") {
		t.Errorf("the status does not say which state it is:\n%s", got)
	}
	m.exchange(device)
	m.connected()
	m.await("the cloud to be told", func() bool {
		out, err := m.try("signalbox cloud status --json")
		return err == nil && strings.Contains(out, "A new version failed on the box, and the one before was put back.")
	})
}

// The package of an older version goes over a newer one, and opens its state.
func testDowngrade(t *testing.T, m *machine, device *netlab.Host) {
	m.sh("dpkg -i /debs/" + deb(firstVersion))
	m.active()
	if got := m.sh("signalbox version; signalbox room list"); !strings.Contains(got, firstVersion) || !strings.Contains(got, "kept-room") {
		t.Errorf("after the downgrade:\n%s", got)
	}
	m.exchange(device)
}

// Purging leaves nothing behind but what others keep for themselves: dpkg, the
// journal, the cache of manual pages. /root is where this test keeps things.
func testPurge(t *testing.T, m *machine, _ *netlab.Host) {
	if !slices.Contains(m.written(), "/usr/bin/signalbox") {
		t.Fatal("what the machine has written is looked for in the wrong place")
	}
	m.sh("dpkg --purge signalbox")
	for _, path := range m.written() {
		if strings.Contains(strings.ToLower(filepath.Base(path)), "signalbox") &&
			!under(path, "/var/lib/dpkg") && !under(path, "/var/log") && !under(path, "/var/cache/man") && !under(path, "/root") {
			t.Errorf("the purge leaves %s", path)
		}
	}
	if left := m.sh("find /run -iname '*signalbox*' -print; getent passwd signalbox; getent group signalbox; systemctl list-units --all --no-legend 'signalbox*'; true"); left != "" {
		t.Errorf("the purge leaves:\n%s", left)
	}
}

func under(path, folder string) bool { return strings.HasPrefix(path, folder+"/") }
