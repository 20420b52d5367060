package turn_test

import (
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/internal/netlab"
	"signalbox/turn"
	"signalbox/turn/turntest"
)

const (
	// patience is how long an answer of plain pion may take, which may not come
	// at all. Ours has to come, and may take as long as a busy machine does.
	patience = time.Second
	// slowLookup is how long plain pion's handler looks for the key of a user
	// called slow: longer than patience on a busy machine, too.
	slowLookup = 5 * time.Second
)

// faults are what is wrong with pion v3.0.3 when it is used as its examples
// show, by number. Each is a test that our relay passes and plain pion fails:
// see TestFaults.
var faults = []struct {
	name   string
	shows  string // what the failure of plain pion says
	change func(*relayConfig)
	test   func(testing.TB, *relayProcess)
}{
	{"F1 a length that wraps spins for ever", "kept the relay busy", nil, lengthThatWraps},
	{"F2 a byte at a time grows the stack", "bytes of stack", nil, slowDrip},
	{"F3 a short frame waits for the next", "false for one byte over tcp", nil, shortFrames},
	{"F4 out of descriptors, a listener ends", "no response", func(cfg *relayConfig) { cfg.Descriptors = 48 }, descriptorsRunOut},
	{"F5 anyone may take over an allocation", "of a thief: got 0, want 441", nil, foreignAllocation},
	{"F6 wrong credentials are a bad request", "got 400, want 401", nil, wrongCredentials},
	{"F6 no allocation, no answer", "no response", nil, noAllocation},
	{"F6 a forbidden peer is unauthorized", "permission: got -1, want 403", nil, forbiddenPeer},
	{"F7 unknown attributes are accepted", "got 0, want 420", nil, unknownAttribute},
	{"F7 a tcp relay is a udp one", "got 0, want 442", nil, tcpRelay},
	{"F7 an ipv6 relay is an ipv4 one", "got 4, want 16", nil, familyAsked},
	{"F7 channel numbers of no version", "got 0, want 400", nil, channelRange},
	{"F8 permissions have no end", "no end", nil, permissionCap},
	{"F8 channels have no end", "no end", nil, channelCap},
	{"F9 allocations of a user have no end", "got 0, want 486", func(cfg *relayConfig) { cfg.Turn.MaxAllocationsPerUser = 4 }, userQuota},
	{"F10 every bare request is answered at length", "200 bare requests of 20 bytes got", func(cfg *relayConfig) { cfg.Turn.MaxChallenges = 5 }, reflection},
	{"F10 a nonce is good for every address", "got 0, want 438", nil, foreignNonce},
	{"F11 every bad datagram is a line in the log", "made a log", nil, logFlood},
	{"F12 a running call dies with its credential", "refresh: got 400", nil, expiredCredential},
	{"F13 one slow lookup stops everybody", "no response", nil, slowKey},
	{"F14 a reserved port goes to somebody else", "port of the reservation", nil, reservedPort},
	{"F15 ports run out before the last is used", ": 508", func(cfg *relayConfig) { cfg.Turn.RelayPorts = faultPorts }, lastPort},
	{"F16 large datagrams are cut and passed on", "which nobody has sent", nil, largeDatagram},
	{"F18 a permission outlives what allowed it", "a service of the box got", func(cfg *relayConfig) { cfg.Turn.AllowPeers = nil }, outdatedPermission},
	{"F19 a forbidden peer in another spelling", "is permitted", nil, disguisedPeer},
}

// TestFaults shows that our relay has none of the faults and that the tests
// would notice: plain pion has them all. F17 has a test of its own.
func TestFaults(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			cfg := relayConfig{Turn: turn.Default()}
			cfg.Turn.Listen, cfg.Turn.AllowPeers = []string{"127.0.0.1:0"}, []turn.PeerRule{turntest.Rule("127.0.0.0/8")}
			if fault.change != nil {
				fault.change(&cfg)
			}
			t.Run("ours", func(t *testing.T) { fault.test(t, startRelay(t, self(t), cfg)) })
			t.Run("plain pion", func(t *testing.T) {
				cfg.Plain = true
				r := startRelay(t, self(t), cfg)
				failures := try(t, func(t testing.TB) { fault.test(t, r) })
				t.Log(failures)
				if !strings.Contains(strings.Join(failures, "\n"), fault.shows) {
					t.Errorf("fails with %q, want one that says %q: the test does not show the fault", failures, fault.shows)
				}
			})
		})
	}
}

// Twenty bytes before any sign-in: header and length are 0 in sixteen bits.
func lengthThatWraps(t testing.TB, r *relayProcess) {
	for what, header := range map[string][]byte{
		"stun":        {0, 1, 0xFF, 0xEC, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		"channelData": {0x40, 0, 0xFF, 0xFC, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
	} {
		before, began := r.cpu(t), time.Now()
		r.dial(t, "tcp").Write(header)
		time.Sleep(700 * time.Millisecond)
		used := r.cpu(t) - before
		for r.Plain && used <= 150*time.Millisecond && time.Since(began) < 10*time.Second { // others want the processors
			time.Sleep(100 * time.Millisecond)
			used = r.cpu(t) - before
		}
		if used > 150*time.Millisecond {
			t.Errorf("%s: 20 bytes kept the relay busy for %v of %v", what, used, time.Since(began))
		}
	}
	want(t, "binding", turntest.Code(r.dial(t, "tcp").Do(stun.BindingRequest)), 0)
}

func slowDrip(t testing.TB, r *relayProcess) {
	c := r.dial(t, "tcp")
	c.Timeout = 10 * time.Second
	want(t, "binding", turntest.Code(c.Do(stun.BindingRequest)), 0) // with everything that has a stack
	before := r.state(t).Stacks
	c.Write([]byte{0, 1, 0x4E, 0x20, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	// Lest they be read many at a time, one is gone before the next but two comes.
	// A relay that gets no processor is waited for only so long: ours ends a
	// connection whose message takes longer than 10 s.
	paced := 5 * time.Second
	if r.Plain {
		paced = 30 * time.Second
	}
	reads, began := r.reads(t), time.Now()
	for i := range 20000 {
		c.Write([]byte{0})
		if i%3 == 0 && time.Since(began) < paced {
			for tries := 0; r.reads(t) == reads && tries < 500; tries++ {
				runtime.Gosched()
			}
			reads = r.reads(t)
		}
	}
	want(t, "binding", turntest.Code(c.Do(stun.BindingRequest)), 0)
	if after := r.state(t).Stacks; after > before+256<<10 {
		t.Errorf("20,000 bytes one by one took %d bytes of stack, want at most 256 KiB", after-before)
	}
}

func shortFrames(t testing.TB, r *relayProcess) {
	c, peer := r.dial(t, "tcp"), echo(t, "127.0.0.1:0")
	c.Allocate()
	want(t, "channel", c.Bind(0x4000, peer), 0)
	c.SendChannel(0x4000, []byte("x")) // eight bytes
	if d, ok := c.Receive(c.Timeout); !ok || d.Data != "echo x" {
		t.Errorf("got %v, %t for one byte over tcp, want the echo", d, ok)
	}
}

func descriptorsRunOut(t testing.TB, r *relayProcess) {
	var open []net.Conn
	for range 60 { // which the kernel accepts whether the relay can or not
		conn, err := net.Dial("tcp", r.addr.String())
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	if r.Plain {
		turntest.Until(t, "the relay runs into its limit", func() bool { return r.descriptors(t) >= int(r.Descriptors)-2 })
	}
	time.Sleep(200 * time.Millisecond) // for it to notice, and to close its listener
	for _, conn := range open {
		conn.Close()
	}
	c := r.dial(t, "tcp")
	want(t, "binding", turntest.Code(c.Do(stun.BindingRequest)), 0)
}

func foreignAllocation(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	c.Allocate()
	own := c.Credential
	c.Credential = turn.NewCredential(turntest.Secret, "thief", time.Now().Add(time.Hour))
	want(t, "permission of a thief", c.Permit(netip.MustParseAddrPort("127.0.0.1:9")), 441)
	want(t, "channel of a thief", c.Bind(0x4000, netip.MustParseAddrPort("127.0.0.1:9")), 441)
	m := c.Request(stun.MethodRefresh, turntest.Lifetime(0))
	want(t, "end by a thief", turntest.Code(m), 441)
	signed(t, c, m)
	c.Credential = own
	want(t, "refresh by the owner", c.Refresh(10*time.Minute), 0)
}

// signed checks the MESSAGE-INTEGRITY of a response.
func signed(t testing.TB, c *turntest.Client, m *stun.Message) {
	t.Helper()
	if err := c.Key().Check(m); err != nil {
		t.Errorf("%v: %v", m, err)
	}
}

func wrongCredentials(t testing.TB, r *relayProcess) {
	for what, change := range map[string]func(*turn.Credential){
		"wrong password": func(c *turn.Credential) { c.Password += "x" },
		"unknown user":   func(c *turn.Credential) { c.Username = "nobody" },
	} {
		c := r.dial(t, "udp")
		c.Challenge()
		change(&c.Credential)
		m := c.Request(stun.MethodAllocate, turntest.UDPTransport)
		want(t, what, turntest.Code(m), 401)
		want(t, what+": nonce", m.Contains(stun.AttrNonce), true)
	}
}

func noAllocation(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	m := c.Request(stun.MethodRefresh, turntest.Lifetime(time.Minute))
	want(t, "refresh of nothing", turntest.Code(m), 437)
	signed(t, c, m)
	want(t, "permission for nothing", c.Permit(netip.MustParseAddrPort("127.0.0.1:9")), 437)
	want(t, "channel for nothing", c.Bind(0x4000, netip.MustParseAddrPort("127.0.0.1:9")), 437)
}

func forbiddenPeer(t testing.TB, r *relayProcess) {
	c, metadata := r.dial(t, "udp"), netip.MustParseAddrPort("169.254.169.254:80")
	c.Allocate()
	m := c.Request(stun.MethodCreatePermission, turntest.Peer(metadata))
	want(t, "permission", turntest.Code(m), 403)
	signed(t, c, m)
	m = c.Request(stun.MethodChannelBind, turntest.Channel(0x4000), turntest.Peer(metadata))
	want(t, "channel", turntest.Code(m), 403)
	signed(t, c, m)
}

func unknownAttribute(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	m := c.Request(stun.MethodAllocate, turntest.UDPTransport, raw(0x7abc, 1, 2, 3, 4))
	want(t, "code", turntest.Code(m), 420)
	var unknown stun.UnknownAttributes
	if err := unknown.GetFrom(m); err != nil || len(unknown) != 1 || unknown[0] != 0x7abc {
		t.Errorf("unknown attributes %v, %v; want 0x7abc", unknown, err)
	}
	signed(t, c, m)
}

func tcpRelay(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	m := c.Request(stun.MethodAllocate, raw(stun.AttrRequestedTransport, 6, 0, 0, 0))
	want(t, "code", turntest.Code(m), 442)
	signed(t, c, m)
}

// Whoever asks for IPv6 gets it, or 440 where there is none.
func familyAsked(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	m := c.Request(stun.MethodAllocate, turntest.UDPTransport, raw(stun.AttrRequestedAddressFamily, 2, 0, 0, 0))
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err == nil {
		want(t, "bytes of the relayed address", len(relayed.IP), net.IPv6len)
	} else {
		want(t, "code", turntest.Code(m), 440)
	}
	signed(t, c, m)
}

func channelRange(t testing.TB, r *relayProcess) {
	c, peer := r.dial(t, "udp"), netip.MustParseAddrPort("127.0.0.1:9")
	c.Allocate()
	for _, number := range []uint16{0, 0x1000, 0x3FFF, 0x8000, 0xFFFF} {
		want(t, fmt.Sprintf("channel %#x", number), c.Bind(number, peer), 400)
	}
}

func permissionCap(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	c.Allocate()
	for first := 1; first < 200; first += 20 {
		var peers []netip.AddrPort
		for i := range 20 {
			peers = append(peers, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 1, byte(first + i)}), 9))
		}
		if code := c.Permit(peers...); code != 0 {
			want(t, "code", code, 508)
			return
		}
	}
	t.Error("200 permissions and no end")
}

func channelCap(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	c.Allocate()
	for i := range uint16(200) {
		if code := c.Bind(0x4000+i, netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), 1000+i)); code != 0 {
			want(t, "code", code, 508)
			return
		}
	}
	t.Error("200 channels and no end")
}

func userQuota(t testing.TB, r *relayProcess) {
	for range 4 {
		r.dial(t, "udp").Allocate()
	}
	c := r.dial(t, "udp")
	m := c.Request(stun.MethodAllocate, turntest.UDPTransport)
	want(t, "fifth allocation", turntest.Code(m), 486)
	signed(t, c, m)
	c.Credential = turn.NewCredential(turntest.Secret, "other", time.Now().Add(time.Hour))
	want(t, "another user", turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport)), 0)
}

// The source of a bare request may be forged: what it gets is bounded in size
// and in number.
func reflection(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	request := stun.MustBuild(stun.TransactionID, turntest.Method(stun.MethodAllocate)).Raw
	for range 200 {
		c.Write(request)
	}
	answers, bytes := 0, 0
	for {
		wait := patience / 2
		if answers == 0 {
			wait = c.Timeout
		}
		answer, err := c.Read(wait)
		if err != nil {
			break
		}
		answers, bytes = answers+1, bytes+len(answer)
	}
	if answers == 0 || answers > 100 {
		t.Errorf("200 bare requests of 20 bytes got %d answers, want 5 a second", answers)
	} else if bytes > 80*answers {
		t.Errorf("%d answers have %d bytes, want at most 80 each", answers, bytes)
	}
}

func foreignNonce(t testing.TB, r *relayProcess) {
	c, other := r.dial(t, "udp"), r.dial(t, "udp")
	other.Challenge()
	c.Realm, c.Nonce = other.Realm, other.Nonce
	m := c.Request(stun.MethodAllocate, turntest.UDPTransport)
	want(t, "allocation with the nonce of another address", turntest.Code(m), 438)
	want(t, "realm and nonce given", m.Contains(stun.AttrRealm) && m.Contains(stun.AttrNonce), true)
}

func logFlood(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	for range 10 {
		for range 50 {
			c.Write([]byte("this is not for a relay"))
		}
		want(t, "binding", turntest.Code(c.Do(stun.BindingRequest)), 0)
	}
	time.Sleep(100 * time.Millisecond) // for the pipe to be read
	if n := r.log.bytes(); n > 4<<10 {
		t.Errorf("500 bad datagrams made a log of %d bytes", n)
	}
}

func expiredCredential(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	c.Credential = turn.NewCredential(turntest.Secret, "tester", time.Now().Add(4*time.Second))
	c.Allocate()
	time.Sleep(time.Until(c.Credential.Expires.Add(1100 * time.Millisecond)))
	want(t, "refresh", c.Refresh(10*time.Minute), 0)
	want(t, "permission", c.Permit(netip.MustParseAddrPort("127.0.0.1:9")), 0)
	stranger := r.dial(t, "udp")
	stranger.Credential = c.Credential
	want(t, "allocation", turntest.Code(stranger.Request(stun.MethodAllocate, turntest.UDPTransport)), 401)
}

// pion asks for keys in its read loop. Our relay asks nobody: keys are made of
// the username, so that there is nothing to wait for.
func slowKey(t testing.TB, r *relayProcess) {
	slow, other := r.dial(t, "udp"), r.dial(t, "udp")
	slow.Credential = turn.NewCredential(turntest.Secret, "slow", time.Now().Add(time.Hour))
	slow.Challenge()
	slow.Write(stun.MustBuild(append([]stun.Setter{
		stun.TransactionID, turntest.Method(stun.MethodAllocate), turntest.UDPTransport,
	}, slow.Sign()...)...).Raw)
	want(t, "binding of another client", turntest.Code(other.Do(stun.BindingRequest)), 0)
}

func reservedPort(t testing.TB, r *relayProcess) {
	rtp, rtcp := r.dial(t, "udp"), r.dial(t, "udp")
	m := rtp.Request(stun.MethodAllocate, turntest.UDPTransport, raw(stun.AttrEvenPort, 0x80))
	var relayed stun.XORMappedAddress
	token, err := m.Get(stun.AttrReservationToken)
	if err != nil || relayed.GetFromAs(m, stun.AttrXORRelayedAddress) != nil || relayed.Port%2 != 0 {
		t.Fatalf("got %v, want an even port and a token", m)
	}
	next := rtcp.Allocate(raw(stun.AttrReservationToken, token...))
	want(t, "port of the reservation", int(next.Port()), relayed.Port+1)
}

var faultPorts = turn.PortRange{First: 21600, Last: 21663}

func lastPort(t testing.TB, r *relayProcess) {
	free := 0
	for port := faultPorts.First; port <= faultPorts.Last; port++ {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)))
		if err == nil {
			conn.Close()
			free++
		}
	}
	for i := range free {
		c := r.dial(t, "udp")
		c.Credential = turn.NewCredential(turntest.Secret, fmt.Sprint("user", i), time.Now().Add(time.Hour))
		if code := turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport)); code != 0 {
			t.Fatalf("allocation %d of %d: %d", i+1, free, code)
		}
	}
}

// A datagram comes through whole or not at all.
func largeDatagram(t testing.TB, r *relayProcess) {
	c, peer := r.dial(t, "udp"), listenPeer(t)
	relayed := c.Allocate()
	want(t, "permission", c.Permit(addrOf(peer)), 0)
	for _, size := range []int{1700, 3000, 9000, 5} {
		if _, err := peer.WriteToUDPAddrPort(make([]byte, size), relayed); err != nil {
			t.Fatal(err)
		}
	}
	for {
		d := receive(t, c)
		switch len(d.Data) {
		case 5:
			return
		case 1700, 3000, 9000:
		default:
			t.Fatalf("got %d bytes, which nobody has sent", len(d.Data))
		}
	}
}

// Callers may reach each other and not the box. When one has gone, its port is
// the box's again, whatever was permitted.
func outdatedPermission(t testing.TB, r *relayProcess) {
	a, b := r.dial(t, "udp"), r.dial(t, "udp")
	relayedA, relayedB := a.Allocate(), b.Allocate()
	want(t, "permission of a", a.Permit(relayedB), 0)
	want(t, "permission of b", b.Permit(relayedA), 0)
	a.SendTo(relayedB, []byte("to b"))
	want(t, "at b", receive(t, b), turntest.Datagram{Peer: relayedA, Data: "to b"})
	want(t, "end of b", b.Refresh(0), 0)

	var service *net.UDPConn
	turntest.Until(t, "a service takes the port", func() (ok bool) {
		var err error
		service, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(relayedB))
		return err == nil
	})
	defer service.Close()
	a.SendTo(relayedB, []byte("to a service of the box"))
	_ = service.SetReadDeadline(time.Now().Add(patience / 2))
	if n, _, err := service.ReadFromUDPAddrPort(make([]byte, 100)); err == nil {
		t.Errorf("a service of the box got %d bytes of a caller", n)
	}
}

// The address of cloud metadata services, as translators and tunnels spell it.
func disguisedPeer(t testing.TB, r *relayProcess) {
	c := r.dial(t, "udp")
	c.Allocate()
	for _, spelling := range []string{
		"::ffff:169.254.169.254", "::169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1",
	} {
		if code := c.Permit(netip.AddrPortFrom(netip.MustParseAddr(spelling), 80)); code == 0 {
			t.Errorf("%s is permitted", spelling)
		}
	}
}

// F17: a socket for all addresses answers from the one the kernel likes best,
// and a client does not take an answer from somebody else.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	lab := netlab.New(t, "tablet")
	box := lab.Host("box")
	box.Attach(lab.Segment(netlab.DefaultSegment), "10.77.0.200", "10.77.0.201")
	ask := func(t testing.TB, within time.Duration) {
		for _, addr := range []string{"10.77.0.200:3478", "10.77.0.201:3478"} {
			c := dialFrom(t, lab.Host("tablet"), "udp", addr)
			c.Timeout = within
			want(t, "binding at "+addr, turntest.Code(c.Do(stun.BindingRequest)), 0)
		}
	}
	cfg := relayConfig{Turn: turn.Default()}
	cfg.Turn.Listen = []string{"0.0.0.0:3478"}
	t.Run("ours", func(t *testing.T) {
		startRelayAs(t, box.Self(t.Context(), relayRole), cfg)
		ask(t, 10*time.Second)
	})
	t.Run("plain pion", func(t *testing.T) {
		cfg.Plain = true
		startRelayAs(t, box.Self(t.Context(), relayRole), cfg)
		if failures := try(t, func(t testing.TB) { ask(t, patience) }); len(failures) != 1 {
			t.Errorf("plain pion fails with %q, want one answer that does not come", failures)
		}
	})
}
