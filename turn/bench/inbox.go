//go:build linux

package main

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// message is struct mmsghdr of recvmmsg(2).
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// segmentSpace is room for one control message with a segment size: 16 bits
// when sent, an int when received.
var segmentSpace = unix.CmsgSpace(4)

// inbox is room for one call of recvmmsg.
type inbox struct {
	messages []message
	vectors  []unix.Iovec
	names    []unix.RawSockaddrInet4
	controls []byte
	buffers  []byte
	size     int // of each buffer, bytes
	used     int // messages of the last call
}

func newInbox(messages, size int) *inbox {
	b := &inbox{
		messages: make([]message, messages),
		vectors:  make([]unix.Iovec, messages),
		names:    make([]unix.RawSockaddrInet4, messages),
		controls: make([]byte, messages*segmentSpace),
		buffers:  make([]byte, messages*size),
		size:     size,
		used:     messages,
	}
	for i := range b.messages {
		b.vectors[i] = unix.Iovec{Base: &b.buffers[i*size], Len: uint64(size)}
		h := &b.messages[i].header
		h.Iov, h.Iovlen = &b.vectors[i], 1
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Control = &b.controls[i*segmentSpace]
	}
	return b
}

// receive takes what has come and gives the number of messages, which may be 0.
// flags are those of recvmmsg(2); with MSG_TRUNC the length of a message is
// what it had, even where its buffer is shorter.
func (b *inbox) receive(fd, flags int) int {
	for i := range b.used {
		h := &b.messages[i].header
		h.Namelen = unix.SizeofSockaddrInet4
		h.Controllen = uint64(segmentSpace)
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&b.messages[0])),
		uintptr(len(b.messages)), uintptr(flags|unix.MSG_DONTWAIT), 0, 0)
	if errno != 0 {
		n = 0
	}
	b.used = int(n)
	return b.used
}

// data is what fit in the buffer of message i.
func (b *inbox) data(i int) []byte {
	return b.buffers[i*b.size : i*b.size+min(int(b.messages[i].length), b.size)]
}

// segments is how many datagrams the kernel has put into message i (UDP_GRO).
func (b *inbox) segments(i int) int {
	h := &b.messages[i].header
	if h.Controllen < uint64(unix.CmsgLen(4)) {
		return 1
	}
	control := (*unix.Cmsghdr)(unsafe.Pointer(h.Control))
	if control.Level != unix.SOL_UDP || control.Type != unix.UDP_GRO {
		return 1
	}
	size := *(*int32)(unsafe.Add(unsafe.Pointer(h.Control), unix.CmsgLen(0)))
	return datagrams(int(b.messages[i].length), int(size))
}

// datagrams is how many datagrams of size bytes, the last maybe shorter, make
// up length bytes.
func datagrams(length, size int) int {
	if size <= 0 || length <= size {
		return 1
	}
	return (length + size - 1) / size
}
