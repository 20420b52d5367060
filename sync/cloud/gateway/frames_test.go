package gateway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/wire"
)

// posted is the head of an answer whose body has been read.
type posted struct {
	Status     string
	StatusCode int
	Header     http.Header
}

func (l *lab) post(t *testing.T, id wire.BoxID, ask string, body []byte) (posted, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url+wire.FramesPath, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Box "+id.String())
	r.Header.Set(wire.AskHeader, ask)
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return posted{resp.Status, resp.StatusCode, resp.Header}, string(text)
}

func TestPost(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{})
	const ask = `{"version":"1.0","incarnation":"18446744073709551615","oldest":1,"newest":9,"policy":3}`
	if resp, text := l.post(t, boxA, ask, []byte("batch")); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("nobody answers: got %s %s", resp.Status, text)
	}
	l.projector(t)
	for range 2 { // it has been stored, and is not again
		resp, text := l.post(t, boxA, ask, []byte("batch"))
		var s wire.Standing
		if err := json.Unmarshal([]byte(text), &s); err != nil || resp.Header.Get("Test-Proof") != "cloud"+text || resp.StatusCode != http.StatusOK || s.Applied != 9 || s.Incarnation != 1<<64-1 {
			t.Errorf("got %s %s", resp.Status, text)
		}
	}
	if got := l.stored(t); got != 1 {
		t.Errorf("stored: got %d, want 1", got)
	}
	stream, err := l.broker.JetStream().Stream(t.Context(), broker.StreamUp)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetMsg(t.Context(), 1); err != nil || m.Subject != boxA.FramesSubject() || string(m.Data) != "batch" {
		t.Errorf("stored: got %+v, %v", m, err)
	}
	if resp, text := l.post(t, boxB, ask, []byte("batch")); resp.StatusCode != http.StatusOK {
		t.Errorf("another box with the same bytes: got %s %s", resp.Status, text)
	}
	if resp, text := l.post(t, boxA, ask, nil); resp.StatusCode != http.StatusOK {
		t.Errorf("only asking: got %s %s", resp.Status, text)
	}
	if got := l.stored(t); got != 2 {
		t.Errorf("stored: got %d, want 2", got)
	}
	if resp, text := l.post(t, boxA, ask, make([]byte, maxBatchBytes)); resp.StatusCode != http.StatusOK {
		t.Errorf("the largest: got %s %s", resp.Status, text)
	}
	for _, c := range []struct {
		what, ask string
		body      []byte
		status    int
		reason    string
	}{
		{"no ask", "", nil, http.StatusBadRequest, "ask"},
		{"an ask that is no JSON", "{", nil, http.StatusBadRequest, "ask"},
		{"an ask that is a list", "[]", nil, http.StatusBadRequest, "ask"},
		{"a long ask", `{"version":"` + strings.Repeat("x", wire.MaxAskBytes) + `"}`, nil, http.StatusBadRequest, "ask"},
		{"not what the box has signed", ask, []byte("changed on the way"), http.StatusBadRequest, "digest"},
		{"too large", ask, make([]byte, maxBatchBytes+1), http.StatusRequestEntityTooLarge, "oversize"},
	} {
		if resp, text := l.post(t, boxA, c.ask, c.body); resp.StatusCode != c.status || !strings.Contains(text, `"error":"`+c.reason+`"`) {
			t.Errorf("%s: got %s %s, want %d %s", c.what, resp.Status, text, c.status, c.reason)
		}
	}
	// Without saying how long it is.
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, l.url+wire.FramesPath, io.MultiReader(bytes.NewReader(make([]byte, maxBatchBytes+1))))
	r.Header.Set("Authorization", "Box "+boxA.String())
	r.Header.Set(wire.AskHeader, ask)
	if resp, err := http.DefaultTransport.RoundTrip(r); err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("too large, chunked: got %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	if err := l.registry.RevokeBox(t.Context(), boxA, "eve"); err != nil {
		t.Fatal(err)
	}
	if resp, text := l.post(t, boxA, ask, []byte("late")); resp.StatusCode != http.StatusForbidden {
		t.Errorf("revoked: got %s %s", resp.Status, text)
	}
	l.identity.until.Store(time.Now().Unix() - 1)
	if resp, text := l.post(t, boxB, ask, []byte("late")); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("ended: got %s %s", resp.Status, text)
	}
	if got := l.stored(t); got != 3 {
		t.Errorf("stored: got %d, want 3", got)
	}
	if s := l.Stats(); s.Posts != 5 || s.BytesIn < maxBatchBytes {
		t.Errorf("got %+v", s)
	}
}

func TestPostsArePaced(t *testing.T) {
	t.Parallel()
	l := newLab(t, Config{BoxBytes: 1 << 10, BoxRate: 100})
	l.projector(t)
	if resp, text := l.post(t, boxA, "{}", make([]byte, 1000)); resp.StatusCode != http.StatusOK {
		t.Fatalf("got %s %s", resp.Status, text)
	}
	resp, text := l.post(t, boxA, "{}", make([]byte, 1000))
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || !strings.Contains(text, `"rate"`) {
		t.Errorf("got %s %s", resp.Status, text)
	}
	if resp, text := l.post(t, boxB, "{}", make([]byte, 1000)); resp.StatusCode != http.StatusOK {
		t.Errorf("another box: got %s %s", resp.Status, text)
	}
}
