package turntest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
)

// Client is a TURN client that does exactly what a test tells it to. Its
// methods fail the test when the server does not answer within Timeout, and
// return what the server says otherwise.
type Client struct {
	Credential turn.Credential
	Realm      string
	Nonce      string
	Timeout    time.Duration

	t      testing.TB
	conn   net.Conn
	stream *bufio.Reader // nil over UDP
	buffer []byte
	data   [][]byte // messages that came while waiting for a response
}

// Dial opens a client over "udp" or "tcp" with a credential for "tester" that
// is good for an hour.
func Dial(t testing.TB, network string, server netip.AddrPort) *Client {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), network, server.String())
	if err != nil {
		t.Fatalf("dial %v/%s: %v", server, network, err)
	}
	return Use(t, conn)
}

// Use is Dial on a socket that is connected already.
func Use(t testing.TB, conn net.Conn) *Client {
	t.Cleanup(func() { conn.Close() })
	c := &Client{
		Credential: turn.NewCredential(Secret, "tester", time.Now().Add(time.Hour)),
		Timeout:    5 * time.Second,
		t:          t, conn: conn, buffer: make([]byte, 1<<16),
	}
	if conn.LocalAddr().Network() == "tcp" {
		c.stream = bufio.NewReader(conn)
	}
	return c
}

// Conn is the client's socket.
func (c *Client) Conn() net.Conn { return c.conn }

// Write sends raw bytes.
func (c *Client) Write(raw []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(raw); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// Read returns the next message, or an error after the timeout.
func (c *Client) Read(timeout time.Duration) ([]byte, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if c.stream == nil {
		n, err := c.conn.Read(c.buffer)
		return bytes.Clone(c.buffer[:n]), err
	}
	header := make([]byte, 4)
	if _, err := io.ReadFull(c.stream, header); err != nil {
		return nil, err
	}
	rest := int(binary.BigEndian.Uint16(header[2:]))
	if header[0] < 0x40 {
		rest += 16
	}
	message := append(header, make([]byte, (rest+3)&^3)...)
	_, err := io.ReadFull(c.stream, message[4:])
	return message[:4+rest], err
}

// Do sends a request as it is and returns the response to it.
func (c *Client) Do(setters ...stun.Setter) *stun.Message {
	c.t.Helper()
	request, err := stun.Build(append([]stun.Setter{stun.TransactionID}, setters...)...)
	if err != nil {
		c.t.Fatalf("build request: %v", err)
	}
	c.Write(request.Raw)
	return c.Response(request.TransactionID)
}

// Response waits for the response to a request.
func (c *Client) Response(id [stun.TransactionIDSize]byte) *stun.Message {
	c.t.Helper()
	deadline := time.Now().Add(c.Timeout)
	for {
		raw, err := c.Read(time.Until(deadline))
		if err != nil {
			c.t.Fatalf("no response: %v", err)
		}
		m := new(stun.Message)
		if _, err := m.Write(raw); err == nil && m.TransactionID == id && raw[0] == 0x01 {
			return m
		}
		c.data = append(c.data, raw)
	}
}

// Challenge gets the realm and a nonce with a request that is not signed.
func (c *Client) Challenge() {
	c.t.Helper()
	m := c.Do(Method(stun.MethodAllocate), UDPTransport)
	var realm stun.Realm
	var nonce stun.Nonce
	if realm.GetFrom(m) != nil || nonce.GetFrom(m) != nil {
		c.t.Fatalf("challenge: got %v, want realm and nonce", m)
	}
	c.Realm, c.Nonce = realm.String(), nonce.String()
}

// Request sends a signed request, after a challenge if there was none yet.
func (c *Client) Request(method stun.Method, setters ...stun.Setter) *stun.Message {
	c.t.Helper()
	if c.Nonce == "" {
		c.Challenge()
	}
	return c.Do(append(append([]stun.Setter{Method(method)}, setters...), c.Sign()...)...)
}

// Sign are the attributes that end a signed request.
func (c *Client) Sign() []stun.Setter {
	return []stun.Setter{
		stun.NewUsername(c.Credential.Username), stun.NewRealm(c.Realm), stun.NewNonce(c.Nonce),
		c.Key(), stun.Fingerprint,
	}
}

// Key is the client's key for MESSAGE-INTEGRITY.
func (c *Client) Key() stun.MessageIntegrity {
	return stun.NewLongTermIntegrity(c.Credential.Username, c.Realm, c.Credential.Password)
}

// Code is the error code of a response, 0 for success.
func Code(m *stun.Message) int {
	var code stun.ErrorCodeAttribute
	switch {
	case m.Type.Class == stun.ClassSuccessResponse:
		return 0
	case code.GetFrom(m) != nil:
		return -1
	}
	return int(code.Code)
}
