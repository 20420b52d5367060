package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

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
	case !websocket.IsWebSocketUpgrade(r) || !slices.Contains(websocket.Subprotocols(r), wire.TunnelSubprotocol):
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
	c, ok := g.identify(w, r)
	if !ok || !c.Proof.Prove(w, nil) {
		return
	}
	conn, err := g.dial(r.Context())
	if err != nil {
		g.log.Warn("a box cannot be brought to the broker", "site", c.Box.Site, "box", c.Box.Box, "err", err)
		g.refuse(w, refusedBroker, 0)
		return
	}
	g.openTunnel(w, r, &tunnel{gateway: g, id: c.Box, until: c.Until, since: time.Now(), broker: conn, done: make(chan struct{})})
}

// openTunnel answers with 101 and starts the goroutines. The handler returns, so
// that what net/http holds for a request is given back.
func (g *Gateway) openTunnel(w http.ResponseWriter, r *http.Request, t *tunnel) {
	session := g.cfg.Broker.Session(t.id, t.until)
	t.guard = guard{id: t.id, session: session}
	// Before the box knows, so that of its tunnels the one it opened last is the newest.
	replaced, why := g.admit(t)
	if why != nil {
		t.broker.Close()
		g.refuse(w, why, 0)
		return
	}
	if replaced != nil {
		replaced.end(wire.CloseReplaced, closedReplaced)
	}
	header := w.Header().Clone() // what identity says, which Upgrade would leave out
	header.Set(wire.SessionHeader, session)
	var err error
	if t.ws, err = g.upgrader.Upgrade(w, r, header); err != nil {
		t.broker.Close()
		g.dismiss(t)
		g.tunnels.Add(-2) // inward and outward never run
		if _, bad := errors.AsType[websocket.HandshakeError](err); bad {
			g.refuse(w, refusedHandshake, 0)
		} else {
			g.counts.refused.add(refusedHandshake) // the connection is gone
		}
		return
	}
	t.ws.SetReadLimit(wire.MaxTunnelMessage)
	t.ws.SetPongHandler(func(string) error { t.hear(); return nil })
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
	defer t.gateway.tunnels.Done()
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
	out, err := t.guard.pass(p)
	if err != nil {
		t.complain(err)
		t.end(wire.CloseProtocol, err.Error())
		return false
	}
	t.box.in.Add(uint64(len(p)))
	t.gateway.counts.in.Add(uint64(len(p)))
	lines := t.guard.lines
	t.guard.lines = 0
	if !t.pace(t.box.limit, len(p)) || !t.pace(t.box.lines, lines) {
		return false
	}
	if len(out) == 0 {
		return true // writing nothing to an in-process connection waits for a reader
	}
	_ = t.broker.SetWriteDeadline(time.Now().Add(writeWait))
	if _, err := t.broker.Write(out); err != nil {
		t.end(wire.CloseBroker, closedBroker)
		return false
	}
	t.hear()
	return true
}

// complainEvery is how often the log is told that a box sends what it must not.
// A box may do so forty times a second; each is counted.
const complainEvery = time.Minute

func (t *tunnel) complain(about error) {
	now := time.Now().UnixNano()
	last := t.box.warned.Load()
	if last != 0 && now-last < int64(complainEvery) || !t.box.warned.CompareAndSwap(last, now) {
		return
	}
	t.gateway.log.Warn("tunnel closed for what the box sent", "site", t.id.Site, "box", t.id.Box, "reason", about.Error())
}

// pace waits until the box may send n more of what limit counts.
func (t *tunnel) pace(limit *rate.Limiter, n int) bool {
	for n > limit.Burst() { // what comes in one read may be more lines than that
		if !t.pace(limit, limit.Burst()) {
			return false
		}
		n -= limit.Burst()
	}
	wait := limit.ReserveN(time.Now(), n).Delay()
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
	case isTimeout(err):
		return websocket.CloseGoingAway, closedSilent
	case errors.Is(err, websocket.ErrReadLimit):
		return websocket.CloseMessageTooBig, closedMessage
	default:
		return websocket.CloseGoingAway, closedLost
	}
}

// isTimeout knows a deadline also where the WebSocket has put it into other words.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// outward brings what the broker sends to the box, asks it whether it lives, and
// sees to the end of the tunnel.
func (t *tunnel) outward() {
	defer t.gateway.tunnels.Done()
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
	ping := t.since.Add(t.gateway.cfg.PingEvery)
	for {
		wake := ping
		if t.until.Before(wake) {
			wake = t.until
		}
		_ = t.broker.SetReadDeadline(wake)
		n, err := t.broker.Read(small)
		if n > 0 && !t.send(small[:n]) {
			return
		}
		if n == len(small) && !t.pumpMore() {
			return
		}
		if err != nil && !isTimeout(err) {
			t.end(wire.CloseBroker, closedBroker)
			return
		}
		// Not only after a timeout: the broker may have something all the time.
		if now := time.Now(); !now.Before(wake) {
			var ok bool
			if ping, ok = t.tick(now); !ok {
				return
			}
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
		if isTimeout(err) {
			reason = closedStuck
		}
		t.end(websocket.CloseGoingAway, reason)
		return false
	}
	return true
}

// tick ends the tunnel with the certificate, or asks whether the box lives, and
// returns when to do so next.
func (t *tunnel) tick(now time.Time) (ping time.Time, ok bool) {
	if !now.Before(t.until) {
		t.end(wire.CloseEnded, closedEnded)
		return time.Time{}, false
	}
	heard := time.Unix(0, t.heard.Load())
	if now.Sub(heard) < t.gateway.cfg.PingEvery {
		return heard.Add(t.gateway.cfg.PingEvery), true
	}
	if err := t.ws.WriteControl(websocket.PingMessage, nil, now.Add(writeWait)); err != nil {
		t.end(websocket.CloseGoingAway, closedLost)
		return time.Time{}, false
	}
	return now.Add(t.gateway.cfg.PongWait / 3), true
}

// sayClose is a courtesy: a box that does not get it finds the connection closed.
func (t *tunnel) sayClose(code int, reason string) {
	_ = t.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(closeWait))
}
