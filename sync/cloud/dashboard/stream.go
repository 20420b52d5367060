package dashboard

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"signalbox/internal/jsonapi"
)

const (
	streamHeartbeat = 15 * time.Second // between comments, and looks at the identity
	streamTimeout   = 5 * time.Second  // for a reader to take an event
	streamRetryMS   = "1000"           // for a browser to come back after
)

// eventSource is an open stream of server-sent events.
type eventSource struct {
	d    *Dashboard
	c    *call
	beat *time.Ticker
}

// open begins a stream and runs it with watch, which says why it ended.
func (d *Dashboard) open(c *call, watch func(*eventSource) (reason string, err error)) error {
	select {
	case d.streams <- struct{}{}:
		defer func() { <-d.streams }()
	default:
		d.metrics.ended.WithLabelValues(streamFull).Inc()
		return jsonapi.Later(http.StatusServiceUnavailable, "busy", 5*time.Second,
			"%d streams are open at this node, the most there may be; close a page or ask another node", cap(d.streams))
	}
	header := c.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // for proxies that would hold events back
	c.w.WriteHeader(http.StatusOK)
	if c.r.Method == http.MethodHead {
		return nil
	}
	d.metrics.streams.Inc()
	defer d.metrics.streams.Dec()
	s := &eventSource{d: d, c: c, beat: time.NewTicker(streamHeartbeat)}
	defer s.beat.Stop()
	reason, err := "", s.send([]byte("retry: "+streamRetryMS+"\n\n"))
	if err != nil {
		reason = streamFault(err)
	} else {
		reason, err = watch(s)
	}
	d.metrics.ended.WithLabelValues(reason).Inc()
	d.log.Debug("stream ended", "remote", c.r.RemoteAddr, "user", c.who.Name, "reason", reason, "err", err)
	return nil // the answer has begun; there is no other way to say what was wrong
}

// send writes parts of an event to a reader that has streamTimeout to take them.
func (s *eventSource) send(parts ...[]byte) error {
	control := http.NewResponseController(s.c.w)
	if err := control.SetWriteDeadline(time.Now().Add(streamTimeout)); err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := s.c.w.Write(part); err != nil {
			return err
		}
	}
	return control.Flush()
}

// wait returns "" when there is news, or why the stream is over.
func (s *eventSource) wait(news <-chan struct{}) (reason string, err error) {
	for {
		select {
		case <-news:
			return "", nil
		case <-s.c.r.Context().Done():
			return streamGone, nil
		case <-s.d.stopped:
			return streamStopped, nil
		case <-s.beat.C:
			if reason, err := s.pulse(); reason != "" {
				return reason, err
			}
		}
	}
}

// pulse shows both ends that the other is there and still welcome.
func (s *eventSource) pulse() (reason string, err error) {
	if !s.stillGood() {
		return streamExpired, nil
	}
	if err := s.send([]byte(":\n\n")); err != nil {
		return streamFault(err), err
	}
	return "", nil
}

// stillGood reports whether the caller would be let in again. While the broker
// does not answer nobody is shown the door.
func (s *eventSource) stillGood() bool {
	if s.c.local {
		return true
	}
	_, err := s.d.cfg.People.Authenticate(s.c.r.Context(), s.c.secret)
	return err == nil || unreachable(err)
}

func streamFault(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return streamSlow
	}
	return streamGone
}

// streamEvents follows the board: the whole of it, or what has changed since
// the position that the caller has seen at any node; then each change.
func (d *Dashboard) streamEvents(c *call) error {
	if d.board.current.Load() == nil {
		return starting()
	}
	return d.open(c, func(s *eventSource) (string, error) {
		now, err := s.begin()
		if err != nil {
			return streamFault(err), err
		}
		for at := now.tail; ; at = at.next {
			if reason, err := s.wait(at.ready); reason != "" {
				return reason, err
			}
			if d.board.current.Load().tail.number-at.number > maxBehind {
				return streamSlow, nil
			}
			if err := s.send(at.frame); err != nil {
				return streamFault(err), err
			}
		}
	})
}

// begin sends the first event and gives the snapshot that it stands for.
func (s *eventSource) begin() (*snapshot, error) {
	seen, err := strconv.ParseUint(s.c.r.Header.Get("Last-Event-ID"), 10, 64)
	now := s.d.board.current.Load()
	if err == nil {
		now = s.d.board.reach(s.c.r.Context(), seen)
		if changed, gone, ok := now.since(seen); ok {
			s.d.metrics.resumed.Inc()
			return now, s.send(now.change(changed, gone))
		}
	}
	head := new(bytes.Buffer)
	head.WriteString("event: overview\nid: " + strconv.FormatUint(now.seq, 10) + "\ndata: ")
	return now, s.send(head.Bytes(), now.overview(), []byte("\n\n"))
}

// reach waits for the board to show a position that this node has read but not
// shown yet, as after a change of nodes within the same half second.
func (b *board) reach(ctx context.Context, seq uint64) *snapshot {
	for end := time.Now().Add(2 * publishEvery); ; {
		now := b.current.Load()
		read, _ := b.cfg.Fleet.Position()
		if now.seq >= seq || read < seq || time.Now().After(end) || !pause(ctx, publishEvery/10) {
			return now
		}
	}
}
