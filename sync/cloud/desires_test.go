package cloud

import (
	"testing"
	"time"

	"signalbox/sync/cloud/registry"
)

// What a box sent while the news of its revocation went round must be the same
// to every node: it counts. What comes when all have cut it off does not. A key
// that was replaced stays good.
func TestRevokedKeysEndOnceEveryNodeKnows(t *testing.T) {
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const known = 2 * time.Second // at every node, and the box is cut off
	end := revokedAt(registry.Key{Until: at, Why: registry.KeyRevoked})
	if end.Before(at.Add(known)) || end.After(at.Add(10*time.Second)) {
		t.Errorf("a key revoked at %v ends at %v, want soon after %v", at, end, at.Add(known))
	}
	for _, key := range []registry.Key{{}, {Until: at, Why: registry.KeyReplaced}, {Until: at, Why: registry.KeyRejoined}} {
		if end := revokedAt(key); !end.IsZero() {
			t.Errorf("key %+v ends at %v, want never", key, end)
		}
	}
}
