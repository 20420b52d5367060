package turn

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"hash"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Credential lets a client use the relay until Expires. The username is the
// expiry in Unix seconds, a colon and the subject; the password is the base64
// of HMAC-SHA1(secret, username). This is the scheme that coturn, eturnal and
// the browsers' applications know as "TURN REST API", so that a credential
// needs no store and any of them can make one. Printing it hides the password.
//
// What Server.Issue makes has a stamp before the subject, which is part of the
// subject to everybody else: EXPIRY:~ISSUED:SUBJECT, with the second it was
// made in, or EXPIRY:~ISSUED.GRANT:SUBJECT. Revocation goes by it.
type Credential struct {
	Username string    `json:"username"`
	Password string    `json:"credential"`
	Expires  time.Time `json:"expires"`
}

// NewCredential makes a credential as anybody who shares the secret can. Its
// expiry is cut to whole seconds.
func NewCredential(secret []byte, subject string, expires time.Time) Credential {
	username := strconv.FormatInt(expires.Unix(), 10) + ":" + subject
	return Credential{
		Username: username,
		Password: password(secret, username),
		Expires:  time.Unix(expires.Unix(), 0),
	}
}

// Credential makes a credential for subject that is good for ttl, in the plain
// form of the scheme unless the subject is revoked. The subject may have 440
// bytes; with more of them the relay refuses the credential.
func (s *Server) Credential(subject string, ttl time.Duration) Credential {
	if _, revoked := s.keys.revoked.Load().before[subject]; revoked {
		return s.Issue(subject, "", ttl)
	}
	return NewCredential(s.keys.newest(), subject, time.Now().Add(ttl))
}

// Issue is Credential with a stamp, so that a revocation of the subject spares
// what is made after it. grant, unless empty, may be revoked by itself: what the
// caller signs users in with, in up to 32 letters and digits. Any other grant
// counts as none.
func (s *Server) Issue(subject, grant string, ttl time.Duration) Credential {
	now := time.Now()
	issued := s.keys.revoked.Load().after(subject, now)
	return NewStamped(s.keys.newest(), subject, grant, issued, now.Add(ttl))
}

// NewStamped is Issue without a running relay.
func NewStamped(secret []byte, subject, grant string, issued, expires time.Time) Credential {
	stamp := stampMark + strconv.FormatInt(issued.Unix(), 10)
	if validGrant(grant) {
		stamp += "." + grant
	}
	return NewCredential(secret, stamp+":"+subject, expires)
}

// stampMark begins a stamp. No number does, so that none is taken for one.
const stampMark = "~"

// parseStamp takes the stamp off a subject that has one.
func parseStamp(stamped string) (issued int64, grant, subject string) {
	stamp, subject, found := strings.Cut(stamped, ":")
	stamp, marked := strings.CutPrefix(stamp, stampMark)
	second, grant, granted := strings.Cut(stamp, ".")
	seconds, err := strconv.ParseUint(second, 10, 63)
	if !found || !marked || subject == "" || err != nil || granted && !validGrant(grant) {
		return 0, "", stamped
	}
	return int64(seconds), grant, subject
}

func validGrant(grant string) bool {
	return grant != "" && len(grant) <= 32 && !strings.ContainsFunc(grant, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// Format covers every verb, %#v included.
func (c Credential) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, c.Username+" [redacted]")
}

// LogValue keeps the password out of slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.Username + " [redacted]") }

func password(secret []byte, username string) string {
	return passwordOf(hmac.New(sha1.New, secret), username)
}

// passwords makes passwords of one secret and keeps what that takes, since
// whoever begins an allocation has one made.
type passwords struct{ macs sync.Pool } // of hash.Hash

func newPasswords(secret []byte) *passwords {
	p := new(passwords)
	p.macs.New = func() any { return hmac.New(sha1.New, secret) }
	return p
}

// of is password. Any goroutine may call it.
func (p *passwords) of(username string) string {
	mac := p.macs.Get().(hash.Hash)
	defer p.macs.Put(mac)
	mac.Reset()
	return passwordOf(mac, username)
}

func passwordOf(mac hash.Hash, username string) string {
	mac.Write([]byte(username))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// longTermKey is the key of MESSAGE-INTEGRITY (RFC 8489 §9.2.2).
func longTermKey(username, realm, password string) []byte {
	key := md5.Sum([]byte(username + ":" + realm + ":" + password))
	return key[:]
}

// parseUsername takes a username apart. ok is false when it has not the form
// EXPIRY:SUBJECT.
func parseUsername(username string) (expires time.Time, subject string, ok bool) {
	digits, subject, found := strings.Cut(username, ":")
	seconds, err := strconv.ParseUint(digits, 10, 63)
	if !found || subject == "" || err != nil {
		return time.Time{}, "", false
	}
	return time.Unix(int64(seconds), 0), subject, true
}
