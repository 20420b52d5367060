//go:build linux && interop

package machine_test

import (
	"strings"
	"testing"

	"signalbox/internal/netlab"
)

const dataDir = "/var/lib/signalbox"

// around has the box stopped while prepare runs and started after it.
func (m *machine) around(prepare string) {
	m.t.Helper()
	m.sh("systemctl stop signalbox signalbox.socket signalbox-https.socket; " + prepare + "; systemctl start signalbox.socket signalbox-https.socket; systemctl start --no-block signalbox")
}

// What befalls disks and folders: for each the box says what is wrong, and lives.
func testDisk(t *testing.T, m *machine, device *netlab.Host) {
	m.sh("signalbox room create kept-room --pinned; signalbox backup /root/copy.db")

	t.Run("files of another owner", func(t *testing.T) {
		m := m.in(t)
		at := m.cursor()
		m.around("chown root " + dataDir + "/signalbox.lock")
		m.says(at, "signalbox.lock belongs to root, this program runs as signalbox; run chown -R signalbox "+dataDir)
		m.sh("chown -R signalbox: " + dataDir) // as it says; the service comes back by itself
		m.active()
		m.around("chown -R root: " + dataDir) // systemd sees to a whole folder
		m.active()
	})

	t.Run("root restores", func(t *testing.T) {
		m := m.in(t)
		m.around("signalbox restore /root/copy.db")
		m.active()
		if got := m.sh("find " + dataDir + " ! -user signalbox; signalbox room list"); !strings.Contains(got, "kept-room") || strings.Contains(got, dataDir) {
			t.Errorf("files of others, and rooms:\n%s", got)
		}
	})

	t.Run("no folder", func(t *testing.T) {
		m := m.in(t)
		m.around("rm -r " + dataDir)
		m.active()
		if got := m.sh("stat -c '%U %a' " + dataDir); got != "signalbox 700" {
			t.Errorf("the new folder is of %s", got)
		}
		m.around("signalbox restore /root/copy.db")
		m.active()
		m.sh("rm " + dataDir + "/signalbox.db") // under the box
		if got, err := m.try("signalbox status"); err == nil || !strings.Contains(got, "was deleted and lives on in memory") {
			t.Errorf("without its file, status says: %v\n%s", err, got)
		}
		m.around("signalbox restore /root/copy.db")
		m.active()
	})

	t.Run("clock that was reset", func(t *testing.T) {
		m := m.in(t)
		// The state was written at a time that the clock does not show yet. A box
		// that has just started may write it again.
		m.await("the status to tell of the clock", func() bool {
			got, err := m.try("touch -d 2035-06-01T00:00Z " + dataDir + "/signalbox.db; signalbox status")
			return err == nil && strings.Contains(got, "which was before 2035-06-01 00:00 UTC; set it, or let the machine reach a time server")
		})
		m.exchange(device)
		m.around("touch -d 2035-06-01T00:00Z " + dataDir + "/signalbox.db")
		m.active()
		m.exchange(device)
		m.sh("touch " + dataDir + "/signalbox.db")
	})

	t.Run("full disk", func(t *testing.T) {
		m := m.in(t)
		m.around("cp -a " + dataDir + " /root/data; mount -t tmpfs -o size=2m,mode=0700,uid=signalbox,gid=signalbox none " + dataDir +
			"; cp -a /root/data/. " + dataDir + "; dd if=/dev/zero of=" + dataDir + "/ballast bs=4k 2>/dev/null")
		m.active()
		m.exchange(device)
		m.sh("signalbox token device --subject cam --room '*'")
		out, err := m.try("i=0; while [ $i -lt 200 ]; do signalbox room create more-$i --pinned || exit 1; i=$((i+1)); done")
		if err == nil || !strings.Contains(out, "no space left") {
			t.Errorf("rooms on a full disk: %v\n%s", err, out)
		}
		m.sh("rm " + dataDir + "/ballast; signalbox room create after-all --pinned; signalbox status") // it lives on without a restart
		m.around("umount " + dataDir)
		m.active()
	})

	t.Run("read-only disk", func(t *testing.T) {
		m := m.in(t)
		m.around("mount --bind " + dataDir + " " + dataDir + " && mount -o remount,bind,ro " + dataDir)
		m.active()
		got := m.sh("signalbox status; signalbox room list")
		if !strings.Contains(got, "cannot be written") || !strings.Contains(got, "kept-room") || !strings.Contains(got, "runs from memory") {
			t.Errorf("the status is:\n%s", got)
		}
		m.exchange(device)
		m.sh("signalbox room create in-memory --pinned; systemctl restart signalbox")
		m.active()
		if got := m.sh("signalbox room list"); !strings.Contains(got, "in-memory") {
			t.Errorf("a restart of the service has lost what was in memory:\n%s", got)
		}
		m.around("umount " + dataDir)
		m.active()
		if got := m.sh("signalbox status; signalbox room list"); strings.Contains(got, "in-memory") || !strings.Contains(got, "kept-room") {
			t.Errorf("on its disk again the box has:\n%s", got)
		}
	})
}
