package signaling

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// input is what gorilla reads from in place of the socket. It borrows a buffer
// only while something is there to be read, so an idle connection holds none
// and a message still costs one read; and it gives gorilla no more than one
// WebSocket frame at a time, so that what is still to be read is known here.
type input struct {
	net.Conn
	raw  syscall.RawConn    // nil over TLS, which buffers for itself
	wait func(uintptr) bool // in.readOnce, made once

	buf  *[]byte // borrowed
	rest []byte  // of buf, not read yet
	left uint64  // bytes of the present frame that gorilla has not had
	err  error
}

const (
	// gorillaBytes is the least that gorilla reads with (RFC 6455 §5.5).
	gorillaBytes = 125
	// inputBytes takes a message of 1 KB with its header in one read.
	inputBytes = 2048
	// maxHeader is the longest header of a frame from a client (RFC 6455 §5.2).
	maxHeader = 14
)

// bytesPool holds buffers of inputBytes, for what is read from sockets and for
// the messages in it.
var bytesPool = sync.Pool{New: func() any { b := make([]byte, inputBytes); return &b }}

// await waits until something is there to be read. It needs little stack. Over
// TLS it leaves that to Read.
func (in *input) await() error {
	if in.raw == nil || len(in.rest) > 0 {
		return nil
	}
	if err := in.raw.Read(in.wait); err != nil {
		return err
	}
	return in.err
}

// idle tells whether gorilla has had all that came.
func (in *input) idle() bool { return len(in.rest) == 0 && in.left == 0 }

// Read gives no more than the rest of one frame.
func (in *input) Read(p []byte) (int, error) {
	if in.raw == nil {
		return in.Conn.Read(p)
	}
	if err := in.await(); err != nil {
		return 0, err
	}
	if in.left == 0 {
		if err := in.frame(); err != nil {
			return 0, err
		}
	}
	p = p[:min(uint64(len(p)), in.left)]
	n := copy(p, in.rest)
	in.left -= uint64(n)
	in.drop(n)
	return n, nil
}

// pings takes pings and pongs off the input, as far as the next frames are such
// and there in whole, and tells whether there were any. gorilla answers them,
// too, but then waits for a message, and would keep a hand waiting with it.
func (in *input) pings(ping func(payload string) error) (any bool) {
	for in.left == 0 {
		size, ok := frameBytes(in.rest)
		if !ok || size > uint64(len(in.rest)) || size > 6+gorillaBytes || in.rest[1]&0x80 == 0 {
			return any
		}
		frame := in.rest[:size]
		switch frame[0] {
		case finalBit | opPing:
			key, payload := frame[2:6], frame[6:]
			for i := range payload {
				payload[i] ^= key[i%4]
			}
			_ = ping(string(payload))
		case finalBit | opPong:
		default:
			return any
		}
		any = true
		in.drop(int(size))
	}
	return any
}

// frame finds the length of the frame that begins now.
func (in *input) frame() error {
	for {
		if size, ok := frameBytes(in.rest); ok {
			in.left = size
			return nil
		}
		if err := in.more(); err != nil {
			return err
		}
	}
}

// frameBytes is the length of the frame that b begins with, header included;
// false when b does not hold that much of the header.
func frameBytes(b []byte) (uint64, bool) {
	if len(b) < 2 {
		return 0, false
	}
	head, size := uint64(2), uint64(b[1]&0x7f)
	switch {
	case size == 126 && len(b) >= 4:
		head, size = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case size == 127 && len(b) >= 10:
		head, size = 10, binary.BigEndian.Uint64(b[2:])&(1<<63-1)
	case size >= 126:
		return 0, false
	}
	if b[1]&0x80 != 0 {
		head += 4
	}
	return head + size, true
}

// more reads behind a header that came in pieces.
func (in *input) more() error {
	var have [maxHeader]byte
	n := copy(have[:], in.rest)
	in.drop(n)
	if err := in.await(); err != nil {
		return err
	}
	b := append(have[:n:n], in.rest...)
	in.drop(len(in.rest))
	in.rest = b
	return nil
}

// drop lets go of n bytes that were read, and of the buffer behind the last.
func (in *input) drop(n int) {
	if in.rest = in.rest[n:]; len(in.rest) == 0 && in.buf != nil {
		bytesPool.Put(in.buf)
		in.buf = nil
	}
}

// readOnce is the body of await's system call; false to wait.
func (in *input) readOnce(fd uintptr) bool {
	buf := bytesPool.Get().(*[]byte)
	for {
		n, err := syscall.Read(int(fd), *buf)
		switch {
		case err == nil && n > 0:
			in.buf, in.rest = buf, (*buf)[:n]
			return true
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			bytesPool.Put(buf)
			return false
		case err == nil:
			err = io.EOF
		}
		bytesPool.Put(buf)
		in.err = err
		return true
	}
}

// hijacker gives gorilla the input for the socket.
type hijacker struct {
	http.ResponseWriter
	in *input
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.in.Conn = nc
	return h.in, rw, nil
}
