package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"

	"signalbox/sync/wire"
)

// tunnel is one WebSocket and its connection to the broker. Two goroutines serve
// it: inward reads the WebSocket, outward reads the broker. Whoever finds a
// reason to end it calls end, which closes the connection to the broker; outward
// then sends the close frame and closes the WebSocket, and that ends inward.
type tunnel struct {
	gateway *Gateway
	id      wire.BoxID
	box     *box
	until   time.Time
	since   time.Time
	ws      *websocket.Conn
	broker  net.Conn
	guard   guard
	heard   atomic.Int64  // when, Unix nanoseconds
	done    chan struct{} // closed by end

	mu     sync.Mutex
	code   int // of the close frame, 0 while it is open
	reason string
}

func (g *Gateway) serveTunnel(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method != http.MethodGet:
		g.refuse(w, refusedMethod, 0)
		return
	case !websocket.IsWebSocketUpgrade(r) || !offers(r, wire.TunnelSubprotocol):
		g.refuse(w, refusedUpgrade, 0)
		return
	case !g.upgrader.CheckOrigin(r):
		g.refuse(w, refusedOrigin, 0)
		return
	}
	if why := g.room(); why != nil {
		g.refuse(w, why, 0)
		return
	}
	id, until, ok := g.authenticate(w, r)
	if !ok {
		return
	}
	if !time.Now().Before(until) {
		g.refuse(w, refusedEnded, 0)
		return
	}
	conn, err := g.dial(r.Context())
	if err != nil {
		g.log.Warn("a box cannot be brought to the broker", "site", id.Site, "box", id.Box, "err", err)
		g.refuse(w, refusedBroker, 0)
		return
	}
	g.openTunnel(w, r, &tunnel{gateway: g, id: id, until: until, since: time.Now(), broker: conn, done: make(chan struct{})})
}

func offers(r *http.Request, subprotocol string) bool {
	for _, p := range websocket.Subprotocols(r) {
		if p == subprotocol {
			return true
		}
	}
	return false
}

// openTunnel answers with 101 and starts the goroutines. The handler returns, so
// that what net/http holds for a request is given back.
func (g *Gateway) openTunnel(w http.ResponseWriter, r *http.Request, t *tunnel) {
	session := g.cfg.Broker.Session(t.id, t.until)
	t.guard = guard{id: t.id, session: session}
	header := w.Header().Clone() // what identity says, which Upgrade would leave out
	header.Set(wire.SessionHeader, session)
	var err error
	if t.ws, err = g.upgrader.Upgrade(w, r, header); err != nil {
		t.broker.Close()
		var bad websocket.HandshakeError
		if errors.As(err, &bad) {
			g.refuse(w, refusedHandshake, 0)
		} else {
			g.counts.refused.add(refusedHandshake) // the connection is gone
		}
		return
	}
	t.ws.SetReadLimit(wire.MaxTunnelMessage)
	t.ws.SetPongHandler(func(string) error { t.hear(); return nil })
	replaced, why := g.admit(t)
	if why != nil {
		g.counts.refused.add(why)
		t.sayClose(wire.CloseRestart, closedRestart)
		t.ws.Close()
		t.broker.Close()
		return
	}
	if replaced != nil {
		replaced.end(wire.CloseReplaced, closedReplaced)
	}
	g.counts.opened.Add(1)
	g.log.Debug("tunnel opened", "site", t.id.Site, "box", t.id.Box, "remote", r.RemoteAddr)
	t.hear()
	// It may have been revoked since it was let in, when it was not to be found.
	if !g.cfg.Registry.MayConnect(t.id) {
		t.end(wire.CloseRevoked, closedRevoked)
	}
	go t.inward()
	go t.outward()
}

// hear notes that the box is alive. Only inward calls it, once it runs.
func (t *tunnel) hear() {
	now := time.Now()
	t.heard.Store(now.UnixNano())
	t.box.last.Store(now.UnixNano())
	t.ws.SetReadDeadline(now.Add(t.gateway.cfg.PingEvery + t.gateway.cfg.PongWait))
}

// end begins the end; the first reason counts.
func (t *tunnel) end(code int, reason string) {
	t.mu.Lock()
	first := t.code == 0
	if first {
		t.code, t.reason = code, reason
	}
	t.mu.Unlock()
	if first {
		close(t.done)
		t.broker.Close()
	}
}

// inward brings what the box sends to the broker.
func (t *tunnel) inward() {
	for {
		kind, message, err := t.ws.NextReader()
		if err != nil {
			t.end(closingOf(err))
			return
		}
		t.hear()
		if kind != websocket.BinaryMessage {
			t.end(websocket.CloseUnsupportedData, closedMessage)
			return
		}
		if !t.carry(message) {
			return
		}
	}
}

// carry brings one message to the broker. The buffer is taken for as long as
// that takes: an idle tunnel holds none.
func (t *tunnel) carry(message io.Reader) bool {
	g := t.gateway
	buf := g.large.Get().(*[largeBuffer]byte)
	defer g.large.Put(buf)
	for {
		n, err := message.Read(buf[:])
		if n > 0 && !t.forward(buf[:n]) {
			return false
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			t.end(closingOf(err))
			return false
		}
	}
}

// forward checks some bytes and writes them to the broker, no faster than the
// box may.
func (t *tunnel) forward(p []byte) bool {
	if err := t.guard.check(p); err != nil {
		t.gateway.log.Warn("tunnel closed for what the box sent", "site", t.id.Site, "box", t.id.Box, "reason", err.Error())
		t.end(wire.CloseProtocol, err.Error())
		return false
	}
	t.box.in.Add(uint64(len(p)))
	t.gateway.counts.in.Add(uint64(len(p)))
	if !t.pace(len(p)) {
		return false
	}
	_ = t.broker.SetWriteDeadline(time.Now().Add(writeWait))
	if _, err := t.broker.Write(p); err != nil {
		t.end(wire.CloseBroker, closedBroker)
		return false
	}
	t.hear()
	return true
}

// pace waits until the box may send n bytes more.
func (t *tunnel) pace(n int) bool {
	wait := t.box.limit.ReserveN(time.Now(), n).Delay()
	if wait == 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.done:
		return false
	}
}

// closingOf is what an error of reading the WebSocket means.
func closingOf(err error) (int, string) {
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return websocket.CloseNormalClosure, closedByBox
	case errors.Is(err, os.ErrDeadlineExceeded):
		return websocket.CloseGoingAway, closedSilent
	case errors.Is(err, websocket.ErrReadLimit):
		return websocket.CloseMessageTooBig, closedMessage
	default:
		return websocket.CloseGoingAway, closedLost
	}
}

// outward brings what the broker sends to the box, asks it whether it lives, and
// sees to the end of the tunnel.
func (t *tunnel) outward() {
	defer t.gateway.dismiss(t)
	t.pump()
	t.mu.Lock()
	code, reason := t.code, t.reason
	t.mu.Unlock()
	t.sayClose(code, reason)
	t.ws.Close()
	t.gateway.counts.closed.add(reason)
	t.gateway.log.Debug("tunnel closed", "site", t.id.Site, "box", t.id.Box, "reason", reason)
}

func (t *tunnel) pump() {
	small := make([]byte, smallBuffer)
	for {
		wake := t.nextWake()
		_ = t.broker.SetReadDeadline(wake)
		n, err := t.broker.Read(small)
		if n > 0 && !t.send(small[:n]) {
			return
		}
		if n == len(small) && !t.pumpMore() {
			return
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = t.tick()
		}
		if err != nil {
			t.end(wire.CloseBroker, closedBroker)
			return
		}
	}
}

// pumpMore goes on with a large buffer for as long as there is much.
func (t *tunnel) pumpMore() bool {
	buf := t.gateway.large.Get().(*[largeBuffer]byte)
	defer t.gateway.large.Put(buf)
	for n := len(buf); n >= smallBuffer; {
		var err error
		_ = t.broker.SetReadDeadline(time.Now().Add(time.Millisecond))
		if n, err = t.broker.Read(buf[:]); err != nil {
			return true // pump finds out why
		}
		if !t.send(buf[:n]) {
			return false
		}
	}
	return true
}

func (t *tunnel) send(p []byte) bool {
	t.box.out.Add(uint64(len(p)))
	t.gateway.counts.out.Add(uint64(len(p)))
	_ = t.ws.SetWriteDeadline(time.Now().Add(writeWait))
	if err := t.ws.WriteMessage(websocket.BinaryMessage, p); err != nil {
		reason := closedLost
		if errors.Is(err, os.ErrDeadlineExceeded) {
			reason = closedStuck
		}
		t.end(websocket.CloseGoingAway, reason)
		return false
	}
	return true
}

// nextWake is when outward has something to do though the broker is silent.
func (t *tunnel) nextWake() time.Time {
	ping := time.Unix(0, t.heard.Load()).Add(t.gateway.cfg.PingEvery)
	if now := time.Now(); !ping.After(now) {
		ping = now.Add(t.gateway.cfg.PongWait / 3) // asked already, or about to be: again soon
	}
	if t.until.Before(ping) {
		return t.until
	}
	return ping
}

// tick ends the tunnel with the certificate, or asks whether the box lives.
func (t *tunnel) tick() error {
	now := time.Now()
	if !now.Before(t.until) {
		t.end(wire.CloseEnded, closedEnded)
		return context.Canceled
	}
	if now.Sub(time.Unix(0, t.heard.Load())) < t.gateway.cfg.PingEvery {
		return nil // it has been heard since
	}
	if err := t.ws.WriteControl(websocket.PingMessage, nil, now.Add(writeWait)); err != nil {
		t.end(websocket.CloseGoingAway, closedLost)
		return err
	}
	return nil
}

// sayClose is a courtesy: a box that does not get it finds the connection closed.
func (t *tunnel) sayClose(code int, reason string) {
	_ = t.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeWait))
}
