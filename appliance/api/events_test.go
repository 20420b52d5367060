package api_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/auth"
)

// stream opens the status stream.
func (b *box) stream(token string) *events {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "GET", b.url+"/v1/events", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		b.t.Fatalf("status %d with %s", response.StatusCode, response.Header.Get("Content-Type"))
	}
	b.t.Cleanup(func() { response.Body.Close() })
	document().Saw("get /v1/events")
	return &events{t: b.t, body: response.Body, lines: bufio.NewReaderSize(response.Body, 1<<16)}
}

type events struct {
	t     testing.TB
	body  io.ReadCloser
	lines *bufio.Reader
}

// next reads up to an empty line; "" when the stream has ended.
func (e *events) next() string {
	var block strings.Builder
	for {
		line, err := e.lines.ReadString('\n')
		if err != nil || line == "\n" {
			return block.String()
		}
		block.WriteString(line)
	}
}

func (e *events) status() (s api.Status) {
	e.t.Helper()
	block := e.next()
	data, ok := strings.CutPrefix(block, "event: status\ndata: ")
	if !ok {
		e.t.Fatalf("event %.100q, want a status", block)
	}
	if err := document().Validate([]byte(data), "Status"); err != nil {
		e.t.Error(err)
	}
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		e.t.Fatal(err)
	}
	return s
}

func TestEventsFollowTheStatus(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *box) {
		e := b.stream(b.admin)
		defer e.body.Close()
		if got := e.next(); got != "retry: 2000\n" {
			t.Errorf("the stream begins with %q", got)
		}
		if got := e.status(); !got.Ready || got.UptimeSeconds == 0 {
			t.Errorf("first status %+v", got)
		}
		start := time.Now()
		b.setPart(api.Part{Name: "store", Required: true, Reason: "gone"})
		if got := e.status(); got.Ready {
			t.Error("the change is not in the second event")
		}
		if after := time.Since(start); after > 500*time.Millisecond {
			t.Errorf("the change came after %v, want half a second at most", after)
		}
		if got := e.next(); got != ":\n" { // nothing but time has changed since
			t.Errorf("got %q, want the heartbeat", got)
		}
		if after := time.Since(start); after < 14*time.Second || after > 16*time.Second {
			t.Errorf("heartbeat after %v, want 15 s", after)
		}
	})
}

func TestEventsComeTwiceASecondAtMost(t *testing.T) {
	var calls atomic.Int64
	inBubble(t, func(c *api.Config) { c.Box = &busy{box: c.Box.(*box), calls: &calls} }, func(t *testing.T, b *box) {
		var all []*events
		for range 3 {
			e := b.stream(b.admin)
			defer e.body.Close()
			e.next()
			all = append(all, e)
		}
		for range 10 {
			for _, e := range all {
				e.status()
			}
		}
		// 3 streams of 10 events in about 5 s.
		if n := calls.Load(); n > 14 {
			t.Errorf("the status was made %d times, want about 10 for all streams together", n)
		}
	})
}

// busy is a box whose status is never the same.
type busy struct {
	*box
	calls *atomic.Int64
}

func (b *busy) Status() api.Status {
	s := b.box.Status()
	s.Signaling.BytesIn = uint64(b.calls.Add(1))
	return s
}

func TestEventsEndWithTheIdentity(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *box) {
		e := b.stream(b.token("ops", auth.AllRights, "*"))
		defer e.body.Close()
		e.next()
		e.status()
		if err := b.auth.Revoke(t.Context(), auth.Revocation{Subject: "ops"}); err != nil {
			t.Fatal(err)
		}
		if got := e.next(); got != "" {
			t.Errorf("got %q from a revoked identity, want the end", got)
		}
		b.ended("expired", 1)
	})
}

func TestEventsEndWhenTheBoxStops(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *box) {
		e := b.stream(b.admin)
		defer e.body.Close()
		e.next()
		e.status()
		_ = b.api.Close()
		if got := e.next(); got != "" {
			t.Errorf("got %q, want the end", got)
		}
		b.ended("stopped", 1)
	})
}

func TestEventsOfASlowReaderEnd(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *box) {
		e := b.stream(b.admin)
		defer e.body.Close()
		time.Sleep(time.Minute) // a pipe holds nothing: the first event waits
		b.ended("slow", 1)
	})
}

func TestEventsEndWithTheReader(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *box) {
		e := b.stream(b.admin)
		e.next()
		e.status()
		e.body.Close()
		time.Sleep(time.Minute)
		b.ended("gone", 1)
	})
}

func TestEventStreamsAreBounded(t *testing.T) {
	inBubble(t, func(c *api.Config) { c.EventStreams = 1 }, func(t *testing.T, b *box) {
		e := b.stream(b.admin)
		b.do("GET", "/v1/events", bearer(b.admin)).refused(http.StatusServiceUnavailable, "busy", "1 status streams")
		b.ended("full", 1)
		e.body.Close()
		time.Sleep(time.Minute)
		b.stream(b.admin).body.Close()
	})
}

// ended checks how many streams have ended for that reason.
func (b *box) ended(reason string, times int) {
	b.t.Helper()
	synctest.Wait()
	line := `signalbox_http_event_streams_ended_total{reason="` + reason + `"} ` + itoa(uint64(times))
	if !strings.Contains(string(b.do("GET", "/metrics").body), line+"\n") {
		b.t.Errorf("metrics lack %s", line)
	}
}
