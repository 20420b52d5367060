//go:build linux && interop

package machine_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"signalbox/internal/netlab"
)

// The cloud node is a service of the same package, which somebody turns on. Here
// it shares the machine with a box, which has port 443 already.
func testCloud(t *testing.T, m *machine, _ *netlab.Host) {
	if got, _ := m.try("systemctl is-enabled signalbox-cloud.service"); strings.TrimSpace(got) != "disabled" {
		t.Errorf("before anybody turns it on the unit is %s", got)
	}
	m.write("/etc/systemd/system/signalbox-cloud.socket.d/port.conf", "[Socket]\nListenStream=\nListenStream=9443")
	m.write("/etc/systemd/system/signalbox-cloud.service.d/url.conf", "[Service]\nEnvironment=SIGNALBOX_CLOUD_URL="+m.cloudURL())
	m.sh("systemctl daemon-reload; systemctl enable --now signalbox-cloud.socket; systemctl enable --now signalbox-cloud.service")
	m.await("the cloud node to be ready", func() bool { return m.property("signalbox-cloud", "ActiveState") == "active" })
	if got := m.property("signalbox-cloud", "StatusText"); got == "" {
		t.Error("the unit has no status text")
	}
	m.sh("signalbox cloud status")
	m.sh("signalbox cloud site add press-shop --title 'Press shop' --json")
}

// cloudURL is where the machine's own node is reached, by its socket unit.
func (m *machine) cloudURL() string { return "https://" + m.on.IPv4().String() + ":9443" }

// joinCommand is that of one more box of a site, as the node prints it.
func (m *machine) joinCommand(site string) string {
	m.t.Helper()
	var made struct{ Command string }
	if err := json.Unmarshal([]byte(m.sh("signalbox cloud site join "+site+" --json")), &made); err != nil {
		m.t.Fatal(err)
	}
	return made.Command
}

// invitation is the join command as a provisioning file has it.
func (m *machine) invitation(site string) string {
	m.t.Helper()
	parts := regexp.MustCompile(`join (https://\S+) .*--token (\S+) .*--ca (\S+)`).FindStringSubmatch(m.joinCommand(site))
	if parts == nil || parts[1] != m.cloudURL() {
		m.t.Fatalf("the command is %q", m.joinCommand(site))
	}
	return "[join]\nurl = \"" + parts[1] + "\"\ntoken = \"" + parts[2] + "\"\nca = \"" + parts[3] + "\"\n"
}

// connected waits until the box has its cloud.
func (m *machine) connected() {
	m.t.Helper()
	m.await("the box to reach its cloud", func() bool {
		var s struct {
			Upstream struct{ Joined, Connected bool }
		}
		out, err := m.try("signalbox status --json")
		return err == nil && json.Unmarshal([]byte(out), &s) == nil && s.Upstream.Joined && s.Upstream.Connected
	})
}
