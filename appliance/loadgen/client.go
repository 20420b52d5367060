// Package loadgen holds synthetic clients of the native protocol: a careful
// one that keeps every promise of PROTOCOL.md, for tests and tools, and a lean
// one that makes load for `signalbox bench`.
package loadgen

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Subprotocol is what the client offers.
const Subprotocol = "signalbox.v1.json"

// Options say where and as whom a Client connects.
type Options struct {
	URL     string // ws://host:port/v1/signal
	Token   string
	Name    string
	TLS     *tls.Config
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: net.Dialer

	// MaxBackoff bounds the wait between attempts; 30 s unless set.
	MaxBackoff time.Duration
	// Trace, when set, sees every frame; out is true for those sent.
	Trace func(out bool, frame []byte)
}

// Frame is a frame from the box, with all fields any type has.
type Frame struct {
	Type    string          `json:"type"`
	Seq     uint64          `json:"seq"`
	Ack     uint64          `json:"ack"`
	ID      uint64          `json:"id"`
	Re      uint64          `json:"re"`
	Room    string          `json:"room"`
	From    string          `json:"from"`
	MID     uint64          `json:"mid"`
	Gen     uint64          `json:"gen"`
	Polite  *bool           `json:"polite"`
	Will    bool            `json:"will"`
	Data    json.RawMessage `json:"data"`
	Member  json.RawMessage `json:"member"` // a string in welcome, joined and restart, an object in presence
	Members []Member        `json:"members"`
	Page    int             `json:"page"`
	Last    bool            `json:"last"`
	Version uint64          `json:"version"`
	Key     string          `json:"key"`
	Status  string          `json:"status"`
	Count   int             `json:"count"`
	Reason  string          `json:"reason"`

	Session string     `json:"session"`
	Resumed bool       `json:"resumed"`
	Resume  string     `json:"resume"`
	Epoch   uint64     `json:"epoch"`
	Joined  uint64     `json:"joined"`
	T       int64      `json:"t"`
	PingMS  int64      `json:"ping_ms"`
	DeadMS  int64      `json:"dead_ms"`
	Expires int64      `json:"expires"`
	ICE     ICE        `json:"ice"`
	Limits  Limits     `json:"limits"`
	Servers []ICEEntry `json:"servers"`

	Code         json.RawMessage `json:"code"`  // a string in error, a number in closing
	Error        string          `json:"error"` // in closing
	Message      string          `json:"message"`
	Temporary    bool            `json:"temporary"`
	RetryAfterMS int64           `json:"retry_after_ms"`
}

// Member is a member of a room as a frame shows it.
type Member struct {
	Member  string          `json:"member"`
	Subject string          `json:"subject"`
	Name    string          `json:"name"`
	Meta    json.RawMessage `json:"meta"`
	State   string          `json:"state"`
	Reason  string          `json:"reason"`
	Joined  uint64          `json:"joined"`
	Polite  *bool           `json:"polite"`
}

// ICE is the ice field of a welcome.
type ICE struct {
	Servers []ICEEntry `json:"servers"`
	Expires int64      `json:"expires"`
}

// ICEEntry has the shape of RTCIceServer.
type ICEEntry struct {
	URLs       []string `json:"urls"`
	Username   string   `json:"username"`
	Credential string   `json:"credential"`
}

// Limits are the bounds the box tells in welcome.
type Limits struct {
	FrameBytes    int `json:"frame_bytes"`
	UnackedFrames int `json:"unacked_frames"`
	UnackedBytes  int `json:"unacked_bytes"`
	Rooms         int `json:"rooms"`
}

// ErrorCode is the code of an error frame.
func (f Frame) ErrorCode() string {
	var code string
	_ = json.Unmarshal(f.Code, &code)
	return code
}

// Send is a frame to the box. Seq is set by the client.
type Send struct {
	Type    string          `json:"type"`
	Seq     uint64          `json:"seq,omitempty"`
	ID      uint64          `json:"id,omitempty"`
	Room    string          `json:"room,omitempty"`
	To      string          `json:"to,omitempty"`
	Gen     uint64          `json:"gen,omitempty"`
	Key     string          `json:"key,omitempty"`
	Name    string          `json:"name,omitempty"`
	Meta    json.RawMessage `json:"meta,omitempty"`
	Will    json.RawMessage `json:"will,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Version *uint64         `json:"version,omitempty"`
	Token   string          `json:"token,omitempty"`
}

// Counts are what a client has seen go wrong; all zero in a sound exchange.
type Counts struct {
	Connects, Resumes int
	Gaps              int      // server frames missing: the box broke its promise
	Reset             int      // resumes refused
	Repeats           int      // frames dropped by (from, mid)
	Resets            []string // and why
	Last              error    // how the last socket ended
}

// Client is one session. It reconnects and resumes by itself until Run ends.
type Client struct {
	opts   Options
	frames chan Frame

	mu       sync.Mutex
	free     *sync.Cond // the send window moved, or the client ended
	ws       *websocket.Conn
	session  string
	member   string
	resume   string
	in       uint64 // highest server seq processed
	inAcked  uint64
	next     uint64 // seq of the next frame
	unacked  []sent
	window   int
	seen     map[string]*midWindow
	counts   Counts
	closed   bool
	leaving  bool // Close was called: the session is over
	deadTime time.Duration
}

type sent struct {
	seq   uint64
	frame []byte
}

// midWindow is the last mids of one sender, as many as a sender may have
// unacknowledged, and so send again.
type midWindow struct {
	size  int
	known map[uint64]bool
	order []uint64
}

func (w *midWindow) repeated(mid uint64) bool {
	if w.known[mid] {
		return true
	}
	w.known[mid] = true
	if w.order = append(w.order, mid); len(w.order) > w.size {
		delete(w.known, w.order[0])
		w.order = w.order[1:]
	}
	return false
}

// New makes a client; Run connects it.
func New(opts Options) *Client {
	if opts.MaxBackoff == 0 {
		opts.MaxBackoff = 30 * time.Second
	}
	c := &Client{opts: opts, frames: make(chan Frame, 4096), next: 1, window: 256, seen: make(map[string]*midWindow), deadTime: time.Minute}
	c.free = sync.NewCond(&c.mu)
	return c
}

// Frames gives what comes from the box, in order and without repeats,
// transport frames (ping, ack) left out. The reader must keep up.
func (c *Client) Frames() <-chan Frame { return c.frames }

// Member is the client's member id, "" before the first welcome.
func (c *Client) Member() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.member
}

// Counts tells how the exchange went.
func (c *Client) Counts() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// Unacked is how many frames the box has not acknowledged.
func (c *Client) Unacked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.unacked)
}

// ErrRefused: the box closed with a code that says not to come back.
var ErrRefused = errors.New("the box refuses this client")

// Run keeps the client connected until ctx ends, Close, or the box refuses it.
func (c *Client) Run(ctx context.Context) error {
	defer func() {
		c.mu.Lock()
		c.closed = true
		c.free.Broadcast()
		c.mu.Unlock()
		close(c.frames)
	}()
	for attempt := 0; ; attempt++ {
		welcomed, err := c.connection(ctx)
		if ctx.Err() != nil {
			return nil
		}
		c.mu.Lock()
		c.counts.Last = err
		leaving := c.leaving
		c.mu.Unlock()
		if leaving {
			return nil
		}
		var closed *websocket.CloseError
		if errors.As(err, &closed) && closed.Code >= 4500 {
			return fmt.Errorf("%w: %w", ErrRefused, err)
		}
		if welcomed {
			attempt = 0
		}
		wait := time.Duration(rand.Int64N(int64(min(c.opts.MaxBackoff, 250*time.Millisecond<<min(attempt, 16)))))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// connection is one socket from dial to its end.
func (c *Client) connection(ctx context.Context) (welcomed bool, err error) {
	dialer := websocket.Dialer{
		Subprotocols: []string{Subprotocol}, HandshakeTimeout: 10 * time.Second,
		TLSClientConfig: c.opts.TLS, NetDialContext: c.opts.NetDial, WriteBufferPool: &sync.Pool{},
	}
	ws, resp, err := dialer.DialContext(ctx, c.opts.URL, http.Header{})
	if resp != nil {
		defer resp.Body.Close()
	}
	if err != nil {
		if resp != nil {
			err = fmt.Errorf("%w: HTTP %d", err, resp.StatusCode)
		}
		return false, err
	}
	defer ws.Close()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-ctx.Done():
			_ = ws.Close()
		case <-ended:
		}
	}()
	if err := c.hello(ws); err != nil {
		return false, err
	}
	defer c.detach(ws)
	acks := time.AfterFunc(time.Hour, func() { c.sendAck(ws) })
	defer acks.Stop()
	for {
		_ = ws.SetReadDeadline(time.Now().Add(c.deadTime))
		_, b, err := ws.ReadMessage()
		if err != nil {
			return welcomed, err
		}
		c.trace(false, b)
		var f Frame
		if err := json.Unmarshal(b, &f); err != nil {
			return welcomed, fmt.Errorf("frame from the box: %w", err)
		}
		welcomed = true
		if err := c.frame(ctx, ws, f, acks); err != nil {
			return welcomed, err
		}
	}
}

func (c *Client) trace(out bool, b []byte) {
	if c.opts.Trace != nil {
		c.opts.Trace(out, b)
	}
}

func (c *Client) hello(ws *websocket.Conn) error {
	h := struct {
		Type   string `json:"type"`
		Token  string `json:"token,omitempty"`
		Name   string `json:"name,omitempty"`
		Client string `json:"client"`
		Resume any    `json:"resume,omitempty"`
	}{Type: "hello", Token: c.opts.Token, Name: c.opts.Name, Client: "loadgen"}
	c.mu.Lock()
	if c.session != "" {
		h.Resume = map[string]any{"session": c.session, "token": c.resume, "ack": c.in}
	}
	c.mu.Unlock()
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return c.write(ws, b)
}

func (c *Client) write(ws *websocket.Conn, b []byte) error {
	c.trace(true, b)
	_ = ws.SetWriteDeadline(time.Now().Add(5 * time.Second))
	if err := ws.WriteMessage(websocket.TextMessage, b); err != nil {
		_ = ws.Close() // the reader sees it and reconnects
		return err
	}
	return nil
}

func (c *Client) detach(ws *websocket.Conn) {
	c.mu.Lock()
	if c.ws == ws {
		c.ws = nil
	}
	c.mu.Unlock()
}
