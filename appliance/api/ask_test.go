package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"signalbox/internal/jsonapi"
)

// ask is a request in the making.
type ask struct {
	method, url string
	body        string
	header      http.Header
}

type option func(*ask)

func body(format string, args ...any) option {
	return func(a *ask) {
		a.body = fmt.Sprintf(format, args...)
		a.header.Set("Content-Type", "application/json")
	}
}

func header(name, value string) option { return func(a *ask) { a.header.Set(name, value) } }

func bearer(token string) option { return header("Authorization", "Bearer "+token) }

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

// do sends a request to the network side and holds the answer against the
// OpenAPI document.
func (b *box) do(method, path string, opts ...option) answer {
	b.t.Helper()
	return b.send(method, b.url, path, opts...)
}

// raw leaves out the document, for what HTTP itself answers.
func (b *box) raw(method, path string, opts ...option) answer {
	b.t.Helper()
	_, got := b.exchange(method, b.url, path, opts...)
	return got
}

// onControl does the same through the control side.
func (b *box) onControl(method, path string, opts ...option) answer {
	b.t.Helper()
	return b.send(method, b.control, path, opts...)
}

func (b *box) send(method, base, path string, opts ...option) answer {
	b.t.Helper()
	a, got := b.exchange(method, base, path, opts...)
	checkAgainstDocument(b.t, a, got)
	return got
}

func (b *box) exchange(method, base, path string, opts ...option) (a ask, got answer) {
	b.t.Helper()
	a = ask{method: method, url: base + path, header: http.Header{}}
	for _, opt := range opts {
		opt(&a)
	}
	var payload io.Reader = http.NoBody
	if a.body != "" {
		payload = strings.NewReader(a.body)
	}
	r, err := http.NewRequestWithContext(b.t.Context(), a.method, a.url, payload)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = a.header
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	got = answer{t: b.t, status: response.StatusCode, header: response.Header}
	if got.body, err = io.ReadAll(response.Body); err != nil {
		b.t.Fatal(err)
	}
	return a, got
}

// want checks the status and reads the body into a T.
func want[T any](a answer, status int) (value T) {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	if err := json.Unmarshal(a.body, &value); err != nil {
		a.t.Fatalf("body %q: %v", a.body, err)
	}
	return value
}

// empty checks for an answer without a body.
func (a answer) empty() {
	a.t.Helper()
	if a.status != http.StatusNoContent || len(a.body) > 0 {
		a.t.Fatalf("status %d with %q, want 204 with nothing", a.status, a.body)
	}
}

// refused checks for a refusal with that code, and a message that holds text.
func (a answer) refused(status int, code, text string) jsonapi.Error {
	a.t.Helper()
	f := want[jsonapi.Failure](a, status).Error
	if f.Code != code || !strings.Contains(f.Message, text) {
		a.t.Errorf("refused with %q: %q, want %q with %q in its message", f.Code, f.Message, code, text)
	}
	return f
}
