//go:build linux && interop

package interop_test

import (
	"context"
	"os/exec"
	"regexp"
	"slices"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/internal/netlab"
)

// uclientTotals is what uclient prints at the end: messages sent and messages
// that came back.
var uclientTotals = regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)

// TestCoturnClient gives coturn's own test client the credentials that the
// command line prints. Its calls go from one relayed address to another.
func TestCoturnClient(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("turnutils_uclient"); err != nil {
		t.Skip("turnutils_uclient is not installed; on Debian: apt-get install coturn")
	}
	lab := netlab.New(t, "box", "phone")
	// It asks for permissions for made-up peers, too.
	b := startBox(t, lab.Host("box"), "[turn]\nallow_peers = [\"0.0.0.0/0\"]\n")
	good := cliJSON[api.TURNCredential](b, "token", "turn", "--subject", "technician", "--ttl", "10m")
	if want := []string{
		"turn:10.77.0.1:3478?transport=udp", "turn:10.77.0.1:3478?transport=tcp",
		"turns:10.77.0.1:8443?transport=tcp", "turns:10.77.0.1:5349?transport=tcp",
	}; !slices.Equal(good.URLs, want) {
		t.Errorf("credentials are for %v, want %v", good.URLs, want)
	}
	bad := good
	bad.Credential = "bm90IHRoZSBwYXNzd29yZCBhdCBhbGw="
	runs := []struct {
		name       string
		credential api.TURNCredential
		args       []string
		works      bool
	}{
		{"over UDP", good, nil, true},
		{"over TCP", good, []string{"-t"}, true},
		{"over TLS", good, []string{"-t", "-S", "-p", "5349"}, true},
		{"over TLS, by Send indications", good, []string{"-t", "-S", "-s", "-p", "5349"}, true},
		{"over TLS on the port for HTTPS", good, []string{"-t", "-S", "-p", "8443"}, true},
		{"over TCP on the port for HTTPS", good, []string{"-t", "-p", "8443"}, true},
		{"with a wrong password", bad, nil, false},
	}
	out, errs := make([]string, len(runs)), make([]error, len(runs))
	var running sync.WaitGroup
	for i, r := range runs {
		running.Go(func() { out[i], errs[i] = uclient(t, lab.Host("phone"), r.credential, r.args) })
	}
	running.Wait()
	for i, r := range runs {
		totals := uclientTotals.FindAllStringSubmatch(out[i], -1)
		complete := errs[i] == nil && len(totals) > 0 && totals[len(totals)-1][1] != "0" &&
			totals[len(totals)-1][1] == totals[len(totals)-1][2]
		if complete != r.works {
			t.Errorf("%s: every message came back is %v, want %v; %v\n%s", r.name, complete, r.works, errs[i], out[i])
		}
	}
	if s := b.status().Relay; s.Bytes == 0 || s.Refused["401"] == 0 {
		t.Errorf("the relay counts %+v, want bytes relayed and requests refused", s)
	}
}

// uclient sends 20 messages between 4 relayed addresses.
func uclient(t *testing.T, from *netlab.Host, c api.TURNCredential, more []string) (string, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	args := append([]string{"-y", "-u", c.Username, "-w", c.Credential, "-m", "4", "-n", "20", "-z", "5"}, more...)
	out, err := from.Command(ctx, "turnutils_uclient", append(args, "10.77.0.1")...).CombinedOutput()
	return string(out), err
}
