//go:build interop

package turn_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

const (
	floodRole = "turn-flood"
	segmented = "segmented datagrams"
	halfTLS   = "half-open tls" // on the port for TLS
	// floodTime is how long each flood is measured. The live call sends 50
	// packets a second in each direction, so one lost packet is more than the
	// tenth of a percent that a call may lose.
	floodTime = 3 * time.Second
	// floodRate is how many datagrams a second the floods of them send: a third
	// of the smallest that 100 Mbit/s carry. Two cores can send and take three
	// times as many, and then a call loses packets as soon as a third program
	// wants a core for longer than the socket's buffer lasts.
	floodRate = 50000
	// floodGrowth is what a flood may add to the memory of the relay.
	floodGrowth = 10 << 20
)

func init() { roles[floodRole] = runFlood }

// floodOrder is what a flooding process is told.
type floodOrder struct {
	Kind string
	To   netip.AddrPort
}

// floods send until stop is closed and return how much that was.
var floods = map[string]func(to netip.AddrPort, stop <-chan struct{}) (uint64, error){
	"unauthenticated allocates": floodAllocates,
	"invalid datagrams":         floodInvalid,
	segmented:                   floodSegmented,
	"frames a byte at a time":   floodDrip,
	"connections":               floodConnections,
	halfTLS:                     floodHalfTLS,
}

// runFlood floods until standard input ends and prints how much was sent.
func runFlood(config string) error {
	var order floodOrder
	if err := json.Unmarshal([]byte(config), &order); err != nil {
		return err
	}
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	sent, err := floods[order.Kind](order.To, stop)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(sent)
}

// stopped says whether stop is closed.
func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

func floodAllocates(to netip.AddrPort, stop <-chan struct{}) (uint64, error) {
	request := stun.MustBuild(turntest.Method(stun.MethodAllocate), turntest.UDPTransport).Raw
	return floodDatagrams(to, stop, func(i uint64) []byte {
		binary.BigEndian.PutUint64(request[8:], i)
		return request
	})
}

func floodInvalid(to netip.AddrPort, stop <-chan struct{}) (uint64, error) {
	var datagrams [][]byte
	for _, m := range malformed() {
		datagrams = append(datagrams, m.raw)
	}
	return floodDatagrams(to, stop, func(i uint64) []byte { return datagrams[i%uint64(len(datagrams))] })
}

// dialEight opens sockets to the relay, enough for each of its loops to read
// some of them.
func dialEight(to netip.AddrPort) (conns [8]*net.UDPConn, err error) {
	for i := range conns {
		if conns[i], err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)); err != nil {
			return conns, err
		}
	}
	return conns, nil
}

// floodDatagrams sends from a few ports in turn, floodRate a second. What it is
// late with is left out.
func floodDatagrams(to netip.AddrPort, stop <-chan struct{}, datagram func(uint64) []byte) (sent uint64, err error) {
	conns, err := dialEight(to)
	if err != nil {
		return 0, err
	}
	for _, conn := range conns {
		defer conn.Close()
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for ; !stopped(stop); <-tick.C {
		for range floodRate / 1000 {
			_, _ = conns[sent%uint64(len(conns))].Write(datagram(sent)) // a full buffer is not the end
			sent++
		}
	}
	return sent, nil
}

// floodSegmented sends datagrams 64 at a time, as one segmented send that the
// kernel hands to the relay in one piece, and as many of those in a row as the
// relay's buffers have room for.
func floodSegmented(to netip.AddrPort, stop <-chan struct{}) (sent uint64, err error) {
	const train, burst = 64, 400
	request := stun.MustBuild(stun.TransactionID, turntest.Method(stun.MethodAllocate), raw(stun.AttrSoftware, make([]byte, 900)...)).Raw
	conns, err := dialEight(to)
	if err != nil {
		return 0, err
	}
	for _, conn := range conns {
		defer conn.Close()
		raw, err := conn.SyscallConn()
		if err != nil {
			return 0, err
		}
		var optionErr error
		if err := raw.Control(func(fd uintptr) {
			optionErr = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, len(request))
		}); err != nil || optionErr != nil {
			return 0, errors.Join(err, optionErr)
		}
	}
	datagrams := bytes.Repeat(request, train)
	tick := time.NewTicker(time.Second * train * burst / floodRate)
	defer tick.Stop()
	for ; !stopped(stop); <-tick.C {
		for i := range burst {
			if _, err := conns[i%len(conns)].Write(datagrams); err == nil { // a full buffer is not the end
				sent += train
			}
		}
	}
	return sent, nil
}

// floodDrip sends Allocates of 20 bytes over 200 connections, a byte at a time
// and never a read: each answer stays in the way of the next.
func floodDrip(to netip.AddrPort, stop <-chan struct{}) (sent uint64, err error) {
	request := stun.MustBuild(stun.TransactionID, turntest.Method(stun.MethodAllocate)).Raw
	conns := make([]net.Conn, 200)
	for ; !stopped(stop); sent++ {
		i := sent % uint64(len(conns))
		at := sent / uint64(len(conns)) % uint64(len(request))
		if conns[i] == nil {
			if at > 0 {
				continue // a new connection begins with a new request
			}
			if conns[i], err = net.Dial("tcp", to.String()); err != nil {
				return sent, err
			}
			defer conns[i].Close()
		}
		_ = conns[i].SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := conns[i].Write(request[at : at+1]); err != nil {
			conns[i].Close()
			conns[i] = nil
		}
	}
	return sent, nil
}

// floodConnections connects and says nothing.
func floodConnections(to netip.AddrPort, stop <-chan struct{}) (uint64, error) {
	return floodOpen(to, stop, func(uint64) []byte { return nil })
}

// floodHalfTLS connects and says a part of what begins a handshake.
func floodHalfTLS(to netip.AddrPort, stop <-chan struct{}) (uint64, error) {
	hello := append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3}, make([]byte, 200)...) // of 517 bytes
	return floodOpen(to, stop, func(i uint64) []byte { return hello[:i%uint64(len(hello))] })
}

// floodOpen opens connections and leaves the oldest of a thousand when the next
// is there.
func floodOpen(to netip.AddrPort, stop <-chan struct{}, say func(uint64) []byte) (sent uint64, err error) {
	conns := make([]net.Conn, 1000)
	for ; !stopped(stop); sent++ {
		i := sent % uint64(len(conns))
		if conns[i] != nil {
			_ = conns[i].(*net.TCPConn).SetLinger(0) // not to use up the ports of this machine
			conns[i].Close()
		}
		if conns[i], err = net.Dial("tcp", to.String()); err != nil {
			return sent, err
		}
		if words := say(sent); len(words) > 0 {
			_, _ = conns[i].Write(words) // the relay may have closed it
		}
	}
	for _, conn := range conns {
		if conn != nil {
			conn.Close()
		}
	}
	return sent, nil
}

// startFlood floods from a process of its own until end is called, which
// returns how much was sent.
func startFlood(t *testing.T, exe, kind string, to netip.AddrPort) (end func() uint64) {
	t.Helper()
	config, err := json.Marshal(floodOrder{kind, to})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, string(config))
	cmd.Env = append(os.Environ(), "NETLAB_ROLE="+floodRole)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() (sent uint64) {
		stdin.Close()
		if err := json.NewDecoder(stdout).Decode(&sent); err != nil {
			t.Errorf("flood: %v", err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("flood: %v", err)
		}
		return sent
	}
}

// liveCall is a call through the relay, with a packet of 160 bytes in each
// direction every 20 ms.
type liveCall struct {
	client  *turntest.Client
	peer    *net.UDPConn
	relayed netip.AddrPort
	stop    chan struct{}
	running sync.WaitGroup

	sent, atPeer, atClient atomic.Int64
}

func startCall(t *testing.T, r *relayProcess) *liveCall {
	c := &liveCall{client: r.dial(t, "udp"), peer: listenPeer(t), stop: make(chan struct{})}
	c.relayed = c.client.Allocate()
	want(t, "channel", c.client.Bind(0x4000, addrOf(c.peer)), 0)
	c.running.Go(func() { c.send(t) })
	c.running.Go(func() {
		for p := make([]byte, 2048); ; {
			if n, _, err := c.peer.ReadFromUDPAddrPort(p); err != nil {
				return
			} else if n == 160 {
				c.atPeer.Add(1)
			}
		}
	})
	c.running.Go(func() {
		for {
			d, ok := c.client.Receive(time.Hour)
			if !ok {
				return
			}
			if d.Channel == 0x4000 && len(d.Data) == 160 {
				c.atClient.Add(1)
			}
		}
	})
	t.Cleanup(c.end)
	return c
}

func (c *liveCall) send(t *testing.T) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	packet := make([]byte, 160)
	for {
		select {
		case <-tick.C:
			c.client.SendChannel(0x4000, packet)
			if _, err := c.peer.WriteToUDPAddrPort(packet, c.relayed); err != nil {
				t.Errorf("peer: %v", err)
				return
			}
			c.sent.Add(1)
		case <-c.stop:
			return
		}
	}
}

// end ends the call and waits for what is still on its way.
func (c *liveCall) end() {
	select {
	case <-c.stop:
		return
	default:
		close(c.stop)
	}
	time.Sleep(300 * time.Millisecond)
	c.client.Conn().Close()
	c.peer.Close()
	c.running.Wait()
}

// resident is the memory of the relay that is in RAM, in bytes.
func (r *relayProcess) resident(t *testing.T) int {
	t.Helper()
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", r.pid))
	if err != nil {
		t.Fatal(err)
	}
	var size, pages int
	if _, err := fmt.Sscan(string(statm), &size, &pages); err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

// plainBinary is this program without the race detector, whose own memory grows
// with what the relay touches.
func plainBinary(t *testing.T) string {
	t.Helper()
	info, ok := debug.ReadBuildInfo()
	if !ok || !slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		return self(t)
	}
	plain := filepath.Join(t.TempDir(), "turn.test")
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-c", "-tags", "interop", "-o", plain, ".").CombinedOutput(); err != nil {
		t.Fatalf("build without the race detector: %v\n%s", err, out)
	}
	return plain
}

// turnedAway is how much of a flood the relay has counted.
func turnedAway(s turn.Stats) (n uint64) {
	for _, refused := range s.Refused {
		n += refused
	}
	for _, dropped := range s.Dropped {
		n += dropped
	}
	for _, closed := range s.Closed {
		n += closed
	}
	return n
}

// Whatever strangers on the network do, the relay's memory stays as it is and
// a call goes on.
func TestFloods(t *testing.T) {
	exe := plainBinary(t)
	for kind := range floods {
		t.Run(kind, func(t *testing.T) {
			cfg := relayConfig{Turn: turn.Default()}
			cfg.Turn.Listen, cfg.Turn.AllowPeers = []string{"127.0.0.1:0"}, []turn.PeerRule{turntest.Rule("127.0.0.0/8")}
			cfg.withTLS(t)
			r := startRelay(t, exe, cfg)
			to := r.addr
			if kind == halfTLS {
				to = r.tls[0]
			}
			call := startCall(t, r)
			time.Sleep(300 * time.Millisecond)

			idle := r.resident(t)
			end := startFlood(t, exe, kind, to)
			time.Sleep(time.Second) // buffers that are kept have been made
			before, most := r.resident(t), 0
			for until := time.Now().Add(floodTime); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
				most = max(most, r.resident(t))
			}
			flood := end()
			call.end()
			counted := turnedAway(r.state(t).Stats)

			sent, atPeer, atClient := call.sent.Load(), call.atPeer.Load(), call.atClient.Load()
			t.Logf("%d sent in the flood, %d counted; call: %d packets each way, %d and %d arrived; memory %d KiB idle, %d in the flood and then %d more",
				flood, counted, sent, atPeer, atClient, idle>>10, before>>10, (most-before)>>10)
			if lost := 2*sent - atPeer - atClient; lost*1000 > 2*sent {
				t.Errorf("the call lost %d of %d packets, want less than 0.1 %%", lost, 2*sent)
			}
			if kind == segmented { // which needs no memory that others do not
				before = idle
			}
			if grown := most - before; grown > floodGrowth {
				t.Errorf("memory has grown by %d KiB, want at most %d", grown>>10, floodGrowth>>10)
			}
			if least := int64(100 * floodTime / time.Second); sent < 40*least/100 || counted < uint64(least) {
				t.Errorf("%d packets of the call and %d counted in the flood are no test", sent, counted)
			}
		})
	}
}
