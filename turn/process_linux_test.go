package turn_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	pionturn "github.com/pion/turn/v3"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

const relayRole = "turn-relay"

// relayConfig is what a relay in a process of its own is given.
type relayConfig struct {
	Turn        turn.Config
	Plain       bool   // pion v3 as its examples wire it, instead of our relay
	Descriptors uint64 // how many files it may have open; 0 for the usual
	Certificate []byte // with a key, for TURN over TLS; none without
	Key         []byte // PKCS #8
}

// withTLS has ours serve TURN over TLS too.
func (cfg *relayConfig) withTLS(t testing.TB) {
	t.Helper()
	certificate := turntest.ServerTLS(t).Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Certificate, cfg.Key = certificate.Certificate[0], key
}

// relayState is what such a relay says of itself, once when it serves and then
// whenever it is asked.
type relayState struct {
	Addr   netip.AddrPort   // on UDP and TCP
	TLS    []netip.AddrPort // where it has a certificate
	Stats  turn.Stats       // of ours
	Stacks uint64           // bytes
}

// runRelay serves until standard input ends, and answers each line with its
// state.
func runRelay(config string) error {
	var cfg relayConfig
	if err := json.Unmarshal([]byte(config), &cfg); err != nil {
		return err
	}
	if cfg.Descriptors > 0 {
		limit := syscall.Rlimit{Cur: cfg.Descriptors, Max: cfg.Descriptors}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			return err
		}
	}
	if cfg.Plain {
		return runPlain(cfg.Turn)
	}
	cfg.Turn.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	if cfg.Certificate != nil {
		key, err := x509.ParsePKCS8PrivateKey(cfg.Key)
		if err != nil {
			return err
		}
		cfg.Turn.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cfg.Certificate}, PrivateKey: key}}}
	}
	server, err := turn.New(cfg.Turn, turntest.Secret)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	err = report(relayState{Addr: turntest.Addr(server), TLS: server.TLSAddrs()}, server.Stats)
	stop()
	if ran := <-ended; ran != nil {
		return ran
	}
	return err
}

// listenPlain binds UDP and TCP to one port; another may have that of TCP when
// any port will do.
func listenPlain(at string) (packets *net.UDPConn, streams net.Listener, err error) {
	for range 20 {
		if streams, err = net.Listen("tcp4", at); err != nil {
			return nil, nil, err
		}
		udp := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(streams.Addr().String()))
		if packets, err = net.ListenUDP("udp4", udp); err == nil {
			return packets, streams, nil
		}
		streams.Close()
	}
	return nil, nil, err
}

// runPlain serves with pion v3 alone. Set-up and handlers are those of its
// examples: tcp and lt-cred-turn-rest, perm-filter, and port-range when a
// range is asked for. Users called slow have their key in a slow place.
func runPlain(cfg turn.Config) error {
	packets, streams, err := listenPlain(cfg.Listen[0])
	if err != nil {
		return err
	}
	addr := addrOf(packets)
	loopback := net.IPv4(127, 0, 0, 1)
	var relay pionturn.RelayAddressGenerator = &pionturn.RelayAddressGeneratorStatic{
		RelayAddress: loopback, Address: "127.0.0.1",
	}
	if ports := cfg.RelayPorts; ports != turn.Default().RelayPorts {
		relay = &pionturn.RelayAddressGeneratorPortRange{
			RelayAddress: loopback, Address: "127.0.0.1", MinPort: ports.First, MaxPort: ports.Last,
		}
	}
	key := pionturn.LongTermTURNRESTAuthHandler(string(turntest.Secret), nil)
	filter := func(_ net.Addr, peer net.IP) bool { return !peer.IsLinkLocalUnicast() && !peer.IsMulticast() }
	_, err = pionturn.NewServer(pionturn.ServerConfig{
		Realm: "pion.ly",
		AuthHandler: func(username, realm string, from net.Addr) ([]byte, bool) {
			if strings.HasSuffix(username, ":slow") {
				time.Sleep(slowLookup)
			}
			return key(username, realm, from)
		},
		PacketConnConfigs: []pionturn.PacketConnConfig{{
			PacketConn: packets, RelayAddressGenerator: relay, PermissionHandler: filter,
		}},
		ListenerConfigs: []pionturn.ListenerConfig{{
			Listener: streams, RelayAddressGenerator: relay, PermissionHandler: filter,
		}},
	})
	if err != nil {
		return err
	}
	return report(relayState{Addr: addr}, func() turn.Stats { return turn.Stats{} })
}

// report prints the state at once and for every line of standard input.
func report(state relayState, stats func() turn.Stats) error {
	lines, states := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		state.Stats, state.Stacks = stats(), memory.StackInuse
		if err := states.Encode(state); err != nil {
			return err
		}
		if !lines.Scan() {
			return lines.Err()
		}
	}
}

// relayProcess is a relay in a process of its own, which can be driven to its
// ruin and measured from outside.
type relayProcess struct {
	relayConfig
	addr   netip.AddrPort
	tls    []netip.AddrPort
	pid    int
	stdin  io.WriteCloser
	states *json.Decoder
	log    *counted
}

// self is the program that this test is part of.
func self(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// startRelay has a program play relayRole until the test ends. Of our relay a
// clean end is asked.
func startRelay(t testing.TB, exe string, cfg relayConfig) *relayProcess {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), "NETLAB_ROLE="+relayRole)
	return startRelayAs(t, cmd, cfg)
}

// startRelayAs is startRelay with a command that plays relayRole.
func startRelayAs(t testing.TB, cmd *exec.Cmd, cfg relayConfig) *relayProcess {
	t.Helper()
	config, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := &relayProcess{relayConfig: cfg, log: new(counted)}
	cmd.Args = append(cmd.Args, string(config))
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // instead of a second
	cmd.Stderr, cmd.WaitDelay = r.log, 5*time.Second
	// The test's context ends before its clean-up, which is to see a clean end.
	cmd.Cancel = func() error { return os.ErrProcessDone }
	if r.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.pid, r.states = cmd.Process.Pid, json.NewDecoder(stdout)
	t.Cleanup(func() {
		if r.Plain {
			_ = cmd.Process.Kill() // it would not end by itself when it spins
		}
		r.stdin.Close()
		giveUp := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer giveUp.Stop()
		if err := cmd.Wait(); err != nil && !r.Plain {
			t.Errorf("relay ended with %v; it printed\n%s", err, r.log)
		}
	})
	var state relayState
	if err := r.states.Decode(&state); err != nil {
		t.Fatalf("relay did not start: %v\n%s", err, r.log)
	}
	r.addr, r.tls = state.Addr, state.TLS
	return r
}

// state asks the relay for its state.
func (r *relayProcess) state(t testing.TB) (state relayState) {
	t.Helper()
	if _, err := r.stdin.Write([]byte("\n")); err != nil {
		t.Fatal(err)
	}
	if err := r.states.Decode(&state); err != nil {
		t.Fatalf("relay has no state: %v\n%s", err, r.log)
	}
	return state
}

// cpu is the processor time that the relay has used.
func (r *relayProcess) cpu(t testing.TB) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", r.pid))
	if err != nil {
		t.Fatal(err)
	}
	// Behind the name, which ends with the last parenthesis, utime and stime
	// are fields 12 and 13, in hundredths of a second (proc_pid_stat(5)).
	var user, kernel int
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if _, err := fmt.Sscan(string(fields[11])+" "+string(fields[12]), &user, &kernel); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+kernel) * 10 * time.Millisecond
}

// reads is how often the relay has read from a file or a socket.
func (r *relayProcess) reads(t testing.TB) int {
	t.Helper()
	counters, err := os.ReadFile(fmt.Sprintf("/proc/%d/io", r.pid))
	if err != nil {
		t.Fatal(err)
	}
	var chars, written, calls int
	if _, err := fmt.Sscanf(string(counters), "rchar: %d\nwchar: %d\nsyscr: %d\n", &chars, &written, &calls); err != nil {
		t.Fatal(err)
	}
	return calls
}

// descriptors is how many files the relay has open.
func (r *relayProcess) descriptors(t testing.TB) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

// dial opens a client of the relay that does not wait long for an answer of
// plain pion.
func (r *relayProcess) dial(t testing.TB, network string) *turntest.Client {
	t.Helper()
	c := turntest.Dial(t, network, r.addr)
	c.Timeout = 10 * time.Second
	if r.Plain {
		c.Timeout = patience
	}
	return c
}

// counted keeps the beginning of what is written and counts the rest.
type counted struct {
	mu    sync.Mutex
	start []byte
	size  int
}

func (c *counted) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start = append(c.start, p[:min(len(p), 8<<10-len(c.start))]...)
	c.size += len(p)
	return len(p), nil
}

func (c *counted) bytes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size
}

func (c *counted) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return string(c.start)
}
