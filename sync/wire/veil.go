package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"strings"
)

// Privacy is how much a site tells.
type Privacy string

// The levels.
const (
	Minimal Privacy = "minimal" // totals and states of the box: no row for any room, no names
	Default Privacy = "default" // rooms under ids that only the site can tell
	Named   Privacy = "named"   // rooms and the box by their names
)

// ParsePrivacy reads a level's name.
func ParsePrivacy(text string) (Privacy, error) {
	switch l := Privacy(text); l {
	case Minimal, Default, Named:
		return l, nil
	}
	return "", fmt.Errorf("privacy level: got %.40q, want minimal, default or named", text)
}

// Veil decides what may leave the site. Frames are made by its Draft alone,
// which has no way in for SDP, candidates, addresses or credentials. It does
// not change and may be used concurrently.
type Veil struct {
	level Privacy
	key   []byte
}

// MinSiteKeyBytes is the least length of a site's key.
const MinSiteKeyBytes = 16

// NewVeil takes the level and the key of the site, which stays there: without it
// nobody can tell which room an id stands for. A new key makes all earlier ids
// nobody's.
func NewVeil(level Privacy, siteKey []byte) (*Veil, error) {
	if _, err := ParsePrivacy(string(level)); err != nil {
		return nil, err
	}
	if len(siteKey) < MinSiteKeyBytes {
		return nil, fmt.Errorf("site key: got %d bytes, want at least %d", len(siteKey), MinSiteKeyBytes)
	}
	return &Veil{level, append([]byte(nil), siteKey...)}, nil
}

// Level is what it was made with.
func (v *Veil) Level() Privacy { return v.level }

// Hash is what stands for a device in a set: 64 bits keyed with the site's key.
func (v *Veil) Hash(device string) uint64 { return binary.BigEndian.Uint64(v.mac("device", device)) }

// mark tells whether ids of another veil are comparable with this one's.
func (v *Veil) mark() uint64 { return binary.BigEndian.Uint64(v.mac("veil", string(v.level))) }

// roomID is how a room is called upstream.
func (v *Veil) roomID(name string) string {
	if v.level == Named {
		return clean(name, maxIDBytes)
	}
	// 80 bits: among a million rooms of a site no two are alike.
	return strings.ToLower(base32.StdEncoding.EncodeToString(v.mac("room", name)[:10]))
}

func (v *Veil) mac(kind, name string) []byte {
	h := hmac.New(sha256.New, v.key)
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write([]byte(name))
	return h.Sum(nil)
}

// clean makes a name of people fit the format.
func clean(name string, limit int) string {
	name = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7F {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(name, "?"))
	for len(name) > limit {
		name = strings.ToValidUTF8(name[:limit], "")
	}
	return name
}
