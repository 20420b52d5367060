//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The bare forwarder is the floor: what moving datagrams costs with the sockets
// of a relay and none of its duties. A client tells it once which peer it means
// and is told the address that the peer should use.
var forwardHello = []byte("bench-forward-to")

const (
	helloSize = 16 + 6 // with an address and port

	forwardBatch  = 64
	forwardBuffer = 2048 // bytes, of one datagram
)

type forwarder struct {
	clients int // the socket that every client uses
	poll    *poller
	flows   []*forwardFlow
	byAddr  map[uint64]*forwardFlow // by client
	in      *inbox
	out     gather
	touched []*forwardFlow // have something pending
}

type forwardFlow struct {
	peer    int // socket, connected to the peer
	client  unix.RawSockaddrInet4
	pending []unix.Iovec
}

// serveForwarder forwards until the process is killed. Its loop has one thread
// for itself and waits in the kernel without telling Go's scheduler.
func serveForwarder(listen, relay netip.AddrPort) error {
	fd, err := openUDP(listen, netip.AddrPort{})
	if err != nil {
		return fmt.Errorf("listen on %v: %w", listen, err)
	}
	poll, err := newPoller()
	if err != nil {
		return fmt.Errorf("open epoll: %w", err)
	}
	f := &forwarder{clients: fd, poll: poll, byAddr: map[uint64]*forwardFlow{}, in: newInbox(forwardBatch, forwardBuffer)}
	if err := poll.add(fd, -1); err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "ready")
	for {
		for _, event := range poll.wait(false) {
			if event.Fd < 0 {
				f.fromClients(relay)
			} else {
				f.fromPeer(f.flows[event.Fd])
			}
		}
	}
}

func (f *forwarder) fromClients(relay netip.AddrPort) {
	n := f.in.receive(f.clients, 0)
	for i := range n {
		from := &f.in.names[i]
		flow := f.byAddr[addrKey(from)]
		data := f.in.data(i)
		if len(data) == helloSize && bytes.HasPrefix(data, forwardHello) {
			f.greet(flow, *from, data[len(forwardHello):], relay)
			continue
		}
		if flow == nil {
			continue
		}
		if len(flow.pending) == 0 {
			f.touched = append(f.touched, flow)
		}
		flow.pending = append(flow.pending, unix.Iovec{Base: &data[0], Len: uint64(len(data))})
	}
	for _, flow := range f.touched {
		f.out.send(flow.peer, nil, flow.pending)
		flow.pending = flow.pending[:0]
	}
	f.touched = f.touched[:0]
}

func (f *forwarder) fromPeer(flow *forwardFlow) {
	n := f.in.receive(flow.peer, 0)
	for i := range n {
		data := f.in.data(i)
		flow.pending = append(flow.pending, unix.Iovec{Base: &data[0], Len: uint64(len(data))})
	}
	f.out.send(f.clients, &flow.client, flow.pending)
	flow.pending = flow.pending[:0]
}

// greet makes the flow of a new client, and answers. A client that repeats
// itself has the flow already.
func (f *forwarder) greet(flow *forwardFlow, client unix.RawSockaddrInet4, to []byte, relay netip.AddrPort) {
	if flow == nil {
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte(to[:4])), binary.BigEndian.Uint16(to[4:]))
		fd, err := openUDP(relay, peer)
		if err != nil {
			return // the client asks again, in vain, and says so
		}
		flow = &forwardFlow{peer: fd, client: client, pending: make([]unix.Iovec, 0, forwardBatch)}
		if f.poll.add(fd, int32(len(f.flows))) != nil {
			return
		}
		f.flows = append(f.flows, flow)
		f.byAddr[addrKey(&client)] = flow
	}
	local, err := localAddr(flow.peer)
	if err != nil {
		return
	}
	answer := hello(local)
	f.out.send(f.clients, &client, []unix.Iovec{{Base: &answer[0], Len: uint64(len(answer))}})
}

// hello names an address: the peer's in the request, the relayed in the answer.
func hello(addr netip.AddrPort) []byte {
	text := append(bytes.Clone(forwardHello), addr.Addr().AsSlice()...)
	return binary.BigEndian.AppendUint16(text, addr.Port())
}

func addrKey(a *unix.RawSockaddrInet4) uint64 {
	return uint64(*(*uint32)(unsafe.Pointer(&a.Addr)))<<16 | uint64(a.Port)
}
