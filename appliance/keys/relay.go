package keys

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"signalbox/appliance/store"
)

// maxOlder is how many older relay secrets are accepted at once. The relay
// takes eight, files included.
const maxOlder = 4

// ErrRotatedTooOften is returned by RotateRelay while maxOlder older secrets are
// still accepted.
var ErrRotatedTooOften = errors.New("the relay's secret was changed too often")

// OldSecret is a relay secret that was replaced, and until when it is accepted.
type OldSecret struct {
	Key   []byte    `json:"key"`
	Until time.Time `json:"until"`
}

// Rotator is a Store whose keys can be replaced.
type Rotator interface {
	Store
	Key(name string) ([]byte, error)
	ReplaceKeys(ctx context.Context, edit func(have func(name string) ([]byte, error)) (map[string][]byte, error)) error
}

// OlderRelay are the secrets that credentials were made from before the one of
// Relay and that are still accepted, the newest first.
func OlderRelay(s Rotator, now time.Time) ([]OldSecret, error) { return olderRelay(s.Key, now) }

func olderRelay(have func(name string) ([]byte, error), now time.Time) ([]OldSecret, error) {
	encoded, err := have(nameOlderRelay)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	var older []OldSecret
	if err == nil {
		err = json.Unmarshal(encoded, &older)
	}
	if err != nil {
		return nil, fmt.Errorf("%s secrets: %w", nameOlderRelay, err)
	}
	return slices.DeleteFunc(older, func(o OldSecret) bool { return !now.Before(o.Until) }), nil
}

// RotateRelay makes a new relay secret. The one before is accepted for overlap
// longer, and none of those before it for more than that: with 0 nothing that
// was made so far is good any more. ErrRotatedTooOften when four of them are
// accepted still.
func RotateRelay(ctx context.Context, s Rotator, overlap time.Duration, now time.Time) error {
	if _, err := Relay(ctx, s); err != nil {
		return err
	}
	fresh := make([]byte, secretBytes)
	_, _ = rand.Read(fresh) // never fails
	end := now.Add(overlap).UTC()
	return s.ReplaceKeys(ctx, func(have func(name string) ([]byte, error)) (map[string][]byte, error) {
		current, err := have(nameRelay)
		if err != nil {
			return nil, fmt.Errorf("%s secret: %w", nameRelay, err)
		}
		older, err := olderRelay(have, now)
		if err != nil {
			return nil, err
		}
		for i, o := range older {
			if o.Until.After(end) {
				older[i].Until = end
			}
		}
		if overlap == 0 {
			older = nil
		} else {
			older = slices.Insert(older, 0, OldSecret{Key: current, Until: end})
		}
		if len(older) > maxOlder {
			return nil, fmt.Errorf("%w: %d older ones are accepted until %s; wait, or change it without an overlap",
				ErrRotatedTooOften, maxOlder, older[len(older)-1].Until.Format(time.RFC3339))
		}
		encoded, err := json.Marshal(older)
		return map[string][]byte{nameRelay: fresh, nameOlderRelay: encoded}, err
	})
}
