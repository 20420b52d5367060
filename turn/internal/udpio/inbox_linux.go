package udpio

import (
	"errors"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlRoom holds what the kernel tells beside a datagram: its TOS and how
// many were dropped before it.
const controlRoom = 64

// inbox is where datagrams are read into. A part of it is used until what was
// read has been sent on.
type inbox struct {
	used     int
	headers  [batchSize]unix.Mmsghdr
	vectors  [batchSize]unix.Iovec
	names    [batchSize]unix.RawSockaddrInet6 // large enough for either family
	controls [batchSize][controlRoom]byte
	// data has room behind each datagram, so that a longer one shows.
	data [batchSize][MaxDatagram + 8]byte
}

func newInbox() *inbox {
	in := new(inbox)
	for i := range in.headers {
		v := &in.vectors[i]
		v.Base = &in.data[i][0]
		v.SetLen(len(in.data[i]))
		h := &in.headers[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		h.Iov = v
		h.SetIovlen(1)
		h.Control = &in.controls[i][0]
		in.arm(i)
	}
	return in
}

// arm makes a header ready to be read into.
func (in *inbox) arm(i int) {
	h := &in.headers[i].Hdr
	h.Namelen = unix.SizeofSockaddrInet6
	h.SetControllen(controlRoom)
	h.Flags = 0
}

// read reads up to share datagrams of s, once, and hands them to its handler.
func (l *Loop) read(s *Socket, share int) {
	in := l.inbox
	from := in.used
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd),
		uintptr(unsafe.Pointer(&in.headers[from])), uintptr(share), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		// An ICMP message of a stranger, or nothing there after all.
		if !errors.Is(errno, unix.EAGAIN) && !errors.Is(errno, unix.EINTR) {
			l.counters.ReadErrors.Add(1)
		}
		return
	}
	in.used += int(n)
	for i := from; i < in.used; i++ {
		l.deliver(s, i)
		in.arm(i)
	}
}

func (l *Loop) deliver(s *Socket, i int) {
	in := l.inbox
	h := &in.headers[i]
	size := int(h.Len)
	if size > MaxDatagram || h.Hdr.Flags&unix.MSG_TRUNC != 0 {
		l.counters.Oversize.Add(1)
		return
	}
	d := Datagram{From: readName(&in.names[i]), Data: in.data[i][:size:len(in.data[i])]}
	if control := int(h.Hdr.Controllen); control > 0 && control <= controlRoom {
		dropped := s.overflowed
		d.TOS, dropped = parseControl(in.controls[i][:control], dropped)
		if dropped != s.overflowed {
			l.counters.Overflowed.Add(uint64(dropped - s.overflowed))
			s.overflowed = dropped
		}
	}
	s.handler.Receive(l.batch, d)
}

// readName reads the address the kernel has filled in, of either family.
func readName(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), networkPort(&v4.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), networkPort(&name.Port))
}

func networkPort(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

// parseControl reads the traffic class and the count of dropped datagrams,
// which stays as it was when it is not told.
func parseControl(b []byte, dropped uint32) (tos uint8, _ uint32) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(b) {
			break
		}
		data := b[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1:
			tos = data[0]
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
			tos = uint8(*(*int32)(unsafe.Pointer(&data[0])))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			dropped = *(*uint32)(unsafe.Pointer(&data[0]))
		}
		b = b[min(unix.CmsgSpace(size-unix.SizeofCmsghdr), len(b)):]
	}
	return tos, dropped
}
