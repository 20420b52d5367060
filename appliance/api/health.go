package api

import (
	"fmt"
	"net/http"
	"strings"

	"signalbox/internal/jsonapi"
)

// getHealth answers as long as the process does: what a supervisor that can
// only restart should ask.
func (a *API) getHealth(c *call) error {
	a.answerHealth(c, Health{OK: true}, http.StatusOK)
	return nil
}

// getReady tells whether devices should be sent here.
func (a *API) getReady(c *call) error {
	parts := a.cfg.Box.Parts()
	health := Health{OK: ready(parts), Parts: parts}
	status := http.StatusOK
	if !health.OK {
		status = http.StatusServiceUnavailable
	}
	a.answerHealth(c, health, status)
	return nil
}

// ready reports whether every part the box cannot live without is well.
func ready(parts []Part) bool {
	for _, part := range parts {
		if part.Required && !part.OK {
			return false
		}
	}
	return true
}

func (a *API) answerHealth(c *call, health Health, status int) {
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
func (h Health) text() string {
	var b strings.Builder
	b.WriteString(okWord(h.OK) + "\n")
	for _, part := range h.Parts {
		fmt.Fprintf(&b, "%s %s", part.Name, okWord(part.OK))
		if part.Reason != "" {
			fmt.Fprintf(&b, ": %s", part.Reason)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func okWord(ok bool) string {
	if ok {
		return "ok"
	}
	return "failing"
}

func (a *API) getWellKnown(*call) (WellKnown, error) { return a.cfg.Box.WellKnown(), nil }
