package signaling

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
)

// input is what gorilla reads from in place of the socket. It borrows a buffer
// only while something is there to be read: an idle connection holds none, and
// a message still costs one read. gorilla's own buffer can then be the least
// it takes, which its control frames need.
type input struct {
	net.Conn
	raw  syscall.RawConn    // nil over TLS, which has a buffer of its own
	wait func(uintptr) bool // in.readOnce, made once

	buf  *[]byte // borrowed
	rest []byte  // of buf, not read yet
	err  error
}

const (
	// gorillaBytes is the least that gorilla reads with (RFC 6455 §5.5).
	gorillaBytes = 125
	// inputBytes takes a message of 1 KB with its header in one read.
	inputBytes = 2048
)

// bytesPool holds buffers of inputBytes, for what is read from sockets and for
// the messages in it.
var bytesPool = sync.Pool{New: func() any { b := make([]byte, 0, inputBytes); return &b }}

// Read is called only by the connection's reader.
func (in *input) Read(p []byte) (int, error) {
	if in.raw == nil {
		return in.Conn.Read(p)
	}
	if len(in.rest) == 0 {
		if err := in.raw.Read(in.wait); err != nil {
			return 0, err
		}
		if in.err != nil {
			return 0, in.err
		}
	}
	n := copy(p, in.rest)
	if in.rest = in.rest[n:]; len(in.rest) == 0 {
		bytesPool.Put(in.buf)
		in.buf = nil
	}
	return n, nil
}

// readOnce is the body of Read's system call; false to wait until there is
// something to read.
func (in *input) readOnce(fd uintptr) bool {
	buf := bytesPool.Get().(*[]byte)
	for {
		n, err := syscall.Read(int(fd), (*buf)[:cap(*buf)])
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
