//go:build linux && interop

package machine_test

import (
	"regexp"
	"strings"
	"testing"

	"signalbox/internal/netlab"
)

// setupCode is that of the link on the console, which also draws it for phones.
func (m *machine) setupCode() string {
	m.t.Helper()
	shown := m.sh("script -qc 'agetty --show-issue' /dev/null </dev/null")
	link := regexp.MustCompile(`https://10\.77\.0\.1/#setup=[0-9A-Z-]+`).FindString(shown)
	if link == "" || strings.Count(shown, "█") < 200 || !strings.Contains(shown, "fingerprint") {
		m.t.Fatalf("the console shows:\n%s\nof\n%s", shown, m.sh("ls -la /etc/issue.d /run/signalbox; cat /run/signalbox/setup.issue"))
	}
	return link[strings.Index(link, "=")+1:]
}

const provisionFile = `
[admin]
link = true
for = "2h"
[config.site]
name = "press shop"
[config.log]
level = "debug"
`

// A new box is set up without a keyboard: by the link on its console, or by a
// stick that configures it and takes a link back. A box that is set up does not
// care about sticks.
func testSetup(t *testing.T, m *machine, _ *netlab.Host) {
	m.sh("mkdir -p /media/stick && mount -t tmpfs none /media/stick")
	m.write("/media/stick/signalbox-provision.toml", "[admin]\nlnik = true")
	if out, err := m.try("systemctl start signalbox-provision"); err == nil {
		t.Errorf("a file with a mistake is taken: %s", out)
	}
	if got := m.sh("cat /media/stick/signalbox-provision.result.txt"); !strings.Contains(got, "line 2: admin.lnik is unknown") {
		t.Errorf("the result of a mistake is:\n%s", got)
	}
	m.write("/media/stick/signalbox-provision.toml", provisionFile+m.invitation("press-shop"))
	m.sh("systemctl start signalbox-provision")
	m.connected()
	m.await("the cloud to know the box", func() bool {
		out, err := m.try("signalbox cloud site list")
		return err == nil && regexp.MustCompile(`(?m)^press-shop +(green|amber|yellow) +1 `).MatchString(out)
	})
	result := m.sh("cat /media/stick/signalbox-provision.result.txt")
	if !regexp.MustCompile(`https://10\.77\.0\.1/#setup=\S+`).MatchString(result) || !strings.Contains(result, "https://signalbox.local/#") {
		t.Errorf("the result is:\n%s", result)
	}
	if got := m.sh("ls /media/stick"); strings.Contains(got, "signalbox-provision.toml") {
		t.Errorf("on the stick lie %s", got)
	}
	if got := m.sh("signalbox status"); !strings.Contains(got, "press shop") {
		t.Errorf("the configuration is not in force:\n%s", got)
	}
	if got := m.sh("journalctl -o cat -u signalbox-provision"); strings.Contains(got, "setup=") {
		t.Errorf("the journal has the link:\n%s", got)
	}
	// Now somebody administers it, and the console has no more to say.
	m.sh("curl -fsS -X POST -H 'Content-Type: application/json' -d '{\"code\":\"" + m.setupCode() + "\"}' http://localhost/v1/setup")
	m.sh("systemctl restart signalbox")
	m.active()
	if shown := m.sh("script -qc 'agetty --show-issue' /dev/null </dev/null"); strings.Contains(shown, "setup") {
		t.Errorf("with an administrator the console shows:\n%s", shown)
	}
	m.write("/media/stick/signalbox-provision.toml", provisionFile+"# another one")
	if out, err := m.try("systemctl start signalbox-provision"); err == nil {
		t.Errorf("a box that is set up takes the file: %s", out)
	}
	if got := m.sh("cat /media/stick/signalbox-provision.result.txt"); !strings.Contains(got, "set up already") {
		t.Errorf("the result on a box that is set up is:\n%s", got)
	}
	m.sh("umount /media/stick; systemctl reset-failed; : >/etc/signalbox/signalbox.toml; systemctl restart signalbox")
	m.active()
}
