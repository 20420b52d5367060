package keys_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"signalbox/appliance/keys"
)

func TestRotateRelay(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	s := open(t, dir)
	first := read(t, s)[1]
	if older, err := keys.OlderRelay(s, now); err != nil || len(older) != 0 {
		t.Errorf("older secrets of a new box: %v, %v", older, err)
	}
	if err := keys.RotateRelay(t.Context(), s, time.Hour, now); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir) // both live on
	t.Cleanup(func() { _ = s.Close() })
	second := read(t, s)[1]
	if bytes.Equal(first, second) {
		t.Error("the secret is the same after a rotation")
	}
	older, err := keys.OlderRelay(s, now)
	if err != nil || len(older) != 1 || !bytes.Equal(older[0].Key, first) || !older[0].Until.Equal(now.Add(time.Hour)) {
		t.Errorf("older secrets %v, %v, want the first for an hour", older, err)
	}
	if older, err := keys.OlderRelay(s, now.Add(time.Hour)); err != nil || len(older) != 0 {
		t.Errorf("older secrets after the overlap: %v, %v", older, err)
	}

	// A shorter overlap is one for all.
	if err := keys.RotateRelay(t.Context(), s, time.Minute, now); err != nil {
		t.Fatal(err)
	}
	older, err = keys.OlderRelay(s, now)
	if err != nil || len(older) != 2 || !bytes.Equal(older[0].Key, second) || !older[1].Until.Equal(now.Add(time.Minute)) {
		t.Errorf("older secrets %v, %v, want two for a minute, the newest first", older, err)
	}
	for range 2 {
		if err := keys.RotateRelay(t.Context(), s, time.Minute, now); err != nil {
			t.Fatal(err)
		}
	}
	last := read(t, s)[1]
	if err := keys.RotateRelay(t.Context(), s, time.Minute, now); !errors.Is(err, keys.ErrRotatedTooOften) {
		t.Errorf("fifth rotation: %v, want ErrRotatedTooOften", err)
	}
	if !bytes.Equal(read(t, s)[1], last) {
		t.Error("a rotation that failed changed the secret")
	}
	if err := keys.RotateRelay(t.Context(), s, 0, now); err != nil {
		t.Fatal(err)
	}
	if older, err := keys.OlderRelay(s, now); err != nil || len(older) != 0 {
		t.Errorf("older secrets after a rotation without overlap: %v, %v", older, err)
	}
}
