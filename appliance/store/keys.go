package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
)

// Key returns a secret made by CreateKey, or ErrNotFound.
func (s *Store) Key(name string) (key []byte, err error) {
	err = s.View(func(tx *bbolt.Tx) error {
		value, err := getSealed(tx, bucketKeys, []byte(name))
		key = bytes.Clone(value)
		return err
	})
	return key, err
}

// CreateKey returns the secret of that name, which make provides the first
// time. Of several callers at once all get the same. A backup follows within a
// minute: some keys cannot be replaced without visiting every device.
func (s *Store) CreateKey(ctx context.Context, name string, make func() ([]byte, error)) ([]byte, error) {
	if name == "" {
		return nil, errors.New("a key needs a name")
	}
	if key, err := s.Key(name); !errors.Is(err, ErrNotFound) {
		return key, err
	}
	fresh, err := make()
	if err != nil {
		return nil, fmt.Errorf("make key %q: %w", name, err)
	}
	var key []byte
	// Reclaim: a full store must not keep the box from starting.
	err = s.Reclaim(ctx, func(tx *bbolt.Tx) error {
		there, err := getSealed(tx, bucketKeys, []byte(name))
		if !errors.Is(err, ErrNotFound) {
			key = bytes.Clone(there)
			return err
		}
		key = fresh
		return putSealed(tx, bucketKeys, []byte(name), fresh)
	})
	if err != nil {
		return nil, err
	}
	s.backupSoon()
	return key, nil
}

// ReplaceKeys stores the keys that edit makes of those that are there, all or
// none of them. have returns ErrNotFound for a key that is not. edit may be
// called more than once. A backup follows within a minute.
func (s *Store) ReplaceKeys(ctx context.Context, edit func(have func(name string) ([]byte, error)) (map[string][]byte, error)) error {
	err := s.Reclaim(ctx, func(tx *bbolt.Tx) error {
		next, err := edit(func(name string) ([]byte, error) {
			value, err := getSealed(tx, bucketKeys, []byte(name))
			return bytes.Clone(value), err
		})
		if err != nil {
			return err
		}
		for name, key := range next {
			if err := putSealed(tx, bucketKeys, []byte(name), key); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		s.backupSoon()
	}
	return err
}

func (s *Store) backupSoon() {
	select {
	case s.soon <- struct{}{}:
	default:
	}
}
