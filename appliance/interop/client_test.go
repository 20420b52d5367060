//go:build linux && interop

package interop_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/loadgen"
	"signalbox/appliance/signaling/spec"
	"signalbox/internal/netlab"
)

// patience is how long a test waits for what takes a moment.
const patience = 20 * time.Second

var schema = sync.OnceValues(spec.NewValidator)

// validate holds every frame of a test against the schema.
func validate(t *testing.T) func(out bool, frame []byte) {
	t.Helper()
	v, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	return func(out bool, frame []byte) {
		if err := v.Check(out, frame); err != nil {
			t.Error(err)
		}
	}
}

// token is a device token for every room, out of the command line.
func (b *box) token(subject string) string {
	b.t.Helper()
	return b.cli("token", "device", "--subject", subject, "--room", "*", "--rights", "join,send,create,manage")
}

// device is a client of the box that has been welcomed. It ends with the test.
func (b *box) device(subject string, change ...func(*loadgen.Options)) *device {
	b.t.Helper()
	d := b.lateDevice(subject, change...)
	if d.welcome = d.await("welcome"); d.welcome.Resumed {
		b.t.Errorf("the first welcome of %s says resumed", subject)
	}
	return d
}

// lateDevice is a device that may have to try until the box is there.
func (b *box) lateDevice(subject string, change ...func(*loadgen.Options)) *device {
	b.t.Helper()
	opts := loadgen.Options{
		URL: b.signalURL(), Token: b.token(subject), Name: subject,
		Trace: validate(b.t), MaxBackoff: 250 * time.Millisecond,
	}
	if b.on != nil {
		opts.NetDial = b.on.DialContext
	}
	for _, f := range change {
		f(&opts)
	}
	d := &device{Client: loadgen.New(opts), t: b.t, name: subject}
	ctx, stop := context.WithCancel(context.Background())
	d.done = make(chan struct{})
	go func() { defer close(d.done); d.ended = d.Run(ctx) }()
	b.t.Cleanup(func() { stop(); <-d.done })
	return d
}

// device is a careful client that fails its test when something is missing.
type device struct {
	*loadgen.Client
	t       *testing.T
	name    string
	welcome loadgen.Frame
	done    chan struct{}
	ended   error // why Run returned; set when done is closed
}

func (d *device) await(kind string) loadgen.Frame {
	d.t.Helper()
	return d.awaitThat("a "+kind+" frame", func(f loadgen.Frame) bool { return f.Type == kind })
}

func (d *device) awaitThat(what string, want func(loadgen.Frame) bool) loadgen.Frame {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	f, err := d.Await(ctx, want)
	if err != nil {
		d.t.Fatalf("%s: waiting for %s: %v; %+v", d.name, what, err, d.Counts())
	}
	return f
}

// memberOf is the member that a presence frame is about.
func memberOf(f loadgen.Frame) (m loadgen.Member, ok bool) {
	ok = f.Type == "presence" && json.Unmarshal(f.Member, &m) == nil
	return m, ok
}

// awaitPresence waits for a member's state in a room.
func (d *device) awaitPresence(member, state string) {
	d.t.Helper()
	d.awaitThat(member+" "+state, func(f loadgen.Frame) bool {
		m, ok := memberOf(f)
		return ok && m.Member == member && m.State == state
	})
}

func (d *device) send(s loadgen.Send) {
	d.t.Helper()
	if _, err := d.Send(s); err != nil {
		d.t.Fatalf("%s: %v", d.name, err)
	}
}

// join joins a room and returns its snapshot.
func (d *device) join(room string) loadgen.Frame {
	d.t.Helper()
	d.send(loadgen.Send{Type: "join", ID: 1, Room: room})
	f := d.awaitThat("joining "+room, func(f loadgen.Frame) bool { return f.Type == "joined" || f.Type == "error" })
	if f.Type == "error" {
		d.t.Fatalf("%s joining %s: %s: %s", d.name, room, f.ErrorCode(), f.Message)
	}
	return d.awaitThat("the snapshot", func(f loadgen.Frame) bool { return f.Type == "room" && f.Last })
}

// tell sends a message to a room that others await with hear.
func (d *device) tell(room, text string) {
	d.t.Helper()
	d.send(loadgen.Send{Type: "message", Room: room, Data: fmt.Appendf(nil, "%q", text)})
}

func (d *device) hear(text string) {
	d.t.Helper()
	d.awaitThat("message "+text, func(f loadgen.Frame) bool {
		return f.Type == "message" && string(f.Data) == fmt.Sprintf("%q", text)
	})
}

// answer is an HTTP response, read to its end.
type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   []byte
}

// web asks a box over HTTP from a host.
type web struct {
	t    *testing.T
	base string // http://address:port
	http http.Client
}

// web is an HTTP client on from, nil for this machine, and HTTPS with a TLS
// configuration.
func (b *box) web(from *netlab.Host, secure *tls.Config) *web {
	w := &web{t: b.t, base: "http://" + b.http()}
	if secure != nil {
		w.base = "https://" + b.https()
	}
	transport := &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}
	if from != nil {
		transport.DialContext = from.DialContext
	}
	w.http = http.Client{Transport: transport, Timeout: patience}
	return w
}

// ask makes a request, with in as its JSON body unless that is nil.
func (w *web) ask(method, path, token string, in any) *answer {
	w.t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			w.t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path, body)
	if err != nil {
		w.t.Fatal(err)
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := &answer{t: w.t, what: method + " " + path, status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		w.t.Fatalf("%s: %v", a.what, err)
	}
	return a
}

// decode wants a status and reads the body.
func decode[T any](a *answer, status int) (v T) {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d\n%s", a.what, a.status, status, a.body)
	}
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		a.t.Fatalf("%s: %v in %s", a.what, err, a.body)
	}
	return v
}

// status is everything the box says about itself, over its control socket.
func (b *box) status() api.Status {
	b.t.Helper()
	out, stderr, _ := b.try("status", "--json") // fails, too, when the box is not ready
	var s api.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		b.t.Fatalf("signalbox status: %v\n%s%s", err, out, stderr)
	}
	return s
}

// metric reads the sum of a metric's samples whose line contains match.
func (b *box) metric(name, match string) float64 {
	b.t.Helper()
	sum := 0.0
	for line := range strings.Lines(string(b.web(b.on, nil).ask("GET", "/metrics", "", nil).body)) {
		var v float64
		labelled, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		plain, _, _ := strings.Cut(labelled, "{")
		if ok && plain == name && strings.Contains(labelled, match) {
			if _, err := fmt.Sscan(value, &v); err != nil {
				b.t.Fatalf("metric %q: %v", line, err)
			}
			sum += v
		}
	}
	return sum
}
