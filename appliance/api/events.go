package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"sync"
	"time"

	"signalbox/internal/jsonapi"
)

const (
	eventPeriod    = 500 * time.Millisecond // between two status events
	eventHeartbeat = 15 * time.Second       // between comments, and looks at the identity
	eventTimeout   = 5 * time.Second        // for a reader to take an event
	eventRetryMS   = "2000"                 // for a browser to come back after
)

// sampler makes a status event for all streams together, at most once a period.
type sampler struct {
	mu      sync.Mutex
	at      time.Time // when the last one was begun
	content []byte    // without the uptime, which is no news
	event   []byte    // immutable once set
	version uint64    // of event
}

// latest is the current event and its version, which grows when the status
// changes. While one caller makes a new event, others get the one before.
func (s *sampler) latest(now time.Time, status func() Status) (event []byte, version uint64, err error) {
	s.mu.Lock()
	if s.event != nil && now.Sub(s.at) < eventPeriod*9/10 { // tickers are not exact
		defer s.mu.Unlock()
		return s.event, s.version, nil
	}
	s.at = now
	s.mu.Unlock()

	current := status()
	uptime := current.UptimeSeconds
	current.UptimeSeconds = 0
	content, err := json.Marshal(current)
	if err != nil {
		return nil, 0, err
	}
	current.UptimeSeconds = uptime
	data, err := json.Marshal(current)
	if err != nil {
		return nil, 0, err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.event == nil || !bytes.Equal(content, s.content) {
		s.content, s.version = content, s.version+1
		s.event = append(append([]byte("event: status\ndata: "), data...), "\n\n"...)
	}
	return s.event, s.version, nil
}

func (a *API) streamEvents(c *call) error {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		a.metrics.ended.WithLabelValues(streamFull).Inc()
		return jsonapi.Later(http.StatusServiceUnavailable, "busy", 5*time.Second,
			"%d status streams are open, the most there may be; close a console page", cap(a.streams))
	}
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	a.metrics.streams.Inc()
	defer a.metrics.streams.Dec()
	reason, err := a.stream(c)
	a.metrics.ended.WithLabelValues(reason).Inc()
	a.log.Debug("status stream ended", "remote", c.r.RemoteAddr, "user", c.who.Subject, "reason", reason, "err", err)
	return nil // the answer has begun; there is no other way to say what was wrong
}

// stream writes events until one side has had enough, and says why it ended.
func (a *API) stream(c *call) (reason string, err error) {
	tick, beat := time.NewTicker(eventPeriod), time.NewTicker(eventHeartbeat)
	defer tick.Stop()
	defer beat.Stop()
	if err := c.send([]byte("retry: " + eventRetryMS + "\n\n")); err != nil {
		return streamFault(err), err
	}
	for sent := uint64(0); ; {
		event, version, err := a.status.latest(time.Now(), a.fullStatus)
		if err != nil {
			return streamStopped, err
		}
		if version != sent {
			if err := c.send(event); err != nil {
				return streamFault(err), err
			}
			sent = version
		}
		select {
		case <-c.r.Context().Done():
			return streamGone, nil
		case <-a.stopped:
			return streamStopped, nil
		case <-tick.C:
		case <-beat.C:
			if !a.stillGood(c.who) {
				return streamExpired, nil
			}
			if err := c.send([]byte(":\n\n")); err != nil {
				return streamFault(err), err
			}
		}
	}
}

// stillGood reports whether the caller would be let in again.
func (a *API) stillGood(who caller) bool {
	if who.via == viaControl {
		return true
	}
	_, err := a.cfg.Tokens.Verify(who.token)
	return err == nil
}

// send writes to a reader that has eventTimeout to take it.
func (c *call) send(text []byte) error {
	control := http.NewResponseController(c.w)
	if err := control.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil {
		return err
	}
	if _, err := c.w.Write(text); err != nil {
		return err
	}
	return control.Flush()
}

func streamFault(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return streamSlow
	}
	return streamGone
}
