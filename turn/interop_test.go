//go:build interop

package turn_test

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// coturn returns the path of one of coturn's client tools.
func coturn(t *testing.T, tool string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("%s is not installed; on Debian: apt-get install coturn", tool)
	}
	return path
}

// freePair finds a free port with a free one behind it, for RTP and RTCP.
func freePair(t *testing.T, addr netip.Addr) string {
	t.Helper()
	for range 100 {
		first, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		if err != nil {
			t.Fatal(err)
		}
		port := addrOf(first).Port()
		second, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port+1)))
		first.Close()
		if err == nil {
			second.Close()
			return strconv.Itoa(int(port))
		}
	}
	t.Fatal("no two free ports in a row")
	return ""
}

// coturnPeer starts coturn's echo server on an address.
func coturnPeer(t *testing.T, addr string) (port string) {
	t.Helper()
	port = freePair(t, netip.MustParseAddr(addr))
	peer := exec.CommandContext(t.Context(), coturn(t, "turnutils_peer"), "-L", addr, "-p", port)
	if err := peer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = peer.Wait() }) // killed with the test's context
	return port
}

// uclientRun is one run of coturn's test client against a server of its own.
type uclientRun struct {
	what   string
	ipv6   bool
	tls    bool // to the address for TLS
	shared bool // to a port that is shared with HTTP
	args   []string
	server *turn.Server
	port   uint16
	out    []byte
	err    error
}

func (r *uclientRun) start(t *testing.T) {
	r.server = turntest.Start(t, func(cfg *turn.Config) {
		if r.ipv6 {
			cfg.Listen = []string{"[::1]:0"}
		}
		cfg.TLS = turntest.ServerTLS(t)
		// It asks for permissions for made-up peers, too.
		cfg.AllowPeers = append(cfg.AllowPeers, prefix("0.0.0.0/0"), prefix("::/0"))
	})
	switch {
	case r.shared:
		r.port = share(t, r.server, nil).at.Port()
	case r.tls:
		r.port = r.server.TLSAddrs()[0].Port()
	default:
		r.port = turntest.Addr(r.server).Port()
	}
}

// run sends 20 messages from each of 4 clients. It takes some seconds, in which
// uclient mostly waits.
func (r *uclientRun) run(ctx context.Context, uclient string, peers map[string]string) {
	host := "127.0.0.1"
	if r.ipv6 {
		host = "::1"
	}
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	user := r.server.Credential("coturn", time.Hour)
	args := append([]string{
		"-u", user.Username, "-w", user.Password, "-p", strconv.Itoa(int(r.port)),
		"-e", host, "-r", peers[host], "-m", "4", "-n", "20", "-z", "5",
	}, append(r.args, host)...)
	r.out, r.err = exec.CommandContext(ctx, uclient, args...).CombinedOutput()
}

// What uclient prints at the end: messages sent and messages come back.
var uclientTotals = regexp.MustCompile(`tot_send_msgs=(\d+), tot_recv_msgs=(\d+)`)

func (r *uclientRun) check(t *testing.T) {
	if r.err != nil {
		t.Fatalf("turnutils_uclient %v: %v\n%s", r.args, r.err, r.out)
	}
	totals := uclientTotals.FindAllSubmatch(r.out, -1)
	if len(totals) == 0 {
		t.Fatalf("turnutils_uclient %v printed no totals:\n%s", r.args, r.out)
	}
	sent, received := string(totals[len(totals)-1][1]), string(totals[len(totals)-1][2])
	if sent != received || sent == "0" {
		t.Errorf("turnutils_uclient %v: sent %s, received %s; %v\n%s", r.args, sent, received, r.server.Stats(), r.out)
	}
}

func TestCoturnClient(t *testing.T) {
	uclient := coturn(t, "turnutils_uclient")
	peers := map[string]string{"127.0.0.1": coturnPeer(t, "127.0.0.1")}
	runs := []*uclientRun{
		{what: "udp, channels"},
		{what: "udp, send", args: []string{"-s"}},
		{what: "udp, padded channels", args: []string{"-D"}},
		{what: "udp, no rtcp", args: []string{"-c"}},
		{what: "udp, ipv4 asked for", args: []string{"-X"}},
		{what: "udp, extra requests", args: []string{"-G"}},
		{what: "udp, extra requests and send", args: []string{"-G", "-s"}},
		{what: "udp, client to client", args: []string{"-y"}},
		{what: "udp, client to client, send", args: []string{"-y", "-s"}},
		{what: "udp, large", args: []string{"-l", "1400"}},
		{what: "tcp, channels", args: []string{"-t"}},
		{what: "tcp, send", args: []string{"-t", "-s"}},
		{what: "tcp, extra requests", args: []string{"-t", "-G"}},
		{what: "tcp, client to client", args: []string{"-t", "-y"}},
		{what: "tcp, client to client, send", args: []string{"-t", "-y", "-s"}},
		{what: "tcp, tiny", args: []string{"-t", "-l", "5"}},
		{what: "tcp, shared port", shared: true, args: []string{"-t"}},
		{what: "tls, channels", tls: true, args: []string{"-t", "-S"}},
		{what: "tls, send", tls: true, args: []string{"-t", "-S", "-s"}},
		{what: "tls, client to client", tls: true, args: []string{"-t", "-S", "-y"}},
		{what: "tls, large", tls: true, args: []string{"-t", "-S", "-l", "1400"}},
		{what: "tls, shared port, channels", shared: true, args: []string{"-t", "-S"}},
		{what: "tls, shared port, send", shared: true, args: []string{"-t", "-S", "-s"}},
		{what: "tls, shared port, client to client", shared: true, args: []string{"-t", "-S", "-y"}},
	}
	if hasIPv6() {
		peers["::1"] = coturnPeer(t, "::1")
		runs = append(runs,
			&uclientRun{what: "ipv6, udp, channels", ipv6: true, args: []string{"-x"}},
			&uclientRun{what: "ipv6, udp, send", ipv6: true, args: []string{"-x", "-s"}},
			&uclientRun{what: "ipv6, tcp, channels", ipv6: true, args: []string{"-x", "-t"}},
			&uclientRun{what: "ipv6, tls, channels", ipv6: true, tls: true, args: []string{"-x", "-t", "-S"}},
			&uclientRun{what: "ipv6, udp, client to client", ipv6: true, args: []string{"-x", "-y"}})
	}
	var running sync.WaitGroup
	for _, r := range runs {
		r.start(t)
		running.Go(func() { r.run(t.Context(), uclient, peers) })
	}
	running.Wait()
	for _, r := range runs {
		t.Run(r.what, r.check)
	}
}
