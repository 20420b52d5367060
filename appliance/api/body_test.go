package api_test

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"signalbox/appliance/api"
)

func TestBodyLimits(t *testing.T) {
	b := newBox(t)
	boss := bearer(b.admin)
	b.do("POST", "/v1/rooms", boss, body(`{"name":"r","description":%q}`, strings.Repeat("x", 70<<10))).
		refused(http.StatusRequestEntityTooLarge, "too_large", "64 KiB")
	b.do("POST", "/v1/rooms", boss, body(`{"name":"r"}`), header("Content-Type", "text/plain")).
		refused(http.StatusUnsupportedMediaType, "unsupported_media_type", `"text/plain"`)
	b.do("POST", "/v1/rooms", boss, body(`{"name":"r"}`), header("Content-Type", "application/json; charset=latin1")).
		refused(http.StatusUnsupportedMediaType, "unsupported_media_type", "latin1")
	b.do("POST", "/v1/rooms", boss).refused(http.StatusBadRequest, "bad_request", "empty")
	want[api.Room](b.do("POST", "/v1/rooms", boss, body(`{"name":"r"}`), header("Content-Type", "application/json; charset=UTF-8")), http.StatusCreated)
}

// TestBodyThatNeverComes holds a connection open in the middle of a body.
func TestBodyThatNeverComes(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *box) {
		conn, err := b.client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answered := make(chan string)
		go func() { answered <- firstLine(conn) }()
		start := time.Now()
		_, err = fmt.Fprintf(conn, "POST /v1/rooms HTTP/1.1\r\nHost: box.test\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"name\":", b.admin)
		if err != nil {
			t.Fatal(err)
		}
		if got := <-answered; !strings.HasPrefix(got, "HTTP/1.1 408 ") {
			t.Errorf("answer %q, want 408", got)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("answered after %v, want 10s", took)
		}
		synctest.Wait()
	})
}

func firstLine(conn net.Conn) string {
	line, _ := bufio.NewReader(conn).ReadString('\n')
	return line
}

// TestAnswerThatNobodyReads must not hold a handler for ever.
func TestAnswerThatNobodyReads(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *box) {
		conn, err := b.client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := fmt.Fprint(conn, "GET /v1/openapi.json HTTP/1.1\r\nHost: box.test\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if metrics := string(b.do("GET", "/metrics").body); !strings.Contains(metrics, "signalbox_http_requests_in_flight 1\n") { // this one
			t.Error("a request is still in flight")
		}
	})
}

// TestChangeOutlivesItsCaller: a caller that hangs up does not leave a change
// half done.
func TestChangeOutlivesItsCaller(t *testing.T) {
	inBubble(t, func(c *api.Config) { c.Rooms = slowRooms{c.Rooms.(*rooms)} }, func(t *testing.T, b *box) {
		conn, err := b.client.Transport.(*http.Transport).DialContext(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "POST /v1/rooms HTTP/1.1\r\nHost: box.test\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{\"name\":\"r\"}", b.admin)
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		conn.Close()
		time.Sleep(2 * time.Second)
		if _, ok := b.rooms.Room("r"); !ok {
			t.Error("the room was not made")
		}
		b.do("POST", "/v1/rooms", bearer(b.admin), body(`{"name":"stuck"}`)).
			refused(http.StatusServiceUnavailable, "unavailable", "20s")
	})
}
