//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// cable is a network namespace for a box, and the veth pair by which it reaches
// the cloud. It needs root and iproute2.
type cable struct {
	space string // name of the namespace
	card  string // the cloud's end of the pair
	near  string // address of that end
}

// Addresses of a cable's ends on Ethernet.
const (
	nearMAC = "02:53:42:00:00:01"
	farMAC  = "02:53:42:00:00:02"
)

// newCable makes the nth, 1 to 254.
func newCable(ctx context.Context, n int) (*cable, error) {
	w := &cable{space: fmt.Sprintf("sbx-bench-%d-%d", os.Getpid(), n), card: fmt.Sprintf("sbxbench%d", n), near: fmt.Sprintf("10.98.%d.1", n)}
	// One segment is one packet, as on a real card: sending several as one would
	// hide their headers. Without IPv6, whose solicitations are none of the link's,
	// and without ARP, which asks no farther than the site's own router.
	for _, line := range []string{
		"netns add " + w.space,
		"link add " + w.card + " address " + nearMAC + " gso_max_segs 1 type veth peer name up address " + farMAC + " gso_max_segs 1 netns " + w.space,
		"addr add " + w.near + "/30 dev " + w.card,
		"link set " + w.card + " addrgenmode none",
		"-n " + w.space + " link set dev up addrgenmode none",
		"link set " + w.card + " up",
		fmt.Sprintf("-n %s addr add 10.98.%d.2/30 dev up", w.space, n),
		"-n " + w.space + " link set lo up",
		"-n " + w.space + " link set dev up up",
		"-n " + w.space + " route add default via " + w.near,
		fmt.Sprintf("neigh replace 10.98.%d.2 lladdr %s dev %s nud permanent", n, farMAC, w.card),
		fmt.Sprintf("-n %s neigh replace %s lladdr %s dev up nud permanent", w.space, w.near, nearMAC),
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			w.cut()
			return nil, fmt.Errorf("ip %s: %w: %s (this needs root)", line, err, out)
		}
	}
	return w, nil
}

// inside is how a program is run in the namespace of w, as the same process. A
// nil cable runs it where the benchmark is.
func (w *cable) inside(program string, args ...string) (string, []string) {
	if w == nil {
		return program, args
	}
	return "ip", append([]string{"netns", "exec", w.space, program}, args...)
}

// bytes are all that the card has sent and received, Ethernet headers included.
func (w *cable) bytes() (total int64, err error) {
	for _, way := range []string{"rx_bytes", "tx_bytes"} {
		text, err := os.ReadFile("/sys/class/net/" + w.card + "/statistics/" + way)
		if err != nil {
			return 0, err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// cut takes the namespace away, and the pair with it.
func (w *cable) cut() {
	_ = exec.Command("ip", "link", "del", w.card).Run()   //nolint:noctx // also when ctx has ended
	_ = exec.Command("ip", "netns", "del", w.space).Run() //nolint:noctx
}
