package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"signalbox/sync/wire"
)

// Bounds of a connection attempt and of a write.
const (
	dialTimeout  = 20 * time.Second
	writeTimeout = 30 * time.Second
)

// tunnel is a WebSocket that carries the bytes of a connection to the broker:
// each write is a binary message, reads see the messages as one stream.
type tunnel struct {
	*websocket.Conn
	session  string // what the broker knows it by
	message  io.Reader
	writing  sync.Mutex            // nats.go writes from several goroutines
	farewell atomic.Pointer[error] // what the gateway said at the end
}

// dialTunnel shows the cloud who the box is, the cloud shows who it is, and from
// then on the tunnel is one to the broker.
func (d *dialer) dialTunnel(ctx context.Context, endpoint *url.URL) (*tunnel, error) {
	target := &url.URL{Scheme: strings.Replace(endpoint.Scheme, "http", "ws", 1), Host: endpoint.Host, Path: wire.TunnelPath}
	_, answer, err := d.handshake(ctx, target, nil)
	if err == nil {
		return nil, errors.New("the cloud asks for no proof; is this address a cloud node of Signalbox?")
	}
	if answer == nil {
		return nil, err
	}
	proof, err := d.answerChallenge(answer, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	ws, answer, err := d.handshake(ctx, target, http.Header{"Authorization": {proof.Header()}})
	if err != nil {
		if answer != nil {
			err = refusedBy(answer)
		}
		return nil, err
	}
	if err := d.verify(proof, answer.Header, nil); err != nil {
		_ = ws.Close()
		return nil, err
	}
	ws.SetReadLimit(wire.MaxTunnelMessage)
	return &tunnel{Conn: ws, session: answer.Header.Get(wire.SessionHeader)}, nil
}

// handshake makes one WebSocket handshake. An answer other than 101 comes with
// an error.
func (d *dialer) handshake(ctx context.Context, target *url.URL, header http.Header) (*websocket.Conn, *http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	var under atomic.Pointer[net.Conn]
	ws := websocket.Dialer{
		Proxy: d.proxy, TLSClientConfig: d.tls(), Subprotocols: []string{wire.TunnelSubprotocol},
		ReadBufferSize: tunnelBuffer, WriteBufferSize: tunnelBuffer,
		NetDialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			conn, err = d.meter.dial(ctx, network, addr)
			if err == nil {
				under.Store(&conn)
			}
			return conn, err
		},
	}
	// The library ends waiting for an answer at the deadline, not with ctx.
	release := context.AfterFunc(ctx, func() {
		if conn := under.Load(); conn != nil {
			_ = (*conn).Close()
		}
	})
	conn, answer, err := ws.DialContext(ctx, target.String(), header)
	if err != nil {
		release()
		return nil, answer, d.fault(err)
	}
	if !release() { // ctx has ended in this moment
		_ = conn.Close()
		return nil, nil, ctx.Err()
	}
	return conn, answer, nil
}

// tunnelBuffer is the size of each buffer of the WebSocket. Larger messages go
// out in several fragments.
const tunnelBuffer = 4 << 10

// Read reads the stream.
func (t *tunnel) Read(p []byte) (int, error) {
	for {
		if t.message == nil {
			kind, r, err := t.NextReader()
			if err != nil {
				t.ended(err)
				return 0, err
			}
			if kind != websocket.BinaryMessage {
				return 0, errors.New("the cloud sent a text message into the tunnel")
			}
			t.message = r
		}
		n, err := t.message.Read(p)
		if errors.Is(err, io.EOF) {
			t.message, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// ended keeps what the gateway gave as its reason.
func (t *tunnel) ended(err error) {
	var told *websocket.CloseError
	if !errors.As(err, &told) || told.Code == websocket.CloseAbnormalClosure {
		return
	}
	p := &problem{what: "the cloud ended the connection", err: errors.New(told.Text)}
	if told.Text == "" {
		p.err = told
	}
	switch told.Code {
	case wire.CloseRevoked:
		p.what, p.todo, p.after = "the cloud has revoked this box", "ask who runs it; a new token joins the box again", revokedPause
	case wire.CloseEnded:
		p.what = "the box's certificate has ended"
	}
	err = p
	t.farewell.Store(&err)
}

// revokedPause is how long a revoked box leaves the cloud alone.
const revokedPause = 10 * time.Minute

// Write sends p as one message.
func (t *tunnel) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.writing.Lock()
	defer t.writing.Unlock()
	_ = t.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := t.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline is what net.Conn asks for and the WebSocket has in two parts.
func (t *tunnel) SetDeadline(at time.Time) error {
	return errors.Join(t.SetReadDeadline(at), t.SetWriteDeadline(at))
}

// SetWriteDeadline does nothing: every write has a deadline of its own.
func (t *tunnel) SetWriteDeadline(time.Time) error { return nil }
