package keys_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"signalbox/appliance/keys"
	"signalbox/appliance/store"
)

func open(t *testing.T, dir string) *store.Store {
	t.Helper()
	cfg := store.Default()
	cfg.Dir = dir
	s, err := store.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// read gives the three secrets as the store has them.
func read(t *testing.T, s *store.Store) [3][]byte {
	t.Helper()
	box, boxErr := keys.Box(t.Context(), s)
	relay, relayErr := keys.Relay(t.Context(), s)
	resume, resumeErr := keys.Resume(t.Context(), s)
	if err := errors.Join(boxErr, relayErr, resumeErr); err != nil {
		t.Fatal(err)
	}
	return [3][]byte{box, relay, resume}
}

func TestSecretsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	made := read(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir)
	t.Cleanup(func() { _ = s.Close() })
	for i, again := range read(t, s) {
		if !bytes.Equal(again, made[i]) {
			t.Errorf("secret %d is another after a restart", i)
		}
	}
	if bytes.Equal(made[1], made[2]) {
		t.Error("relay and resume share a secret")
	}
	other := open(t, t.TempDir())
	t.Cleanup(func() { _ = other.Close() })
	for i, key := range read(t, other) {
		if bytes.Equal(key, made[i]) {
			t.Errorf("two boxes share secret %d", i)
		}
	}
}

func TestShortSecretIsRefused(t *testing.T) {
	s := open(t, t.TempDir())
	t.Cleanup(func() { _ = s.Close() })
	_, err := s.CreateKey(t.Context(), "turn/relay", func() ([]byte, error) { return []byte("short"), nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Relay(t.Context(), s); err == nil || !strings.Contains(err.Error(), "has 5 bytes, want 32") {
		t.Errorf("got %v, want a refusal of 5 bytes", err)
	}
}
