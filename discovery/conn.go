package discovery

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// family is an IP version.
type family uint8

const (
	ip4 family = 4
	ip6 family = 6
)

func familyOf(addr netip.Addr) family {
	if addr.Unmap().Is4() {
		return ip4
	}
	return ip6
}

const (
	mdnsPort = 5353
	// mdnsHops goes into every packet, so that a receiver can tell one that
	// was routed (RFC 6762 §11).
	mdnsHops = 255
	// maxPacket is the largest multicast DNS message (RFC 6762 §17).
	maxPacket = 9000
	// writeTimeout bounds a send on an interface that has stalled.
	writeTimeout = time.Second
)

var (
	group4 = netip.MustParseAddr("224.0.0.251")
	group6 = netip.MustParseAddr("ff02::fb")
)

// conn is a multicast DNS socket for one interface and one family. It shares
// the port with every other responder of the machine.
type conn struct {
	ifi   net.Interface
	group *net.UDPAddr
	udp   *net.UDPConn
	p4    *ipv4.PacketConn // one of these two is nil
	p6    *ipv6.PacketConn
}

// packet is a datagram that arrived on the interface.
type packet struct {
	data      []byte // valid until the next read
	from      netip.AddrPort
	multicast bool // it was sent to the group
}

// listen joins the group of the family on the interface.
func listen(ifi net.Interface, f family) (*conn, error) {
	network, group := "udp4", group4
	if f == ip6 {
		network, group = "udp6", group6
	}
	c := &conn{ifi: ifi, group: &net.UDPAddr{IP: group.AsSlice(), Port: mdnsPort}}
	udp, err := net.ListenUDP(network, c.group) // binds the wildcard address, shared
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("a program that does not share it holds port %d/%s; stop it or let it share the port", mdnsPort, network)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on port %d/%s: %w", mdnsPort, network, err)
	}
	c.udp = udp
	if f == ip4 {
		c.p4 = ipv4.NewPacketConn(udp)
		err = errors.Join(c.p4.JoinGroup(&ifi, c.group), c.p4.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true))
	} else {
		c.p6 = ipv6.NewPacketConn(udp)
		err = errors.Join(c.p6.JoinGroup(&ifi, c.group), c.p6.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true))
	}
	if err = errors.Join(err, prepare(c.p4, c.p6, ifi.Index)); err != nil {
		udp.Close()
		return nil, fmt.Errorf("join %v on %s: %w", group, ifi.Name, err)
	}
	return c, nil
}

// read waits for the next packet that came in through the interface.
func (c *conn) read(buf []byte) (packet, error) {
	for {
		var index, n int
		var dst net.IP
		var from net.Addr
		var err error
		if c.p4 != nil {
			var cm *ipv4.ControlMessage
			if n, cm, from, err = c.p4.ReadFrom(buf); cm != nil {
				index, dst = cm.IfIndex, cm.Dst
			}
		} else {
			var cm *ipv6.ControlMessage
			if n, cm, from, err = c.p6.ReadFrom(buf); cm != nil {
				index, dst = cm.IfIndex, cm.Dst
			}
		}
		if err != nil {
			return packet{}, err
		}
		// A socket hears every group that any socket of the machine has joined,
		// on any interface; where the filter is not to be had this drops them.
		if src, ok := from.(*net.UDPAddr); ok && index == c.ifi.Index {
			at := src.AddrPort()
			return packet{buf[:n], netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), dst.IsMulticast()}, nil
		}
	}
}

// send writes to one address, or to the group when to is not valid.
func (c *conn) send(data []byte, to netip.AddrPort) error {
	dst := c.group
	if to.IsValid() {
		dst = net.UDPAddrFromAddrPort(to)
	}
	if err := c.udp.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	var err error
	if c.p4 != nil {
		_, err = c.p4.WriteTo(data, &ipv4.ControlMessage{IfIndex: c.ifi.Index}, dst)
	} else {
		_, err = c.p6.WriteTo(data, &ipv6.ControlMessage{IfIndex: c.ifi.Index}, dst)
	}
	return err
}

// wake makes the pending and the next read return os.ErrDeadlineExceeded.
func (c *conn) wake() { c.udp.SetReadDeadline(time.Now()) }

func (c *conn) close() { c.udp.Close() }

// prepare sets what every socket here needs, those inside zeroconf too; either
// connection may be nil. The filter keeps packets of other interfaces away.
// Linux alone has it; elsewhere a socket answers for all of them.
func prepare(p4 *ipv4.PacketConn, p6 *ipv6.PacketConn, ifIndex int) error {
	filter, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtInterfaceIndex},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(ifIndex), SkipFalse: 1},
		bpf.RetConstant{Val: 1 << 18},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	if p4 != nil {
		_ = p4.SetBPF(filter)
		err = errors.Join(err, p4.SetMulticastTTL(mdnsHops), p4.SetTTL(mdnsHops), p4.SetMulticastLoopback(true))
	}
	if p6 != nil {
		_ = p6.SetBPF(filter)
		err = errors.Join(err, p6.SetMulticastHopLimit(mdnsHops), p6.SetHopLimit(mdnsHops), p6.SetMulticastLoopback(true))
	}
	return err
}
