// Package registrytest runs registries for tests.
package registrytest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"signalbox/sync/cloud/broker"
	"signalbox/sync/cloud/registry"
)

// Start runs a registry over b until the test ends, and has it loaded. setup, if
// any, is called before it runs.
func Start(t testing.TB, b *broker.Broker, setup ...func(*registry.Registry)) *registry.Registry {
	t.Helper()
	r := registry.New(registry.Config{
		JetStream: b.JetStream(), Logger: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	for _, f := range setup {
		f(r)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("registry: %v", err)
		}
	})
	select {
	case <-r.Loaded():
	case <-time.After(20 * time.Second):
		t.Fatalf("registry is not loaded: %v", r.Healthy())
	}
	return r
}
