//go:build linux && interop

package interop_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"signalbox/appliance/loadgen"
)

// socket is a WebSocket to a box that says what it likes.
type socket struct {
	t *testing.T
	*websocket.Conn
}

// socket does the WebSocket handshake and nothing more.
func (b *box) socket() socket {
	b.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{loadgen.Subprotocol}, HandshakeTimeout: patience}
	ws, resp, err := dialer.DialContext(b.t.Context(), b.signalURL(), nil)
	if err != nil {
		b.t.Fatalf("handshake: %v, %+v", err, resp)
	}
	_ = resp.Body.Close()
	b.t.Cleanup(func() { _ = ws.Close() })
	return socket{b.t, ws}
}

func (s socket) say(frame string) {
	s.t.Helper()
	if err := s.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		s.t.Fatal(err)
	}
}

// farewell is how the box ended a socket.
type farewell struct {
	closing loadgen.Frame // zero: none was sent
	code    int           // of the close frame; 0: none was sent
}

// drain reads until the socket ends.
func (s socket) drain(within time.Duration) (end farewell) {
	_ = s.SetReadDeadline(time.Now().Add(within))
	for {
		_, b, err := s.ReadMessage()
		if err != nil {
			if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
				end.code = closed.Code
			}
			return end
		}
		var f loadgen.Frame
		if json.Unmarshal(b, &f) == nil && f.Type == "closing" {
			end.closing = f
		}
	}
}

// TestStop ends a box that has clients of every kind: those that listen are
// told to come back, each after a time of its own, and those that do not
// cannot keep it.
func TestStop(t *testing.T) {
	t.Parallel()
	b := startBox(t, nil, "")
	camera, panel := b.device("camera"), b.device("panel")
	camera.join("line-3")
	panel.join("line-3")

	const listeners, late = 30, 40
	ends, lateEnds := make(chan farewell, listeners), make(chan farewell, late)
	hello := fmt.Sprintf(`{"type":"hello","token":%q}`, b.token("listener"))
	for range listeners {
		s := b.socket()
		s.say(hello)
		go func() { ends <- s.drain(time.Minute) }()
	}
	deaf := b.socket() // never reads
	deaf.say(hello)
	for range 10 { // never say anything, to pages and to the relay
		for _, addr := range []string{b.http(), b.https(), b.at(b.ready.TURN[0])} {
			silent(t, addr, "")
		}
	}
	waitFor(t, "every client to be there", patience, func() bool { return b.status().Conns >= listeners+3 })

	for i := range late { // say hello while the box stops, or not at all
		s := b.socket()
		go func() {
			if i < late/2 {
				time.Sleep(time.Duration(i) * time.Millisecond)
				_ = s.WriteMessage(websocket.TextMessage, []byte(hello))
			}
			lateEnds <- s.drain(time.Minute)
		}()
	}
	code, took := b.stop()
	t.Logf("stopped in %v", took.Round(time.Millisecond))
	if code != 0 || took > 5*time.Second {
		t.Errorf("exit code %d after %v, want 0 within 5s", code, took)
	}
	checkFarewells(t, ends, listeners)
	for range late {
		if end := <-lateEnds; end.code != websocket.CloseServiceRestart || end.closing.RetryAfterMS < 1 {
			t.Errorf("a socket that was late with its hello was closed with %d after %+v, want 1012", end.code, end.closing)
		}
	}
	camera.tell("line-3", "while nobody serves")
	b.start()
	for _, d := range []*device{camera, panel} {
		if w := d.await("welcome"); !w.Resumed {
			t.Errorf("%s was not resumed: %s", d.name, w.Reason)
		}
	}
	panel.hear("while nobody serves")
}

// checkFarewells wants 1012 for everybody, and returns spread over seconds.
func checkFarewells(t *testing.T, ends <-chan farewell, n int) {
	t.Helper()
	var after []int64
	for range n {
		end := <-ends
		var said int
		_ = json.Unmarshal(end.closing.Code, &said)
		if end.code != websocket.CloseServiceRestart || said != end.code || !end.closing.Temporary {
			t.Errorf("closed with %d after %+v, want 1012 and a closing frame that says so", end.code, end.closing)
		}
		after = append(after, end.closing.RetryAfterMS)
	}
	slices.Sort(after)
	distinct := len(slices.Compact(slices.Clone(after)))
	if first, last := after[0], after[n-1]; distinct < n*9/10 || last-first < 1000 || first < 1 || last > 5000 {
		t.Errorf("retry_after_ms from %d to %d, %d distinct of %d; want them spread over some seconds", first, last, distinct, n)
	}
}

// silent is a TCP connection that says only this.
func silent(t *testing.T, addr, text string) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return conn
}
