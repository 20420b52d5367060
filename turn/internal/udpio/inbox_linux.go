package udpio

import (
	"errors"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlRoom holds the control messages of a datagram, either way.
const controlRoom = 96

// slotSize holds what one read of a socket with UDP GRO may give: up to 64
// datagrams of one sender in a row. It is no power of two, so that the slots do
// not compete for the same lines of a cache.
const slotSize = 64<<10 + 2048 + 192

const (
	// roundBytes is about how much is read before what it caused is sent. Small
	// datagrams fill the slots before.
	roundBytes = 1 << 20
	// maxHeld is how much of the slots may stay in memory.
	maxHeld = 4 << 20
)

// inbox is where datagrams are read into. A part of it is used until what was
// read has been sent on. Of each slot only what has been written to takes
// memory, a page for datagrams that come one by one.
type inbox struct {
	used     int
	bytes    int               // in the slots that are used
	high     [batchSize]uint32 // of each slot, how much has been written to
	held     int               // of all of them
	headers  [batchSize]unix.Mmsghdr
	vectors  [batchSize]unix.Iovec
	names    [batchSize]unix.RawSockaddrInet6 // large enough for either family
	controls [batchSize][controlRoom]byte
	data     []byte // batchSize slots, not the garbage collector's
}

func newInbox() (*inbox, error) {
	data, err := unix.Mmap(-1, 0, batchSize*slotSize, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	// Not in pages of 2 MB, or each small datagram would take as much.
	_ = unix.Madvise(data, unix.MADV_NOHUGEPAGE)
	in := &inbox{data: data}
	for i := range in.headers {
		v := &in.vectors[i]
		v.Base = &data[i*slotSize]
		v.SetLen(slotSize)
		h := &in.headers[i].Hdr
		h.Name = (*byte)(unsafe.Pointer(&in.names[i]))
		h.Iov = v
		h.SetIovlen(1)
		h.Control = &in.controls[i][0]
		in.arm(i)
	}
	return in, nil
}

// free gives the memory back. Nothing may use what was read any more.
func (in *inbox) free() { _ = unix.Munmap(in.data) }

// arm makes a header ready to be read into.
func (in *inbox) arm(i int) {
	h := &in.headers[i].Hdr
	h.Namelen = unix.SizeofSockaddrInet6
	h.SetControllen(controlRoom)
	h.Flags = 0
}

// touch takes note of how much of a slot has been written to.
func (in *inbox) touch(i int) {
	n := in.headers[i].Len
	in.bytes += int(n)
	if n > in.high[i] {
		in.held += int(n - in.high[i])
		in.high[i] = n
	}
}

// reuse makes all slots free. When large reads have left too much in memory the
// kernel gets it back, but for the slots in front, which serve every round.
// That is rare: rounds of large reads end early and use only those.
func (in *inbox) reuse() {
	in.used, in.bytes = 0, 0
	if in.held <= maxHeld {
		return
	}
	kept, from := 0, 0
	for ; kept+int(in.high[from]) <= maxHeld/2; from++ {
		kept += int(in.high[from])
	}
	page := os.Getpagesize()
	_ = unix.Madvise(in.data[(from*slotSize+page-1)/page*page:], unix.MADV_DONTNEED)
	clear(in.high[from:])
	in.held = kept
}

// expect says how many slots the next read of s may fill, after one that has
// filled n with so many bytes: twice as many, but not more than a round takes if
// they are as large again. What comes after a pause may be a flood of large ones.
func (s *Socket) expect(n, bytes int) {
	s.next = min(max(2*n, minShare), roundBytes/max(1, bytes/max(1, n)))
}

// read reads up to share times from s, in one system call, and hands the
// datagrams to its handler.
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
	before := in.bytes
	for i := from; i < in.used; i++ {
		in.touch(i)
		l.deliver(s, i)
		in.arm(i)
	}
	s.expect(int(n), in.bytes-before)
}

// deliver hands over the datagrams of one slot.
func (l *Loop) deliver(s *Socket, i int) {
	in := l.inbox
	h := &in.headers[i]
	told := told{overflowed: s.overflowed}
	if size := int(h.Hdr.Controllen); size > 0 && size <= controlRoom {
		told.parse(in.controls[i][:size])
		l.counters.Overflowed.Add(uint64(told.overflowed - s.overflowed))
		s.overflowed = told.overflowed
	}
	data := in.data[i*slotSize:][:h.Len]
	segment := len(data)
	if told.segment > 0 {
		segment = told.segment
	}
	d := Datagram{From: readName(&in.names[i]), TOS: told.tos}
	for {
		n := min(segment, len(data))
		if n > MaxDatagram {
			l.counters.Oversize.Add(1)
		} else {
			d.Data = data[:n:n]
			s.handler.Receive(l.batch, d)
		}
		if data = data[n:]; len(data) == 0 {
			return
		}
	}
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

// told is what the kernel tells beside a datagram.
type told struct {
	tos        uint8
	segment    int    // size of each of several datagrams in one read; 0: there is one
	overflowed uint32 // datagrams dropped so far
}

// parse reads control messages; what they do not tell stays as it was.
func (t *told) parse(b []byte) {
	for len(b) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&b[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(b) {
			return
		}
		data := b[min(unix.CmsgLen(0), size):size]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1:
			t.tos = data[0]
		case len(data) < 4:
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS:
			t.tos = uint8(*(*int32)(unsafe.Pointer(&data[0])))
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO:
			t.segment = int(*(*int32)(unsafe.Pointer(&data[0])))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL:
			t.overflowed = *(*uint32)(unsafe.Pointer(&data[0]))
		}
		b = b[min(unix.CmsgSpace(size-unix.SizeofCmsghdr), len(b)):]
	}
}
