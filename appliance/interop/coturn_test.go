//go:build linux && interop

package interop_test

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/appliance/api"
	"signalbox/internal/netlab"
	"signalbox/turn"
	"signalbox/turn/turntest"
)

// coturnRun is one run of turnutils_uclient against the box. It sends 10
// messages from each of 2 clients, and as many again for RTCP between callers.
type coturnRun struct {
	what  string
	at    string   // an address of the box
	as    []string // credentials; nil: those that the command line prints
	args  string
	want  int    // messages that must come back; 0: 20
	wrong string // what it must say when it is to fail, as a regular expression

	out string
	err error
}

// What uclient prints at the end. Its exit code says nothing of losses.
var (
	uclientTotals = regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)
	uclientLosses = regexp.MustCompile(`Total lost packets (\d+) .*total send dropped (\d+) `)
)

const (
	box4, box6   = "10.77.0.1", "fd77::1" // the box
	echo4, echo6 = "-e 10.77.0.2", "-e fd77::2"
)

// coturnRuns are all modes of uclient that the relay has. Two clients meet in
// the relay with -y; else they meet coturn's echo server.
func coturnRuns() []*coturnRun {
	return []*coturnRun{
		{what: "UDP, channels", at: box4, args: echo4},
		{what: "UDP, Send", at: box4, args: "-s " + echo4},
		{what: "UDP, padded channels", at: box4, args: "-D " + echo4},
		{what: "UDP, no RTCP", at: box4, args: "-c " + echo4},
		{what: "UDP, IPv4 asked for", at: box4, args: "-X " + echo4},
		{what: "UDP, don't fragment", at: box4, args: "-g " + echo4},
		{what: "UDP, don't fragment, Send", at: box4, args: "-g -s " + echo4},
		{what: "UDP, extra requests", at: box4, args: "-G " + echo4},
		{what: "UDP, extra requests, Send", at: box4, args: "-G -s " + echo4},
		{what: "UDP, random disconnect", at: box4, args: "-B " + echo4},
		{what: "UDP, large", at: box4, args: "-l 1400 " + echo4},
		{what: "UDP, client to client", at: box4, args: "-y", want: 40},
		{what: "UDP, client to client, Send", at: box4, args: "-y -s", want: 40},
		{what: "UDP, client to client, no RTCP", at: box4, args: "-y -c"},
		{what: "UDP, IPv6 relayed", at: box4, args: "-x " + echo6},
		{what: "UDP, IPv6 relayed, Send", at: box4, args: "-x -s " + echo6},
		{what: "UDP, IPv6 relayed, client to client", at: box4, args: "-x -y", want: 40},
		{what: "UDP, both families, IPv4 used", at: box4, args: "-Z " + echo4},
		{what: "UDP, both families, IPv6 used", at: box4, args: "-Z -x " + echo6},
		{what: "UDP, both families, Send", at: box4, args: "-Z -x -s " + echo6},
		{what: "UDP, both families, client to client", at: box4, args: "-Z -y"},

		{what: "IPv6, channels", at: box6, args: "-x " + echo6},
		{what: "IPv6, Send", at: box6, args: "-x -s " + echo6},
		{what: "IPv6, client to client", at: box6, args: "-x -y", want: 40},
		{what: "IPv6, IPv4 relayed", at: box6, args: "-X " + echo4},
		{what: "IPv6, both families", at: box6, args: "-Z -x " + echo6},
		{what: "IPv6, TCP", at: box6, args: "-t -x " + echo6},
		{what: "IPv6, TCP, IPv4 relayed", at: box6, args: "-t -X " + echo4},
		{what: "IPv6, TLS, IPv4 relayed", at: box6, args: "-t -S -p 5349 -X " + echo4},
		{what: "IPv6, TLS on the port for HTTPS", at: box6, args: "-t -S -p 8443 -x " + echo6},

		{what: "TCP, channels", at: box4, args: "-t " + echo4},
		{what: "TCP, Send", at: box4, args: "-t -s " + echo4},
		{what: "TCP, small", at: box4, args: "-t -l 13 " + echo4},
		{what: "TCP, extra requests", at: box4, args: "-t -G " + echo4},
		{what: "TCP, random disconnect", at: box4, args: "-t -B " + echo4},
		{what: "TCP, client to client", at: box4, args: "-t -y", want: 40},
		{what: "TCP, client to client, Send", at: box4, args: "-t -y -s", want: 40},
		{what: "TCP, both families", at: box4, args: "-t -Z -x " + echo6},
		{what: "TCP on the port for HTTPS", at: box4, args: "-t -p 8443 " + echo4},

		{what: "TLS, channels", at: box4, args: "-t -S -p 5349 " + echo4},
		{what: "TLS, Send", at: box4, args: "-t -S -p 5349 -s " + echo4},
		{what: "TLS, large", at: box4, args: "-t -S -p 5349 -l 1400 " + echo4},
		{what: "TLS, client to client", at: box4, args: "-t -S -p 5349 -y", want: 40},
		{what: "TLS on the port for HTTPS, channels", at: box4, args: "-t -S -p 8443 " + echo4},
		{what: "TLS on the port for HTTPS, Send", at: box4, args: "-t -S -p 8443 -s " + echo4},
		{what: "TLS on the port for HTTPS, client to client", at: box4, args: "-t -S -p 8443 -y -s", want: 40},
		{what: "TLS on the port for HTTPS, IPv6 relayed", at: box4, args: "-t -S -p 8443 -x " + echo6},
	}
}

// Secrets of the box that coturn's client is to know.
const (
	plcPassword  = "not for an open network"
	cncPassword  = "nor this one"
	sharedSecret = "of-an-application-server"
)

// coturnCredentials are runs with every kind of credential, right and wrong,
// and what must fail.
func coturnCredentials() []*coturnRun {
	static := func(name, password string) []string { return []string{"-u", name, "-w", password} }
	shared := func(secret string) []string { return []string{"-u", "app", "-W", secret} }
	const unauthorized = `Cannot complete Allocation`
	return []*coturnRun{
		{what: "static user", at: box4, as: static("plc", plcPassword), args: echo4},
		{what: "static user by key", at: box4, as: static("cnc", cncPassword), args: echo4},
		{what: "shared secret", at: box4, as: shared(sharedSecret), args: echo4},
		{what: "shared secret over TLS", at: box4, as: shared(sharedSecret), args: "-t -S -p 8443 -y", want: 40},
		{what: "wrong password", at: box4, as: static("plc", cncPassword), args: echo4, wrong: unauthorized},
		{what: "unknown user", at: box4, as: static("hmi", plcPassword), args: "-t " + echo4, wrong: unauthorized},
		{what: "wrong secret", at: box4, as: shared(plcPassword), args: "-t -S -p 5349 " + echo4, wrong: unauthorized},

		{what: "TCP relayed", at: box4, args: "-T", wrong: `error 442 \(Unsupported Transport Protocol\)`},
		{what: "impossible channels", at: box4, args: "-N " + echo4, wrong: `channel bind: error 400 \(Bad Request\)`},
		{what: "no permission", at: box4, args: "-I -s " + echo4, wrong: `tot_send_msgs=20, tot_recv_msgs=0\n`},
	}
}

// TestCoturnClient runs coturn's own test client in every mode that the relay
// has, and wants each message back. Meanwhile three of it send what is damaged.
func TestCoturnClient(t *testing.T) {
	t.Parallel()
	needCoturn(t)
	lab := netlab.New(t, "box", "phone")
	phone := lab.Host("phone")
	b := coturnBox(t, lab.Host("box"))
	good := cliJSON[api.TURNCredential](b, "token", "turn", "--subject", "technician", "--ttl", "10m")
	if want := []string{
		"turn:10.77.0.1:3478?transport=udp", "turn:10.77.0.1:3478?transport=tcp",
		"turns:10.77.0.1:8443?transport=tcp", "turns:10.77.0.1:5349?transport=tcp",
	}; !slices.Equal(good.URLs, want) {
		t.Errorf("credentials are for %v, want %v", good.URLs, want)
	}
	mine := []string{"-u", good.Username, "-w", good.Credential}
	stopHostile := hostile(t, phone, mine)
	startEchoes(t, phone)

	runs := slices.Concat(coturnCredentials(), coturnRuns()) // what takes longest first
	var running errgroup.Group
	running.SetLimit(16) // they mostly wait
	for _, r := range runs {
		running.Go(func() error { r.run(t, phone, mine); return nil })
	}
	_ = running.Wait()
	stopHostile()
	bytes := map[string]float64{}
	for _, r := range runs {
		t.Run(r.what, func(t *testing.T) { bytes[r.transport()] += r.check(t) })
	}
	for transport, want := range bytes {
		if got := b.metric("signalbox_turn_relayed_bytes_total", fmt.Sprintf("transport=%q", transport)); got < want || want == 0 {
			t.Errorf("the relay counts %v bytes over %s, want at least the %v of all runs", got, transport, want)
		}
	}
	s := b.status().Relay
	if s.Refused["400"] == 0 || s.Refused["401"] == 0 || s.Refused["442"] == 0 || s.Dropped["malformed"] == 0 || s.Dropped["no_permission"] == 0 {
		t.Errorf("the relay counts %+v refused and %+v dropped, want what was wrong in it", s.Refused, s.Dropped)
	}
}

// coturnBox is a box with a secret and static users that coturn's client knows.
func coturnBox(t *testing.T, on *netlab.Host) *box {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(sharedSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return startBox(t, on, fmt.Sprintf(`[turn]
max_allocations_per_user = 1000
secret_files = [%q]
[[turn.users]]
name = "plc"
password = %q
[[turn.users]]
name = "cnc"
hmac_key = "%x"
`, secret, plcPassword, md5.Sum([]byte("cnc:signalbox:"+cncPassword))))
}

func needCoturn(t *testing.T) {
	for _, tool := range []string{"turnutils_uclient", "turnutils_peer"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed; on Debian: apt-get install coturn", tool)
		}
	}
}

// startEchoes starts coturn's echo server on both addresses of a host, at the
// port that uclient sends to if none is named. They end with the test.
func startEchoes(t *testing.T, on *netlab.Host) {
	for _, addr := range []netip.Addr{on.IPv4(), on.IPv6()} {
		launch(t, on.Command(t.Context(), "turnutils_peer", "-L", addr.String()))
	}
}

// launch starts a program that is killed with its context.
func launch(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
}

// hostile has uclient damage one message in ten (-R). It waits for the answers
// for good, so it is ended by stop.
func hostile(t *testing.T, from *netlab.Host, credential []string) (stop func()) {
	ctx, stop := context.WithCancel(t.Context())
	for _, args := range []string{"-R", "-R -s", "-R -t"} {
		r := coturnRun{at: box4, args: "-m 20 -n 1000 " + args + " " + echo4}
		launch(t, r.command(ctx, from, credential))
	}
	return stop
}

func (r *coturnRun) command(ctx context.Context, from *netlab.Host, credential []string) *exec.Cmd {
	if r.as != nil {
		credential = r.as
	}
	args := slices.Concat([]string{"-v", "-m", "2", "-n", "10", "-z", "5"}, credential, strings.Fields(r.args), []string{r.at})
	return from.Command(ctx, "turnutils_uclient", args...)
}

func (r *coturnRun) run(t *testing.T, from *netlab.Host, credential []string) {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	// With -B the client drops its connection at a moment it draws. When that is
	// after its allocation it goes on without one, and its messages have nowhere
	// to go at any server; it is then asked to draw again.
	for tries := 1; ; tries++ {
		out, err := r.command(ctx, from, credential).CombinedOutput()
		r.out, r.err = string(out), err
		losses := uclientLosses.FindStringSubmatch(r.out)
		if !strings.Contains(r.args, "-B ") || tries == 4 || losses != nil && losses[1] == "0" && losses[2] == "0" {
			return
		}
	}
}

func (r *coturnRun) transport() string {
	switch {
	case strings.Contains(r.args, "-S"):
		return "tls"
	case strings.Contains(r.args, "-t"):
		return "tcp"
	}
	return "udp"
}

// check returns how many bytes the run has had relayed, both ways together.
func (r *coturnRun) check(t *testing.T) (bytes float64) {
	defer func() {
		if t.Failed() {
			t.Logf("turnutils_uclient %s %s: %v\n%s", r.args, r.at, r.err, r.out)
		}
	}()
	if r.wrong != "" {
		if !regexp.MustCompile(r.wrong).MatchString(r.out) {
			t.Errorf("it does not say %s", r.wrong)
		}
		return 0
	}
	if r.err != nil {
		t.Errorf("exit: %v", r.err)
	}
	for _, said := range r.says() {
		if !regexp.MustCompile(said).MatchString(r.out) {
			t.Errorf("it does not say %s", said)
		}
	}
	want := 20
	if r.want != 0 {
		want = r.want
	}
	totals, losses := uclientTotals.FindAllStringSubmatch(r.out, -1), uclientLosses.FindStringSubmatch(r.out)
	if len(totals) == 0 || losses == nil {
		t.Fatal("it prints no totals")
	}
	all := strconv.Itoa(want)
	if last := totals[len(totals)-1]; last[1] != all || last[2] != all || losses[1] != "0" || losses[2] != "0" {
		t.Errorf("%s sent, %s received, %s lost, %s not sent; want all %d back", last[1], last[2], losses[1], losses[2], want)
	}
	return float64(2 * want * r.size())
}

// size is that of a message.
func (r *coturnRun) size() int {
	var size int
	if _, after, named := strings.Cut(r.args, "-l "); named {
		_, _ = fmt.Sscan(after, &size)
		return size
	}
	return 100
}

// says is what shows that a run was in the mode it is for.
func (r *coturnRun) says() []string {
	has := func(flag string) bool { return slices.Contains(strings.Fields(r.args), flag) }
	way := `cb response received: \n.* success: 0x`
	if has("-s") {
		way = `cp response received: \n.* success\n`
	}
	relayed4, relayed6 := `Received relay addr: 10\.77\.0\.1:`, `Received relay addr: fd77::1:`
	switch {
	case has("-Z") && has("-x"):
		return []string{way, relayed4 + `.*\n.*` + relayed6}
	case has("-x"):
		return []string{way, relayed6}
	}
	return []string{way, relayed4}
}

// TestTURNByProtocol reaches the relay with the protocol name for TURN in the
// handshake (RFC 7443), and believes the box's certificate. coturn's client
// sends no name and believes anything.
func TestTURNByProtocol(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, loopbackPeers)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(cliJSON[struct{ Certificate string }](b, "trust").Certificate))
	secure := tlsFor(roots, "")
	secure.NextProtos = []string{"stun.turn"}
	got := cliJSON[api.TURNCredential](b, "token", "turn", "--subject", "cam-7", "--ttl", "10m")
	for what, addr := range map[string]string{"TURN over TLS": b.ready.TURNS[0], "HTTPS": b.ready.HTTPS[0]} {
		t.Run(what, func(t *testing.T) {
			conn, err := (&tls.Dialer{Config: secure}).DialContext(t.Context(), "tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			if protocol := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; protocol != "stun.turn" {
				t.Errorf("negotiated %q, want stun.turn", protocol)
			}
			c := turntest.Use(t, conn)
			c.Credential = turn.Credential{Username: got.Username, Password: got.Credential}
			exchange(t, c, c.Allocate(), []int{1, 1200})
		})
	}
}
