package dashboard

import (
	"fmt"
	"net/http"
	"strings"

	"signalbox/internal/jsonapi"
)

// getHealth answers as long as the process does: what a supervisor that can
// only restart should ask.
func (d *Dashboard) getHealth(c *call) error {
	answerHealth(c, NodeHealth{OK: true}, http.StatusOK)
	return nil
}

// getReady tells whether people and boxes should be sent here.
func (d *Dashboard) getReady(c *call) error {
	board := Part{Name: "dashboard", OK: d.board.current.Load() != nil, Required: true}
	if !board.OK {
		board.Reason = "it is starting"
	}
	health := NodeHealth{OK: true, Parts: append([]Part{board}, d.cfg.Parts()...)}
	status := http.StatusOK
	for _, part := range health.Parts {
		if part.Required && !part.OK {
			health.OK, status = false, http.StatusServiceUnavailable
		}
	}
	answerHealth(c, health, status)
	return nil
}

func answerHealth(c *call, health NodeHealth, status int) {
	if !strings.HasPrefix(c.r.Header.Get("Accept"), "text/") {
		_ = jsonapi.Answer(c.w, status, health) // texts and booleans can be encoded
		return
	}
	header := c.w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	c.w.WriteHeader(status)
	_, _ = fmt.Fprint(c.w, health.text()) // the caller is gone when this fails
}

// text is health for people: a line in all, and one for each part.
func (h NodeHealth) text() string {
	word := map[bool]string{true: "ok", false: "failing"}
	var b strings.Builder
	b.WriteString(word[h.OK] + "\n")
	for _, part := range h.Parts {
		fmt.Fprintf(&b, "%s %s", part.Name, word[part.OK])
		if part.Reason != "" {
			fmt.Fprintf(&b, ": %s", part.Reason)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
