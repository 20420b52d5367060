package dashboard_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"signalbox/internal/jsonapi"
	"signalbox/internal/jsonapi/openapi"
	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/people"
)

// TestMain also fails when a run of all tests has left an operation of the
// document without a successful answer.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 && flag.Lookup("test.run").Value.String() == "" {
		if missing := document().Untested(); len(missing) > 0 {
			fmt.Println("no test had a successful answer from:", strings.Join(missing, ", "))
			code = 1
		}
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	os.Exit(code)
}

var document = sync.OnceValue(func() *openapi.Contract { return openapi.NewContract(dashboard.OpenAPI()) })

// broker is a real one, inside the test, with the buckets of a cloud.
type broker struct {
	conn                    *nats.Conn
	registry, signin, lease jetstream.KeyValue
	audit                   *people.Audit
}

// leaseTTL is short: tests wait for it.
const leaseTTL = time.Second

func newBroker(t testing.TB) *broker {
	t.Helper()
	s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), DontListen: true, NoLog: true, NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the broker does not start")
	}
	conn, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	bucket := func(name string, ttl time.Duration) jetstream.KeyValue {
		kv, err := js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: name, History: 4, TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return kv
	}
	if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"audit.>"}}); err != nil {
		t.Fatal(err)
	}
	return &broker{conn, bucket("registry", 0), bucket("signin", people.SessionTTL), bucket("lease", leaseTTL), people.NewAudit(js, "AUDIT", "audit.main")}
}

// node is a cloud node as far as the dashboard goes.
type node struct {
	t testing.TB
	*town
	people  *people.People
	broker  *broker
	url     string
	control string
	stop    func()
}

func start(t testing.TB, b *broker, town *town, change ...func(*dashboard.Config)) *node {
	t.Helper()
	folk, err := people.New(people.Config{Registry: b.registry, SignIn: b.signin, Audit: b.audit})
	if err != nil {
		t.Fatal(err)
	}
	cfg := dashboard.Config{
		Node: "n1", Version: "1.2.3", Key: make([]byte, 32), Fleet: fleet{town}, History: town, Registry: town, Identity: town, Presence: town, Tried: town.Tried,
		People: folk, Audit: b.audit, Conn: b.conn, Bucket: b.registry, Lease: b.lease,
	}
	for _, f := range change {
		f(&cfg)
	}
	d, err := dashboard.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.Hurry()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	outside, inside := httptest.NewServer(d.Handler()), httptest.NewServer(d.Control())
	n := &node{t: t, town: town, people: cfg.People, broker: b, url: outside.URL, control: inside.URL}
	n.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		outside.Close()
		inside.Close()
	})
	t.Cleanup(n.stop)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	n.until("the board is there", func() bool { return n.raw("GET", n.url+"/readyz").status == http.StatusOK })
	return n
}

// shortly lets problems be over at once.
func shortly(c *dashboard.Config) { c.Settle = time.Millisecond }

// until waits for something that happens soon.
func (n *node) until(what string, happens func() bool) {
	n.t.Helper()
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if happens() {
			return
		}
	}
	n.t.Fatalf("did not happen: %s", what)
}

type option func(*http.Request)

func bearer(key string) option { return header("Authorization", "Bearer "+key) }

func header(name, value string) option { return func(r *http.Request) { r.Header.Set(name, value) } }

func body(format string, args ...any) option {
	return func(r *http.Request) {
		text := fmt.Sprintf(format, args...)
		r.Header.Set("Content-Type", "application/json")
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	}
}

type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   []byte
}

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, Transport: &http.Transport{DisableKeepAlives: true}}

// do sends a request from outside and holds the answer against the document.
func (n *node) do(method, path string, opts ...option) answer {
	return n.send(method, n.url+path, opts...)
}

// local does the same through the control socket.
func (n *node) local(method, path string, opts ...option) answer {
	return n.send(method, n.control+path, opts...)
}

func (n *node) send(method, url string, opts ...option) answer {
	n.t.Helper()
	a, sent := n.exchange(method, url, opts...)
	if err := document().Check(openapi.Exchanged{Method: method, URL: url, Request: sent, Status: a.status, Header: a.header, Answer: a.body}); err != nil {
		n.t.Error(err)
	}
	return a
}

func (n *node) raw(method, url string, opts ...option) answer {
	n.t.Helper()
	a, _ := n.exchange(method, url, opts...)
	return a
}

func (n *node) exchange(method, url string, opts ...option) (a answer, sent []byte) {
	n.t.Helper()
	r, err := http.NewRequestWithContext(n.t.Context(), method, url, http.NoBody)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, opt := range opts {
		opt(r)
	}
	if r.GetBody != nil {
		copied, _ := r.GetBody()
		sent, _ = io.ReadAll(copied)
	}
	response, err := client.Do(r)
	if err != nil {
		n.t.Fatal(err)
	}
	defer response.Body.Close()
	a = answer{t: n.t, status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		n.t.Fatal(err)
	}
	return a, sent
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

func (a answer) empty() {
	a.t.Helper()
	if a.status != http.StatusNoContent || len(a.body) > 0 {
		a.t.Fatalf("status %d with %q, want 204 with nothing", a.status, a.body)
	}
}

func (a answer) refused(status int, code, text string) {
	a.t.Helper()
	f := want[jsonapi.Failure](a, status).Error
	if f.Code != code || !strings.Contains(f.Message, text) {
		a.t.Errorf("refused with %q: %q, want %q with %q in its message", f.Code, f.Message, code, text)
	}
}

const goodPassword = "correct horse battery"

// keys are API keys of the three roles.
func (n *node) keys() (viewer, operator, administrator string) {
	n.t.Helper()
	var secrets []string
	for _, role := range []people.Role{people.Viewer, people.Operator, people.Administrator} {
		secret, err := n.people.NewAPIKey(n.t.Context(), people.Local, string(role), role, 0)
		if err != nil {
			n.t.Fatal(err)
		}
		secrets = append(secrets, secret)
	}
	return secrets[0], secrets[1], secrets[2]
}
