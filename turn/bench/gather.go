//go:build linux

package main

import (
	"encoding/binary"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxSegments and maxSegmented bound one send with UDP_SEGMENT.
const (
	maxSegments  = 64
	maxSegmented = 65000 // bytes
)

// gather sends several datagrams to one destination in as few calls as
// UDP_SEGMENT allows: all of one call have the same size, but the last may be
// shorter.
type gather struct {
	header  unix.Msghdr
	control [24]byte
}

func (g *gather) send(fd int, to *unix.RawSockaddrInet4, datagrams []unix.Iovec) {
	for len(datagrams) > 0 {
		n := train(datagrams)
		g.sendTrain(fd, to, datagrams[:n], int(datagrams[0].Len))
		datagrams = datagrams[n:]
	}
}

// train is how many of the first datagrams one call may send.
func train(datagrams []unix.Iovec) int {
	size, total := datagrams[0].Len, datagrams[0].Len
	n := 1
	for n < len(datagrams) && n < maxSegments {
		next := datagrams[n].Len
		if next > size || total+next > maxSegmented {
			break
		}
		total += next
		n++
		if next < size {
			break
		}
	}
	return n
}

// sendTrain sends what vectors hold as datagrams of size bytes, and says whether
// the kernel took them: 1 or 0. It is full when it does not, and a relay would
// drop them too.
func (g *gather) sendTrain(fd int, to *unix.RawSockaddrInet4, vectors []unix.Iovec, size int) int {
	h := &g.header
	*h = unix.Msghdr{Iov: &vectors[0], Iovlen: uint64(len(vectors))}
	if to != nil {
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(to)), unix.SizeofSockaddrInet4
	}
	if len(vectors) > 1 {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&g.control[0]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
		binary.NativeEndian.PutUint16(g.control[unix.CmsgLen(0):], uint16(size))
		h.Control = &g.control[0]
		h.SetControllen(unix.CmsgSpace(2))
	}
	if _, _, errno := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(h)), unix.MSG_DONTWAIT); errno != 0 {
		return 0
	}
	return 1
}
