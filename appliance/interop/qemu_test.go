//go:build linux && interop

package interop_test

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// machines are what a box is usually made of, and what plays them here.
var machines = []struct {
	name, emulator, arch string
	environ              []string
}{
	{"arm64", "qemu-aarch64-static", "arm64", []string{"GOARCH=arm64"}},
	{"armv7", "qemu-arm-static", "arm", []string{"GOARCH=arm", "GOARM=7"}},
}

// TestOtherMachines runs the program for ARM under emulation: it says what it
// is, checks a configuration, and serves a box. Devices of this machine then
// meet through its signaling and send media through its relay.
func TestOtherMachines(t *testing.T) {
	for _, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			emulator, err := exec.LookPath(m.emulator)
			if err != nil {
				t.Skipf("%s is not installed; Debian has it in qemu-user-static", m.emulator)
			}
			foreign := filepath.Join(t.TempDir(), "signalbox")
			if err := build(foreign, m.environ...); err != nil {
				t.Fatal(err)
			}
			b := newBox(t, nil, loopbackPeers)
			b.other = []string{emulator, foreign}
			checkForeign(t, b, m.arch)
			b.start()
			meetThrough(t, b)
			relayThrough(t, b)
		})
	}
}

// checkForeign runs commands that need no box.
func checkForeign(t *testing.T, b *box, arch string) {
	t.Helper()
	run := func(args ...string) []byte {
		out, err := exec.CommandContext(t.Context(), b.other[0], append([]string{b.other[1]}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("signalbox %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return out
	}
	var version struct{ Version, Arch string }
	if err := json.Unmarshal(run("version", "--json"), &version); err != nil {
		t.Fatal(err)
	}
	if version.Version != builtVersion || version.Arch != arch {
		t.Errorf("version --json says %+v, want %s for %s", version, builtVersion, arch)
	}
	run("check", "--config", b.config, "--data", b.data)
}

// meetThrough has two devices meet in a room and talk.
func meetThrough(t *testing.T, b *box) {
	t.Helper()
	camera, panel := b.device("cam-7"), b.device("panel-1")
	camera.join("line-3")
	panel.join("line-3")
	camera.tell("line-3", "picture follows")
	panel.hear("picture follows")
	panel.tell("line-3", "thank you")
	camera.hear("thank you")
}

// relayThrough sends media through the relay, over UDP and over TCP.
func relayThrough(t *testing.T, b *box) {
	t.Helper()
	for _, network := range []string{"udp", "tcp"} {
		c := b.caller(network, "cam-7")
		relayed := c.Allocate()
		exchange(t, c, relayed, []int{0, 1, 160, 1200})
	}
}
