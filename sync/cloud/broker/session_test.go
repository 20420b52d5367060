package broker

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"signalbox/sync/wire"
)

var sessionKey = bytes.Repeat([]byte{7}, SessionKeyBytes)

func TestSessionNames(t *testing.T) {
	box := wire.BoxID{Tenant: "main", Site: "hall-2", Box: "b1"}
	end := time.Unix(2_000_000_000, 0)
	name := formatSession(sessionKey, box, end)
	got, until, err := parseSession(sessionKey, name, end.Add(-time.Second))
	if err != nil || got != box || !until.Equal(end) {
		t.Fatalf("parseSession(%q) = %v, %v, %v; want %v, %v", name, got, until, err, box, end)
	}
	if _, _, err := parseSession(sessionKey, name, end); !errors.Is(err, ErrSessionEnded) {
		t.Errorf("at its end: got %v, want ErrSessionEnded", err)
	}
	other := bytes.Repeat([]byte{8}, SessionKeyBytes)
	for what, forged := range map[string]string{
		"another key":     formatSession(other, box, end),
		"another box":     strings.Replace(name, "b1", "b2", 1),
		"a later end":     strings.Replace(name, "2000000000", "2000000001", 1),
		"a cut MAC":       name[:len(name)-1],
		"padding":         name + "=",
		"nothing":         "",
		"points":          "....",
		"a huge name":     strings.Repeat("a", 1<<20),
		"the cloud":       cloudUser,
		"loose last bits": name[:len(name)-1] + looser(name[len(name)-1]),
	} {
		if _, _, err := parseSession(sessionKey, forged, end.Add(-time.Second)); !errors.Is(err, ErrSession) {
			t.Errorf("%s: got %v, want ErrSession", what, err)
		}
	}
}

// looser is the letter of base64url that differs in bits which 32 bytes leave unused.
func looser(last byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, last)^1])
}

func FuzzParseSession(f *testing.F) {
	box := wire.BoxID{Tenant: "main", Site: "hall-2", Box: "b1"}
	now := time.Unix(1_900_000_000, 0)
	f.Add("s1.main.hall-2.b1.2000000000", true)
	f.Add("s1.main.hall-2.b1.+2000000000", true)
	f.Add("s1.main.hall-2.b1.02000000000", true)
	f.Add("s1.main..b1.2000000000", true)
	f.Add(formatSession(sessionKey, box, time.Unix(2_000_000_000, 0)), false)
	f.Add("s2.a.b.c.d.e", false)
	f.Fuzz(func(t *testing.T, text string, sign bool) {
		if sign { // get past the MAC, to what is behind it
			text = signSession(sessionKey, text)
		}
		got, until, err := parseSession(sessionKey, text, now)
		if err != nil {
			if !errors.Is(err, ErrSession) && !errors.Is(err, ErrSessionEnded) {
				t.Errorf("parseSession(%q): got %v, want one of the two errors", text, err)
			}
			return
		}
		if again := formatSession(sessionKey, got, until); again != text {
			t.Errorf("parseSession(%q) reads what is written %q", text, again)
		}
	})
}
