package loadgen

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// lean is one connection of a Fleet: a socket, a reader goroutine and a
// speaker. Nothing is decoded, copied or allocated for a message.
type lean struct {
	fleet *Fleet
	nc    net.Conn
	early []byte // what came with the handshake's answer
	ready bool   // of the reader: its partner is there

	mu      sync.Mutex // held while writing: the order of seq is the order on the wire
	speaker Speaker
	owed    int  // messages of the flood that could not be sent yet
	closed  bool // by us
	stuck   int  // ticks for which mu could not be had; of the fleet's ticker
}

// outPool holds the buffers frames are built in.
var outPool = sync.Pool{New: func() any { b := make([]byte, 0, 2048); return &b }}

// refusedError is a handshake that was answered by something else than 101.
type refusedError struct {
	status int
	text   string
}

func (e *refusedError) Error() string {
	return fmt.Sprintf("the server answered the handshake with HTTP %d: %s", e.status, e.text)
}

// dial connects and makes the handshake.
func dial(ctx context.Context, to *url.URL, secure *tls.Config, subprotocol string) (nc net.Conn, early []byte, err error) {
	addr := to.Host
	if to.Port() == "" {
		addr = net.JoinHostPort(to.Hostname(), map[string]string{"ws": "80", "wss": "443"}[to.Scheme])
	}
	if nc, err = new(net.Dialer).DialContext(ctx, "tcp", addr); err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			nc.Close()
			nc = nil
		}
	}()
	if to.Scheme == "wss" {
		config := &tls.Config{}
		if secure != nil {
			config = secure.Clone()
		}
		config.ServerName, config.NextProtos = to.Hostname(), []string{"http/1.1"}
		nc = tls.Client(nc, config)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(handshakeTime)
	}
	if err = nc.SetDeadline(deadline); err != nil {
		return nc, nil, err
	}
	if early, err = handshake(nc, to, subprotocol); err != nil {
		return nc, nil, err
	}
	return nc, early, nc.SetDeadline(time.Time{})
}

// handshake is the opening handshake of RFC 6455 §4.1.
func handshake(nc net.Conn, to *url.URL, subprotocol string) (early []byte, err error) {
	nonce := make([]byte, 16)
	_, _ = rand.Read(nonce) // never fails
	key := base64.StdEncoding.EncodeToString(nonce)
	request := "GET " + to.RequestURI() + " HTTP/1.1\r\nHost: " + to.Host +
		"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n"
	if subprotocol != "" {
		request += "Sec-WebSocket-Protocol: " + subprotocol + "\r\n"
	}
	if _, err := io.WriteString(nc, request+"\r\n"); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(nc, 1024)
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		why, _ := io.ReadAll(io.LimitReader(response.Body, 256))
		return nil, &refusedError{response.StatusCode, string(bytes.TrimSpace(why))}
	}
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 §4.2.2
	if got, want := response.Header.Get("Sec-WebSocket-Accept"), base64.StdEncoding.EncodeToString(sum[:]); got != want {
		return nil, fmt.Errorf("Sec-WebSocket-Accept is %q, want %q", got, want)
	}
	early, _ = r.Peek(r.Buffered())
	return bytes.Clone(early), nil
}

// read hears frames until the socket ends, and says why it did.
func (c *lean) read() error {
	buf := make([]byte, max(2048, 2*len(c.early)))
	have := copy(buf, c.early)
	c.early = nil
	for {
		rest := buf[:have]
		for {
			op, payload, after, ok, err := cut(rest)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if err := c.take(op, payload); err != nil {
				return err
			}
			rest = after
		}
		if have = copy(buf, rest); have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
		n, err := c.nc.Read(buf[have:])
		if have += n; err != nil {
			return err
		}
	}
}

// endedError says that the server ended the connection in good order.
type endedError struct{ code string }

func (e *endedError) Error() string { return "the server closed: " + e.code }

// take hears one frame.
func (c *lean) take(op byte, payload []byte) error {
	switch op {
	case opText:
		return c.hear(payload)
	case opPing:
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.write(opPong, func(b []byte) []byte { return append(b, payload...) })
	case opPong:
		return nil
	case opClose:
		code := "1005"
		if len(payload) >= 2 {
			code = strconv.Itoa(int(payload[0])<<8 | int(payload[1]))
		}
		return &endedError{"close " + code}
	}
	return errFraming
}

func (c *lean) hear(frame []byte) error {
	var news News
	c.mu.Lock()
	err := c.write(opText, func(b []byte) (answer []byte) {
		answer, news = c.speaker.Hear(frame, b)
		return answer
	})
	c.mu.Unlock()
	if err != nil {
		return err
	}
	switch news.Kind {
	case NewsMessage:
		if !c.fleet.arrived(frame) {
			return nil
		}
		return c.send(1)
	case NewsReady:
		c.ready = true
		c.fleet.ready.Add(1)
	case NewsRoom:
		return c.send(0)
	case NewsRefused:
		c.fleet.fault(news.Code)
		c.owe(1)
	case NewsEnded:
		return &endedError{news.Code}
	}
	return nil
}

// owe notes messages of the flood to be sent later.
func (c *lean) owe(n int) {
	if c.fleet.flooding.Load() {
		c.mu.Lock()
		c.owed += n
		c.mu.Unlock()
	}
}

// send sends what is owed and n messages more, as far as the protocol allows.
func (c *lean) send(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.owed += n; c.owed > 0; c.owed-- {
		if ok, err := c.message(); err != nil || !ok {
			return err
		}
	}
	return nil
}

// message sends one message; false when the protocol does not allow it now.
// c.mu is held.
func (c *lean) message() (sent bool, err error) {
	err = c.write(opText, func(b []byte) []byte {
		if b, sent = c.speaker.Message(b); sent {
			b = append(c.fleet.appendData(b), '}')
		}
		return b
	})
	if sent && err == nil {
		c.fleet.sent.Add(1)
	}
	return sent, err
}

// write sends one frame, whose payload build appends; none when that appends
// nothing. c.mu is held.
func (c *lean) write(op byte, build func(b []byte) []byte) error {
	p := outPool.Get().(*[]byte)
	defer outPool.Put(p)
	*p = build((*p)[:headRoom])
	if len(*p) == headRoom && op == opText {
		return nil
	}
	if c.closed {
		return net.ErrClosed
	}
	_, err := c.nc.Write(seal(*p, op))
	return err
}

// goodbye sends a close frame, and nothing after it.
func (c *lean) goodbye() {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.nc.SetWriteDeadline(time.Now().Add(time.Second))
	_ = c.write(opClose, func(b []byte) []byte { return append(b, 1000>>8, 1000&0xff) }) // normal closure
	c.closed = true
}

// end closes the socket from our side. A reset spares this machine the state
// of thousands of closed connections (TIME_WAIT), which would end the next run.
func (c *lean) end() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	nc := c.nc
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if t, ok := nc.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	nc.Close()
}

// cause names why a connection failed or ended, for counting.
func cause(err error) string {
	if refused, ok := errors.AsType[*refusedError](err); ok {
		return "http " + strconv.Itoa(refused.status)
	}
	if ended, ok := errors.AsType[*endedError](err); ok {
		return ended.code
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "timeout"
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "cut"
	case errors.Is(err, errFraming), errors.Is(err, errTooLarge):
		return "framing"
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error()
	}
	return err.Error()
}
