package people

import (
	"context"
	"fmt"
	"strings"
	"time"

	"signalbox/internal/order"
)

// apiKeyMark begins every API key, so that people and scanners know what it is.
const apiKeyMark = "sbk-"

func isAPIKey(secret string) bool { return strings.HasPrefix(secret, apiKeyMark) }

// APIKey is a program's access as it is shown.
type APIKey struct {
	Name    string    `json:"name"`
	Role    Role      `json:"role"`
	By      string    `json:"by"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	ID      string    `json:"id"`
}

// NewAPIKey lets a program in; the key is shown once. ttl 0 means without end.
func (p *People) NewAPIKey(ctx context.Context, by Person, name string, role Role, ttl time.Duration) (secret string, err error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if _, err := ParseRole(string(role)); err != nil {
		return "", err
	}
	keys, err := keysOf(ctx, p.cfg.Registry, apiKeyPrefix)
	if err != nil {
		return "", err
	}
	if len(keys) >= MaxPeople {
		return "", fmt.Errorf("%w: there are %d keys, the most there may be; remove some", ErrInvalid, len(keys))
	}
	secret = apiKeyMark + secretText()
	k := APIKey{Name: name, Role: role, By: by.Name, Created: time.Now().UTC(), ID: digest(secret)}
	if ttl > 0 {
		k.Expires = k.Created.Add(ttl)
	}
	if err := write(ctx, p.cfg.Registry, apiKeyPrefix+k.ID, k, 0); err != nil {
		return "", err
	}
	return secret, p.cfg.Audit.Write(ctx, Entry{By: by.Name, Action: "key-added", Target: name, Detail: string(role)})
}

// APIKeys lists the keys by name, without their secrets.
func (p *People) APIKeys(ctx context.Context) ([]APIKey, error) {
	keys, err := keysOf(ctx, p.cfg.Registry, apiKeyPrefix)
	if err != nil {
		return nil, err
	}
	list := make([]APIKey, 0, len(keys))
	for _, key := range keys {
		k, _, found, err := read[APIKey](ctx, p.cfg.Registry, key)
		if err != nil {
			return nil, err
		}
		if found {
			list = append(list, k)
		}
	}
	order.By(list, func(a, b APIKey) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// RemoveAPIKey ends a key by its ID.
func (p *People) RemoveAPIKey(ctx context.Context, by Person, id string) error {
	if strings.ContainsAny(id, ".*> ") {
		return fmt.Errorf("%w: there is no key %.80q", ErrUnknown, id)
	}
	k, _, found, err := read[APIKey](ctx, p.cfg.Registry, apiKeyPrefix+id)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: there is no key %.80q", ErrUnknown, id)
	}
	if err := p.cfg.Registry.Purge(ctx, apiKeyPrefix+id); err != nil {
		return fmt.Errorf("remove key: %w", err)
	}
	p.forget()
	return p.cfg.Audit.Write(ctx, Entry{By: by.Name, Action: "key-removed", Target: k.Name})
}

func (p *People) apiKey(ctx context.Context, id string) (Person, error) {
	k, _, found, err := read[APIKey](ctx, p.cfg.Registry, apiKeyPrefix+id)
	if err != nil {
		return Person{}, err
	}
	if !found || !k.Expires.IsZero() && time.Now().After(k.Expires) {
		return Person{}, fmt.Errorf("%w: this API key is not known or has ended", ErrRefused)
	}
	return Person{Name: k.Name, Role: k.Role, By: k.By, Created: k.Created, Via: ViaKey}, nil
}
