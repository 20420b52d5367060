package broker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"signalbox/sync/wire"
)

// Errors of session names.
var (
	// ErrSession is returned for what is not a session name that a node of this
	// cloud has signed.
	ErrSession = errors.New("not a session of this cloud")
	// ErrSessionEnded is returned for a session name that was good once.
	ErrSessionEnded = errors.New("session has ended")
)

const (
	sessionScheme  = "s1"
	sessionPurpose = "signalbox session 1\x00"
	// maxSession is more than any name that formatSession writes.
	maxSession = 3*(wire.MaxName+1) + 64
)

// formatSession writes the name that stands for a box up to a time:
// s1.TENANT.SITE.BOX.UNIXSECONDS.MAC, the MAC in base64url.
func formatSession(key []byte, box wire.BoxID, until time.Time) string {
	head := sessionScheme + "." + box.String() + "." + strconv.FormatInt(until.Unix(), 10)
	return signSession(key, head)
}

func signSession(key []byte, head string) string {
	return head + "." + base64.RawURLEncoding.EncodeToString(sessionMAC(key, head))
}

// parseSession reads a name of formatSession. One name has one spelling.
func parseSession(key []byte, name string, now time.Time) (wire.BoxID, time.Time, error) {
	fail := func() (wire.BoxID, time.Time, error) { return wire.BoxID{}, time.Time{}, ErrSession }
	if len(name) > maxSession {
		return fail()
	}
	cut := strings.LastIndexByte(name, '.')
	if cut < 0 {
		return fail()
	}
	head := name[:cut]
	mac, err := base64.RawURLEncoding.Strict().DecodeString(name[cut+1:])
	if err != nil || !hmac.Equal(mac, sessionMAC(key, head)) {
		return fail()
	}
	// What follows is ours: the MAC says so.
	rest, ok := strings.CutPrefix(head, sessionScheme+".")
	cut = strings.LastIndexByte(rest, '.')
	if !ok || cut < 0 {
		return fail()
	}
	box, err := wire.ParseBoxID(rest[:cut])
	if err != nil {
		return fail()
	}
	seconds, err := strconv.ParseInt(rest[cut+1:], 10, 64)
	if err != nil || strconv.FormatInt(seconds, 10) != rest[cut+1:] {
		return fail()
	}
	until := time.Unix(seconds, 0)
	if !now.Before(until) {
		return wire.BoxID{}, time.Time{}, fmt.Errorf("session of %s: %w at %s", box, ErrSessionEnded, until.UTC().Format(time.RFC3339))
	}
	return box, until, nil
}

func sessionMAC(key []byte, head string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(sessionPurpose))
	mac.Write([]byte(head))
	return mac.Sum(nil)
}
