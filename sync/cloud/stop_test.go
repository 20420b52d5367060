package cloud

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/sync/cloud/broker/brokertest"
)

// A node that stops gives its leases back, so that another need not wait until
// they end: the broker is there until the last part has stopped.
func TestStopGivesLeasesBack(t *testing.T) {
	cfg := Default()
	cfg.Data, cfg.HTTP = t.TempDir(), HTTP{HTTPS: []string{"127.0.0.1:0"}}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	select {
	case <-n.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	kv, err := n.broker.JetStream().KeyValue(t.Context(), "lease")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"rollup", "webhooks"} {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, err := kv.Get(t.Context(), key); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the lease %q is not taken", key)
			}
		}
	}
	stopped := time.Now()
	stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	b, _ := brokertest.Start(t, filepath.Join(cfg.Data, "streams"))
	if kv, err = b.JetStream().KeyValue(t.Context(), "lease"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"rollup", "webhooks"} {
		if e, err := kv.Get(t.Context(), key); !errors.Is(err, jetstream.ErrKeyNotFound) {
			t.Errorf("%v after the end the lease %q is %v, %v; want none", time.Since(stopped), key, e, err)
		}
	}
	if took := time.Since(stopped); took > 9*time.Second {
		t.Fatalf("it took %v: leases end by themselves after 10 s, so this says nothing", took)
	}
}
