package turn

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Credential lets a client use the relay until Expires. The username is the
// expiry in Unix seconds, a colon and the subject; the password is the base64
// of HMAC-SHA1(secret, username). This is the scheme that coturn, eturnal and
// the browsers' applications know as "TURN REST API", so that a credential
// needs no store and any of them can make one. Printing it hides the password.
type Credential struct {
	Username string    `json:"username"`
	Password string    `json:"credential"`
	Expires  time.Time `json:"expires"`
}

// NewCredential makes a credential without a running relay. Its expiry is cut
// to whole seconds.
func NewCredential(secret []byte, subject string, expires time.Time) Credential {
	username := strconv.FormatInt(expires.Unix(), 10) + ":" + subject
	return Credential{
		Username: username,
		Password: password(secret, username),
		Expires:  time.Unix(expires.Unix(), 0),
	}
}

// Credential makes a credential for subject that is good for ttl. The subject
// may have 480 bytes; with more of them the relay refuses the credential.
func (s *Server) Credential(subject string, ttl time.Duration) Credential {
	return NewCredential(s.secret, subject, time.Now().Add(ttl))
}

// Format covers every verb, %#v included.
func (c Credential) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, c.Username+" [redacted]")
}

// LogValue keeps the password out of slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.Username + " [redacted]") }

func password(secret []byte, username string) string {
	mac := hmac.New(sha1.New, secret)
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
