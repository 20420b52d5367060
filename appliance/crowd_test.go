package appliance

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Strangers who open connections and say nothing, or begin a request and no
// more, keep nobody out and the box alive: the watchdog's check goes by the same
// port. A request that is under way is not broken off for them.
func TestCrowd(t *testing.T) {
	b, _ := running(t, t.TempDir())
	const most = 20
	b.crowd.mu.Lock()
	b.crowd.most = most
	b.crowd.mu.Unlock()
	addr := b.http[0].listener.Addr().String()

	events, server := net.Pipe() // a body that never ends is a request under way
	defer events.Close()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/v1/invites/redeem", server)
	if err != nil {
		t.Fatal(err)
	}
	answered := make(chan error, 1)
	go func() {
		answer, err := http.DefaultTransport.RoundTrip(r)
		if err == nil {
			err = answer.Body.Close()
		}
		answered <- err
	}()
	if _, err := events.Write([]byte(" ")); err != nil { // read by the client's transport
		t.Fatal(err)
	}
	for asking := 0; asking == 0; time.Sleep(5 * time.Millisecond) {
		if _, asking, _ = b.crowd.count(); t.Context().Err() != nil {
			t.Fatal("the request does not arrive")
		}
	}

	var silent []net.Conn
	for i := range 3 * most {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			if _, err := conn.Write([]byte("GET ")); err != nil {
				t.Fatal(err)
			}
		}
		silent = append(silent, conn)
	}
	// The first of them has made room.
	_ = silent[0].SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := bufio.NewReader(silent[0]).ReadString('\n'); err == nil {
		t.Error("the box has answered a stranger who said nothing")
	} else if e, ok := errors.AsType[net.Error](err); ok && e.Timeout() {
		t.Error("the stranger who has waited longest is still there")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.Pulse(ctx); err != nil {
		t.Errorf("the box does not answer itself: %v", err)
	}
	if open, _, dropped := b.crowd.count(); open > most || dropped < 2*most {
		t.Errorf("%d connections are open and %d were dropped, of %d with %d allowed", open, dropped, 3*most, most)
	}
	select {
	case err := <-answered:
		t.Errorf("the request under way has ended: %v", err)
	default:
	}
	if err := events.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil && !strings.Contains(err.Error(), io.EOF.Error()) {
		t.Logf("the request ends with %v", err)
	}
	for _, conn := range silent {
		conn.Close()
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for open := 1; open > 0; time.Sleep(10 * time.Millisecond) { // as they close
		if open, _, _ = b.crowd.count(); ctx.Err() != nil {
			t.Fatalf("%d connections are counted for ever", open)
		}
	}
}
