//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// flow is one client, its allocation, and its peer.
type flow struct {
	index        uint16
	client, peer int // sockets, connected to the server
	payloadAt    int // where the payload begins in what the client receives
	up, down     *burst
}

// burst is a few datagrams that a socket sends in one call. Their payloads
// share all but their beginnings, which keeps the load's memory in its cache.
type burst struct {
	fd      int
	vectors []unix.Iovec // two for each datagram
	heads   []byte
	head    int // bytes of each head; the stamp is its end
	size    int // bytes of each datagram
	out     gather
}

func newBurst(fd, n int, header, tail []byte) *burst {
	b := &burst{fd: fd, head: len(header) + stampSize, vectors: make([]unix.Iovec, 2*n)}
	b.size = b.head + len(tail)
	b.heads = make([]byte, n*b.head)
	for i := range n {
		head := b.heads[i*b.head : (i+1)*b.head]
		copy(head, header)
		b.vectors[2*i] = unix.Iovec{Base: &head[0], Len: uint64(len(head))}
		b.vectors[2*i+1] = unix.Iovec{Base: &tail[0], Len: uint64(len(tail))}
	}
	return b
}

// send sends n of the burst's datagrams stamped from s on, and gives how many
// the kernel took.
func (b *burst) send(s stamp, n int) int {
	for i := range n {
		s.put(b.heads[(i+1)*b.head-stampSize:])
		s.seq++
	}
	return n * b.out.sendTrain(b.fd, nil, b.vectors[:2*n], b.size)
}

// openFlows makes the flows of a cell: sockets, allocations, permissions,
// channels, and one datagram there and back on each.
func (l *load) openFlows(ctx context.Context, c contestant, cell cell) error {
	for i := range cell.flows {
		if err := ctx.Err(); err != nil {
			return err
		}
		f := &flow{index: uint16(i), client: -1, peer: -1}
		l.flows = append(l.flows, f) // closed with the load, whatever comes
		if err := l.openFlow(f, c, cell); err != nil {
			return fmt.Errorf("flow %d: %w", i, err)
		}
	}
	return nil
}

func (l *load) openFlow(f *flow, c contestant, cell cell) (err error) {
	if f.client, err = l.lab.client.udp(clientAddr, serverListen); err != nil {
		return err
	}
	if f.peer, err = l.lab.peer.udp(peerAddr, netip.AddrPort{}); err != nil {
		return err
	}
	peer, err := localAddr(f.peer)
	if err != nil {
		return err
	}
	framing := cell.method
	var relayed netip.AddrPort
	if !c.relays {
		framing = bare
		relayed, err = greetForwarder(descriptor(f.client), peer)
	} else {
		relayed, err = negotiate(&controlClient{conn: descriptor(f.client), login: c.login()}, peer, cell.method)
	}
	if err != nil {
		return err
	}
	if err := connect(f.peer, relayed); err != nil {
		return err
	}
	tail := l.tail[:cell.payload-stampSize]
	f.up = newBurst(f.client, cell.burst(), framing.frameHeader(peer, cell.payload), tail)
	f.down = newBurst(f.peer, cell.burst(), nil, tail)
	return f.tryBoth(cell.payload, l.tail)
}

func negotiate(c *controlClient, peer netip.AddrPort, m method) (netip.AddrPort, error) {
	relayed, err := c.allocate()
	if err != nil {
		return relayed, err
	}
	if m == channelData {
		return relayed, c.bind(peer)
	}
	return relayed, c.permit(peer)
}

func connect(fd int, to netip.AddrPort) error {
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return fmt.Errorf("connect to %v: %w", to, err)
	}
	return nil
}

// tryBoth sends a datagram in each direction and compares what arrives.
func (f *flow) tryBoth(size int, tail []byte) error {
	if _, err := f.try(f.up, f.peer, stamp{flow: f.index}, size, tail); err != nil {
		return fmt.Errorf("client to peer: %w", err)
	}
	at, err := f.try(f.down, f.client, stamp{flow: f.index, down: true}, size, tail)
	f.payloadAt = at
	if err != nil {
		return fmt.Errorf("peer to client: %w", err)
	}
	if f.payloadAt+stampSize > headRoom {
		return fmt.Errorf("payload begins at byte %d, want at most %d", f.payloadAt, headRoom-stampSize)
	}
	// From here on the kernel may hand over several datagrams as one.
	for _, fd := range []int{f.client, f.peer} {
		if err := unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1); err != nil {
			return fmt.Errorf("set UDP_GRO: %w", err)
		}
	}
	return nil
}

// try sends one datagram until it arrives and gives where its payload began.
func (f *flow) try(b *burst, to int, s stamp, size int, tail []byte) (offset int, err error) {
	p := make([]byte, 4096)
	want := make([]byte, stampSize, size)
	s.put(want)
	want = append(want, tail[:size-stampSize]...)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if n := b.send(s, 1); n != 1 {
			return 0, errors.New("the kernel took no datagram")
		}
		if err := descriptor(to).SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return 0, err
		}
		n, readErr := descriptor(to).Read(p)
		if err = readErr; err != nil {
			continue
		}
		at, length := 0, n
		if s.down {
			var ok bool
			if at, length, ok = payloadAt(p[:n]); !ok {
				continue
			}
		}
		if !bytes.Equal(p[at:at+length], want) {
			return 0, fmt.Errorf("%d bytes arrived changed, as %d", size, length)
		}
		return at, nil
	}
	return 0, fmt.Errorf("nothing arrives: %w", err)
}

func (f *flow) close() {
	for _, fd := range []int{f.client, f.peer} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
