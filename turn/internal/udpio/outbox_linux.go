package udpio

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vectorsPerPacket are header, payload and padding.
const vectorsPerPacket = 3

// outbox is what a batch tells the kernel: a message for each train.
type outbox struct {
	names    []unix.RawSockaddrInet6
	messages []unix.Mmsghdr
	controls [][controlRoom]byte
	vectors  []unix.Iovec // a run of them for each message
	used     int          // of vectors
}

func newOutbox(size int) outbox {
	return outbox{
		names:    make([]unix.RawSockaddrInet6, size),
		messages: make([]unix.Mmsghdr, size),
		controls: make([][controlRoom]byte, size),
		vectors:  make([]unix.Iovec, size*vectorsPerPacket),
	}
}

// put makes message i out of the packets from first on, which go where t goes.
// With a segment the kernel cuts them apart at that size.
func (o *outbox) put(i int, t *train, packets []packet, first int32, segment int) {
	from := o.used
	for at := first; at != noPacket; at = packets[at].next {
		o.add(&packets[at])
		if segment == 0 {
			break
		}
	}
	h := &o.messages[i].Hdr
	h.Name = (*byte)(unsafe.Pointer(&o.names[i]))
	h.Namelen = writeName(&o.names[i], t)
	h.Iov = &o.vectors[from]
	h.SetIovlen(o.used - from)
	size := writeControl(&o.controls[i], t, segment)
	h.Control = &o.controls[i][0]
	h.SetControllen(size)
}

func (o *outbox) add(p *packet) {
	o.vector(p.header)
	o.vector(p.payload)
	o.vector(padding[:p.pad])
	if len(p.header)+len(p.payload)+p.pad == 0 { // an empty datagram is one too
		o.vectors[o.used].Base = &padding[0]
		o.vectors[o.used].SetLen(0)
		o.used++
	}
}

func (o *outbox) vector(p []byte) {
	if len(p) > 0 {
		o.vectors[o.used].Base = &p[0]
		o.vectors[o.used].SetLen(len(p))
		o.used++
	}
}

// writeName writes the address of a train for a socket of its family.
func writeName(name *unix.RawSockaddrInet6, t *train) uint32 {
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], t.to.Port())
	if t.to.Addr().Is4() {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		v4.Family, v4.Addr = unix.AF_INET, t.to.Addr().As4()
		v4.Port = *(*uint16)(unsafe.Pointer(&port))
		return unix.SizeofSockaddrInet4
	}
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: t.to.Addr().As16()}
	name.Port = *(*uint16)(unsafe.Pointer(&port))
	return unix.SizeofSockaddrInet6
}

// writeControl writes the traffic class, unless it is the usual one, and the
// size of a segment, unless it is 0.
func writeControl(b *[controlRoom]byte, t *train, segment int) int {
	size := 0
	message := func(level, kind int32, data int) unsafe.Pointer {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[size]))
		h.Level, h.Type = level, kind
		h.SetLen(unix.CmsgLen(data))
		p := unsafe.Pointer(&b[size+unix.CmsgLen(0)])
		size += unix.CmsgSpace(data)
		return p
	}
	if segment > 0 {
		*(*uint16)(message(unix.IPPROTO_UDP, unix.UDP_SEGMENT, 2)) = uint16(segment)
	}
	switch {
	case t.tos == 0:
	case t.to.Addr().Is4():
		*(*int32)(message(unix.IPPROTO_IP, unix.IP_TOS, 4)) = int32(t.tos)
	default:
		*(*int32)(message(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 4)) = int32(t.tos)
	}
	return size
}

// sendTrains sends trains of one socket, with one system call if all goes well.
func (b *Batch) sendTrains(trains []train) {
	s := trains[0].socket
	if !s.acquire() {
		b.lose(trains, &b.counters.SendFailed)
		return
	}
	defer s.release()
	if trains[0].whole {
		if err := s.fragment(false); err != nil {
			b.lose(trains, &b.counters.SendFailed)
			return
		}
		defer func() { _ = s.fragment(true) }() // what could be set can be set back
	}
	b.out.used = 0
	for i := range trains {
		segment := 0
		if trains[i].count > 1 {
			segment = trains[i].segment
		}
		b.out.put(i, &trains[i], b.packets, trains[i].first, segment)
	}
	for sent := 0; sent < len(trains); {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&b.out.messages[sent])),
			uintptr(len(trains)-sent), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != 0 { // of the first message
			sent += b.failed(trains[sent:], errno)
			continue
		}
		for i := range trains[sent : sent+int(n)] {
			b.sent(&trains[sent+i])
		}
		sent += int(n)
	}
}

// lose counts trains that do not go out.
func (b *Batch) lose(trains []train, reason *atomic.Uint64) {
	for i := range trains {
		reason.Add(uint64(trains[i].count))
		for at := trains[i].first; at != noPacket; at = b.packets[at].next {
			b.packets[at].lose()
		}
	}
}

// failed deals with a train that the kernel has not taken, the first of
// trains, and returns how many are done with.
func (b *Batch) failed(trains []train, errno unix.Errno) int {
	t := &trains[0]
	switch {
	case errors.Is(errno, unix.EINTR):
		return 0
	case bufferFull(errno):
		// Waiting would hold up everyone else. What the network does not take
		// at this pace is lost here, and counted.
		b.lose(trains, &b.counters.BufferFull)
		return len(trains)
	case t.count > 1:
		// EIO: the network card computes no checksums, now or later. EINVAL and
		// EMSGSIZE: a segment is larger than this path takes in one piece.
		if errors.Is(errno, unix.EIO) || errors.Is(errno, unix.EOPNOTSUPP) {
			t.socket.noGSO.Store(true)
		} else {
			b.narrow.remember(t.socket, t.to, t.segment, b.now)
		}
		b.sendSingly(t)
	default:
		b.lose(trains[:1], &b.counters.SendFailed)
	}
	return 1
}

func bufferFull(errno unix.Errno) bool {
	return errors.Is(errno, unix.EAGAIN) || errors.Is(errno, unix.ENOBUFS)
}

// sendSingly sends the packets of a train one by one.
func (b *Batch) sendSingly(t *train) {
	single := &b.single
	for i := t.first; i != noPacket; i = b.packets[i].next {
		p := &b.packets[i]
		single.used = 0
		single.put(0, t, b.packets, i, 0)
		_, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(t.socket.fd),
			uintptr(unsafe.Pointer(&single.messages[0].Hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case errno == 0:
			p.count(1, len(p.payload))
		case bufferFull(errno):
			b.counters.BufferFull.Add(1)
			p.lose()
		default:
			b.counters.SendFailed.Add(1)
			p.lose()
		}
	}
}

// sent counts a train that the kernel has taken. Packets of one flow follow
// each other, so that meters are touched once for many.
func (b *Batch) sent(t *train) {
	if t.count > 1 {
		b.counters.Segmented.Add(uint64(t.count))
	}
	packets, bytes := 0, 0
	for i := t.first; i != noPacket; {
		p := &b.packets[i]
		packets++
		bytes += len(p.payload)
		if i = p.next; i == noPacket || b.packets[i].meters != p.meters {
			p.count(packets, bytes)
			packets, bytes = 0, 0
		}
	}
}

func (p *packet) count(packets, bytes int) {
	for _, m := range p.meters {
		m.Add(packets, bytes)
	}
}

func (p *packet) lose() {
	for _, m := range p.meters {
		m.Lose(len(p.payload))
	}
}
