package people_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"signalbox/sync/cloud/people"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker is a real one, inside the test.
func broker(t *testing.T) jetstream.JetStream {
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
	return js
}

type fixture struct {
	*people.People
	audit *people.Audit
}

func start(t *testing.T, js jetstream.JetStream, oidc people.OIDCConfig) fixture {
	t.Helper()
	ctx := t.Context()
	bucket := func(name string, ttl time.Duration) jetstream.KeyValue {
		kv, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, History: 4, TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		return kv
	}
	if _, err := js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{Name: "AUDIT", Subjects: []string{"audit.>"}}); err != nil {
		t.Fatal(err)
	}
	audit := people.NewAudit(js, "AUDIT", "audit.main")
	p, err := people.New(people.Config{Registry: bucket("registry", 0), SignIn: bucket("signin", people.SessionTTL), Audit: audit, OIDC: oidc})
	if err != nil {
		t.Fatal(err)
	}
	return fixture{p, audit}
}

const goodPassword = "correct horse battery"

// administrator lets the first one in, by the one-time link.
func (f fixture) administrator(t *testing.T, name string) (secret string, who people.Person) {
	t.Helper()
	code, err := f.FirstLink(t.Context())
	if err != nil || code == "" {
		t.Fatalf("FirstLink = %q, %v", code, err)
	}
	secret, who, err = f.Redeem(t.Context(), "10.0.0.1", code, name, goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	return secret, who
}
