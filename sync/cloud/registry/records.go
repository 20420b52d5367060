package registry

import (
	"encoding/json"
	"time"

	"signalbox/sync/wire"
)

// Kinds of records, the first part of a key in the bucket.
const (
	KindSite    = "site"    // TENANT.SITE
	KindBox     = "box"     // TENANT.SITE.BOX
	KindToken   = "token"   // ID
	KindPolicy  = "policy"  // TENANT.SITE, or TENANT.SITE.BOX
	KindCommand = "command" // TENANT.SITE.BOX.ID
	KindResult  = "result"  // TENANT.SITE.BOX.ID
)

// Site is a place with boxes.
type Site struct {
	Tenant  string    `json:"tenant"`
	Name    string    `json:"name"`            // wire.CheckName
	Title   string    `json:"title,omitempty"` // what people call it
	Created time.Time `json:"created"`
	By      string    `json:"by,omitempty"`
}

// Box is what is known of a box beside what it reports.
type Box struct {
	Name      string    `json:"name,omitempty"` // what people at the site call it
	Version   string    `json:"version,omitempty"`
	Joined    time.Time `json:"joined,omitzero"`
	Token     string    `json:"token,omitempty"`   // id of the one it joined with last
	Serial    string    `json:"serial,omitempty"`  // of its newest certificate
	CertEnd   time.Time `json:"cert_end,omitzero"` // of that
	Keys      []Key     `json:"keys,omitempty"`    // every one it had, oldest first
	Revoked   time.Time `json:"revoked,omitzero"`  // zero: it is not
	RevokedBy string    `json:"revoked_by,omitempty"`
}

// Key is a key that a box has or had. Batches that reached the stream while it
// was good stay good.
type Key struct {
	ID     uint64    `json:"id,string"` // the first 8 bytes of the SHA-256 of Public
	Public []byte    `json:"public"`    // SubjectPublicKeyInfo
	From   time.Time `json:"from"`
	Until  time.Time `json:"until,omitzero"` // zero: it is good
	Why    KeyEnd    `json:"why,omitempty"`
}

// KeyEnd is why a key ended.
type KeyEnd string

// Why keys end.
const (
	KeyReplaced KeyEnd = "replaced" // a newer one was proven to work
	KeyRejoined KeyEnd = "rejoined" // the box joined anew
	KeyRevoked  KeyEnd = "revoked"  // an administrator revoked the box
)

// Key returns the box's key of that id.
func (b *Box) Key(id uint64) (Key, bool) {
	for _, k := range b.Keys {
		if k.ID == id {
			return k, true
		}
	}
	return Key{}, false
}

// GoodAt tells whether what the key signed was good at a time.
func (k Key) GoodAt(at time.Time) bool { return k.Until.IsZero() || at.Before(k.Until) }

// EndKeys ends every good key but one; 0 is none.
func (b *Box) EndKeys(but uint64, now time.Time, why KeyEnd) {
	for i := range b.Keys {
		if k := &b.Keys[i]; k.ID != but && k.Until.IsZero() {
			k.Until, k.Why = now, why
		}
	}
}

// Token is what is kept of a join token: a key derived from its secret.
type Token struct {
	ID      string    `json:"id"`
	Key     []byte    `json:"key"`
	Tenant  string    `json:"tenant"`
	Site    string    `json:"site"`
	Uses    int       `json:"uses"` // how many boxes may join with it
	Made    time.Time `json:"made"`
	By      string    `json:"by,omitempty"`
	Expires time.Time `json:"expires"`
	Used    []Use     `json:"used,omitempty"`
}

// Use is a box that joined with a token.
type Use struct {
	Box string    `json:"box"`
	Key uint64    `json:"key,string"`
	At  time.Time `json:"at"`
}

// tokenKept is how long after its end a token is still known, so that whoever
// uses it learns that it has ended.
const tokenKept = 7 * 24 * time.Hour

// Ends is when the broker forgets it.
func (t Token) Ends() time.Time { return t.Expires.Add(tokenKept) }

// Policy is the desired state of a site or a box.
type Policy struct {
	// Revision grows with each change. It is the time in milliseconds, or one more
	// than before if that is later, so that a cloud restored from an older copy
	// does not give a number again that boxes have for something else.
	Revision uint64          `json:"revision"`
	Doc      json.RawMessage `json:"doc,omitempty"` // a wire.PolicyDoc; none: nothing is desired
	By       string          `json:"by,omitempty"`
	At       time.Time       `json:"at"`
}

// Command is what a box was asked to do.
type Command struct {
	wire.Command
	By   string    `json:"by,omitempty"`
	Made time.Time `json:"made"`
}

// historyKept is how long commands and results can be looked at.
const historyKept = 30 * 24 * time.Hour

// Ends is when the broker forgets it, long after it has expired.
func (c Command) Ends() time.Time { return c.Expires.Add(historyKept) }

// Result is how a command ended.
type Result struct {
	OK   bool      `json:"ok"`
	Text string    `json:"text,omitempty"`
	At   time.Time `json:"at"` // by the box's clock
	Kept time.Time `json:"kept"`
}

// Ends is when the broker forgets it.
func (r Result) Ends() time.Time { return r.Kept.Add(historyKept) }
