// Package fleet plays boxes against a cloud node, with nothing of a box but what
// the cloud sees of one: a join, a proof, a tunnel, signed batches. Thousands of
// them fit into a process.
package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"

	"signalbox/sync/upstream/identity"
	"signalbox/sync/wire"
)

// Admin speaks to a node's API as an administrator.
type Admin struct {
	URL    string       // of the node, or any for a client that dials its socket
	Key    string       // an API key; empty where the client's way is enough
	Client *http.Client // one that trusts the node
}

// Call makes a request and reads its JSON answer into out, unless that is nil.
func (a *Admin) Call(ctx context.Context, method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, a.URL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	if a.Key != "" {
		r.Header.Set("Authorization", "Bearer "+a.Key)
	}
	answer, err := a.Client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(answer.Body); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %.300s", method, path, answer.Status, &text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text.Bytes(), out)
}

// Invite makes a site and tells how a box joins it; whose, is for the caller to
// say.
func (a *Admin) Invite(ctx context.Context, site string) (identity.JoinOptions, error) {
	var made struct {
		Command string `json:"command"`
	}
	opts := identity.JoinOptions{Version: "v0.0.0"}
	if err := a.Call(ctx, http.MethodPost, "/v1/sites", map[string]string{"site": site}, &made); err != nil {
		return opts, err
	}
	words := strings.Fields(made.Command) // signalbox join URL --token TOKEN --ca HASH
	if len(words) != 7 {
		return opts, fmt.Errorf("join command: got %q", made.Command)
	}
	opts.URL, opts.Token, opts.CA = words[2], words[4], words[6]
	return opts, nil
}

// Join makes a site and has the box of that name join it. Its identity lies in
// dir.
func (a *Admin) Join(ctx context.Context, site, box, address, dir string) (*identity.Identity, error) {
	opts, err := a.Invite(ctx, site)
	if err != nil {
		return nil, err
	}
	opts.Dir, opts.URL, opts.Box = dir, address, box
	return identity.Join(ctx, opts)
}

// Dialer opens tunnels. TLS is what connections trust: one for all boxes of a
// cloud, since each identity's own would take memory that no box shares.
type Dialer struct {
	TLS  *tls.Config
	Dial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: TCP
}

const (
	dialTimeout  = 20 * time.Second
	writeTimeout = 30 * time.Second
	bufferBytes  = 4 << 10
)

// challenge has a node give a nonce for a proof.
func (d *Dialer) challenge(ctx context.Context, ws *websocket.Dialer, target *url.URL) (nonce string, err error) {
	_, answer, err := ws.DialContext(ctx, target.String(), nil) //nolint:bodyclose // gorilla/websocket reads it to its end
	if answer == nil || answer.StatusCode != http.StatusUnauthorized {
		return "", fmt.Errorf("no challenge: %w", errors.Join(err, status(answer)))
	}
	for _, challenge := range answer.Header.Values("WWW-Authenticate") {
		if n, ok := wire.ParseChallenge(challenge); ok {
			nonce = n
		}
	}
	return nonce, nil
}

// Open opens a tunnel as the box. session is what the broker knows it by.
func (d *Dialer) Open(ctx context.Context, id *identity.Identity, endpoint string) (ws *websocket.Conn, session string, err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, "", err
	}
	target := &url.URL{Scheme: "wss", Host: u.Host, Path: wire.TunnelPath}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	secure := d.TLS.Clone()
	secure.ClientSessionCache = tls.NewLRUClientSessionCache(1) // the second handshake is a short one, as a box's
	dialer := &websocket.Dialer{
		TLSClientConfig: secure, Subprotocols: []string{wire.TunnelSubprotocol}, NetDialContext: d.Dial,
		ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes,
	}
	nonce, err := d.challenge(ctx, dialer, target)
	if err != nil {
		return nil, "", err
	}
	proof, err := id.Prove(nonce, http.MethodGet, target, nil)
	if err != nil {
		return nil, "", err
	}
	conn, answer, err := dialer.DialContext(ctx, target.String(), http.Header{"Authorization": {proof.Header()}}) //nolint:bodyclose // as above
	if err != nil {
		return nil, "", errors.Join(err, status(answer))
	}
	if err := id.VerifyCloud(proof, answer.Header, nil); err != nil {
		_ = conn.Close()
		return nil, "", err
	}
	conn.SetReadLimit(wire.MaxTunnelMessage)
	return conn, answer.Header.Get(wire.SessionHeader), nil
}

// Connect opens a tunnel as the box and a connection to the broker through it,
// which does not come again by itself. closed, which may be nil, is called when
// it has ended.
func (d *Dialer) Connect(ctx context.Context, id *identity.Identity, endpoint string, closed func()) (*nats.Conn, error) {
	conn, session, err := d.Open(ctx, id, endpoint)
	if err != nil {
		return nil, err
	}
	box := id.Box()
	nc, err := nats.Connect("nats://tunnel",
		nats.SetCustomDialer(oneConn{&stream{Conn: conn}}), nats.SkipHostLookup(), nats.IgnoreDiscoveredServers(),
		nats.UserInfoHandler(func() (string, string) { return session, "" }), nats.CustomInboxPrefix(box.InboxPrefix()),
		nats.NoReconnect(), nats.ReconnectBufSize(-1), nats.Timeout(dialTimeout), nats.WriteBufferSize(bufferBytes),
		nats.PingInterval(1000*time.Hour), nats.FlusherTimeout(writeTimeout),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.ClosedHandler(func(*nats.Conn) {
			if closed != nil {
				closed()
			}
		}))
	if err != nil {
		_ = conn.Close()
	}
	return nc, err
}

func status(answer *http.Response) error {
	if answer == nil {
		return nil
	}
	return errors.New(answer.Status)
}

// stream makes a stream of a WebSocket's binary messages.
type stream struct {
	*websocket.Conn
	left []byte
}

func (s *stream) Read(p []byte) (int, error) {
	for len(s.left) == 0 {
		_, data, err := s.ReadMessage()
		if err != nil {
			return 0, err
		}
		s.left = data
	}
	n := copy(p, s.left)
	s.left = s.left[n:]
	return n, nil
}

func (s *stream) Write(p []byte) (int, error) {
	_ = s.Conn.SetWriteDeadline(time.Now().Add(writeTimeout))
	if err := s.WriteMessage(websocket.BinaryMessage, p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SetDeadline is of net.Conn; reads end with the connection.
func (s *stream) SetDeadline(time.Time) error { return nil }

// SetWriteDeadline is of net.Conn; every write has a deadline of its own.
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

type oneConn struct{ net.Conn }

func (c oneConn) Dial(_, _ string) (net.Conn, error) { return c.Conn, nil }
