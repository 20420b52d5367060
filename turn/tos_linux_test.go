package turn_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// classSocket is a UDP socket that sends with any traffic class, which is the
// DSCP and ECN bits, and sees that of what it receives.
type classSocket struct{ *net.UDPConn }

func (s *classSocket) option(t *testing.T, name4, name6, value int) {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	level, name := unix.IPPROTO_IP, name4
	if s.LocalAddr().(*net.UDPAddr).IP.To4() == nil {
		level, name = unix.IPPROTO_IPV6, name6
	}
	var optionErr error
	if err := raw.Control(func(fd uintptr) { optionErr = unix.SetsockoptInt(int(fd), level, name, value) }); err != nil || optionErr != nil {
		t.Fatalf("set the traffic class: %v, %v", err, optionErr)
	}
}

func newClassSocket(t *testing.T, conn *net.UDPConn) *classSocket {
	s := &classSocket{conn}
	s.option(t, unix.IP_RECVTOS, unix.IPV6_RECVTCLASS, 1)
	return s
}

func (s *classSocket) sendAs(t *testing.T, class int) {
	t.Helper()
	s.option(t, unix.IP_TOS, unix.IPV6_TCLASS, class)
}

// class is the traffic class of the next datagram that comes.
func (s *classSocket) class(t *testing.T) int {
	t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(5 * time.Second))
	p, control := make([]byte, 2048), make([]byte, 128)
	_, n, _, _, err := s.ReadMsgUDPAddrPort(p, control)
	if err != nil {
		t.Fatal(err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(messages) != 1 {
		t.Fatalf("control messages %v, %v", messages, err)
	}
	return int(messages[0].Data[0])
}

// DSCP and ECN pass the relay in both directions (RFC 8656 §14): on a channel
// and in indications, of either family and from one to the other, by the relayed
// address and on the short cut between two callers.
func TestTrafficClassIsKept(t *testing.T) {
	server := bothFamilies(t)
	served, _ := server.Addrs()
	loopbacks := []string{"127.0.0.1:0", "[::1]:0"}
	for from := range loopbacks {
		for to := range loopbacks {
			t.Run(fmt.Sprintf("client IPv%d, peer IPv%d", 4+2*from, 4+2*to), func(t *testing.T) {
				family := raw(stun.AttrRequestedAddressFamily, byte(to+1), 0, 0, 0)
				dial := func() (*turntest.Client, *classSocket, netip.AddrPort) {
					c := turntest.Dial(t, "udp", served[from])
					c.Credential = turn.NewCredential(turntest.Secret, t.Name(), time.Now().Add(time.Hour))
					relayed := c.Allocate(family)
					return c, newClassSocket(t, c.Conn().(*net.UDPConn)), relayed
				}
				conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(loopbacks[to])))
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				peer := newClassSocket(t, conn)
				a, atA, relayedA := dial()
				b, atB, relayedB := dial()
				const bound, caller = 0x4000, 0x4001
				want(t, "channel", a.Bind(bound, addrOf(conn)), 0)
				want(t, "channel to the other caller", a.Bind(caller, relayedB), 0)
				want(t, "permission of the other caller", b.Permit(relayedA), 0)

				dontFragment := stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
					turntest.Peer(addrOf(conn)), raw(stun.AttrData, 'x'), raw(stun.AttrDontFragment)).Raw
				other := newClassSocket(t, listenOn(t, loopbacks[to]))
				for _, class := range []int{0xB8, 0x89, 0x03, 0} { // expedited forwarding, AF41 with ECN capable, congestion met, none
					for _, way := range []struct {
						what     string
						from, to *classSocket
						send     func()
					}{
						{"ChannelData to the peer", atA, peer, func() { a.SendChannel(bound, []byte("x")) }},
						{"Send to the peer", atA, peer, func() { a.SendTo(addrOf(conn), []byte("x")) }},
						{"Send to the peer, not to be fragmented", atA, peer, func() { a.Write(dontFragment) }},
						{"ChannelData to the client", peer, atA, func() { _, _ = peer.WriteToUDPAddrPort([]byte("x"), relayedA) }},
						{"Data to the client", other, atA, func() { _, _ = other.WriteToUDPAddrPort([]byte("x"), relayedA) }},
						{"ChannelData to a caller", atA, atB, func() { a.SendChannel(caller, []byte("x")) }},
						{"Send to a caller, who has a channel", atB, atA, func() { b.SendTo(relayedA, []byte("x")) }},
					} {
						way.from.sendAs(t, class)
						way.send()
						want(t, fmt.Sprintf("%s with %#x", way.what, class), way.to.class(t), class)
						way.from.sendAs(t, 0)
					}
				}
			})
		}
	}
}

func listenOn(t *testing.T, at string) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(at)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}
