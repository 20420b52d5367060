package people

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/order"
)

// Limits. A cloud of a company has hundreds of people, not more.
const (
	MaxPeople    = 1000
	MaxNameBytes = 200
	MinPassword  = 10 // characters; length is what counts (NIST SP 800-63B §5.1.1)
	MaxPassword  = 200
	LinkTTL      = 24 * time.Hour
	SessionTTL   = 12 * time.Hour // the bucket signin has the same
	callTimeout  = 5 * time.Second
)

// Config is what New needs.
type Config struct {
	Registry jetstream.KeyValue // persons, links and keys
	SignIn   jetstream.KeyValue // sessions; entries end by themselves after SessionTTL
	Audit    *Audit
	OIDC     OIDCConfig // may be empty
	Logger   *slog.Logger
}

// People is safe for concurrent use.
type People struct {
	cfg      Config
	log      *slog.Logger
	oidc     *provider // nil when not configured
	brakes   *brakes
	hasher   hasher
	refusals *refusals

	mu    sync.Mutex
	known map[string]cached // by hash of the session or key
}

// cached spares the broker a question per request. A person who is removed is
// out after cacheFor on every node.
type cached struct {
	person Person
	until  time.Time
}

const (
	cacheFor = 2 * time.Second
	maxCache = 4096
)

// New makes People; it talks to nobody yet.
func New(cfg Config) (*People, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p := &People{cfg: cfg, log: cfg.Logger, brakes: newBrakes(), hasher: newHasher(), refusals: newRefusals(cfg.Audit), known: map[string]cached{}}
	if cfg.OIDC.Issuer != "" {
		if err := cfg.OIDC.Validate(); err != nil {
			return nil, err
		}
		p.oidc = newProvider(cfg.OIDC)
	}
	return p, nil
}

// record is a Person as it is kept.
type record struct {
	Person
	Hash string `json:"hash,omitempty"` // of the password; empty until it is set, and for OIDC
}

// Keys in the registry. Names may have any character, so they are encoded.
const (
	personPrefix = "person."
	linkPrefix   = "link."
	apiKeyPrefix = "apikey."
)

func personKey(name string) string { return personPrefix + keyText(strings.ToLower(name)) }

// checkName refuses what could not be told apart or shown.
func checkName(name string) error {
	bad := func(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }
	if name == "" || len(name) > MaxNameBytes || strings.TrimSpace(name) != name || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("%w: name: got %.80q, want 1 to %d printable bytes without spaces at the ends", ErrInvalid, name, MaxNameBytes)
	}
	return nil
}

// read gets a record; found is false when there is none.
func read[T any](ctx context.Context, kv jetstream.KeyValue, key string) (value T, revision uint64, found bool, err error) {
	entry, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return value, 0, false, nil
	}
	if err != nil {
		return value, 0, false, fmt.Errorf("read %s: %w", key, err)
	}
	if err := json.Unmarshal(entry.Value(), &value); err != nil {
		return value, 0, false, fmt.Errorf("read %s: %w", key, err)
	}
	return value, entry.Revision(), true, nil
}

// write puts a record that has not changed since revision; 0 means a new one.
// Somebody else's change meanwhile is ErrTaken.
func write[T any](ctx context.Context, kv jetstream.KeyValue, key string, value T, revision uint64) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if revision == 0 {
		_, err = kv.Create(ctx, key, data)
	} else {
		_, err = kv.Update(ctx, key, data, revision)
	}
	if errors.Is(err, jetstream.ErrKeyExists) || isConflict(err) {
		return fmt.Errorf("%w: somebody else was faster; look again", ErrTaken)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// isConflict tells whether somebody else has written the key. A replicated
// stream says it with another code while the other write is on its way.
func isConflict(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && (api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant)
}

// List gives everybody, by name.
func (p *People) List(ctx context.Context) ([]Person, error) {
	records, err := p.records(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]Person, 0, len(records))
	for _, r := range records {
		list = append(list, r.Person)
	}
	order.By(list, func(a, b Person) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func (p *People) records(ctx context.Context) ([]record, error) {
	keys, err := keysOf(ctx, p.cfg.Registry, personPrefix)
	if err != nil {
		return nil, err
	}
	var list []record
	for _, key := range keys {
		r, _, found, err := read[record](ctx, p.cfg.Registry, key)
		if err != nil {
			return nil, err
		}
		if found {
			list = append(list, r)
		}
	}
	return list, nil
}

// keysOf lists the keys that begin with prefix, which ends in a dot.
func keysOf(ctx context.Context, kv jetstream.KeyValue, prefix string) ([]string, error) {
	lister, err := kv.ListKeysFiltered(ctx, prefix+">")
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", prefix, err)
	}
	defer func() { _ = lister.Stop() }()
	var keys []string
	for key := range lister.Keys() {
		keys = append(keys, key)
	}
	return keys, ctx.Err()
}

// SetRole gives a person another role.
func (p *People) SetRole(ctx context.Context, by Person, name string, role Role) error {
	if _, err := ParseRole(string(role)); err != nil {
		return err
	}
	r, revision, found, err := read[record](ctx, p.cfg.Registry, personKey(name))
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("%w: there is nobody of the name %q", ErrUnknown, name)
	}
	if r.Role == Administrator && role != Administrator {
		if err := p.notLast(ctx, name); err != nil {
			return err
		}
	}
	was := r.Role
	r.Role = role
	if err := write(ctx, p.cfg.Registry, personKey(name), r, revision); err != nil {
		return err
	}
	p.forget()
	return p.cfg.Audit.Write(ctx, Entry{By: by.Name, Action: "person-role", Target: name, Detail: string(was) + " -> " + string(role)})
}

// Remove takes a person's access away: sessions end within cacheFor on every node.
func (p *People) Remove(ctx context.Context, by Person, name string) error {
	_, revision, found, err := read[record](ctx, p.cfg.Registry, personKey(name))
	switch {
	case err != nil:
		return err
	case !found:
		return fmt.Errorf("%w: there is nobody of the name %q", ErrUnknown, name)
	}
	if err := p.notLast(ctx, name); err != nil {
		return err
	}
	if err := p.cfg.Registry.Delete(ctx, personKey(name), jetstream.LastRevision(revision)); err != nil {
		return fmt.Errorf("remove %q: %w", name, err)
	}
	p.forget()
	return p.cfg.Audit.Write(ctx, Entry{By: by.Name, Action: "person-removed", Target: name})
}

// notLast refuses to take the last administrator away. People of the provider
// do not count: it may be out of reach when somebody must get in.
func (p *People) notLast(ctx context.Context, name string) error {
	records, err := p.records(ctx)
	if err != nil {
		return err
	}
	self, others := false, false
	for _, r := range records {
		able := r.Role == Administrator && r.Hash != ""
		if strings.EqualFold(r.Name, name) {
			self = able
		} else {
			others = others || able
		}
	}
	if self && !others {
		return fmt.Errorf("%w who can sign in with a password; let another one in first", ErrLast)
	}
	return nil
}

// forget empties the cache of this node, so that whoever changed something
// sees it at once.
func (p *People) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.known)
}
