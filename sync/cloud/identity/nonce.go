package identity

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// nonceLife is how long a nonce may be used, and nonceAhead how far the clock of
// the node that made it may be ahead.
const (
	nonceLife  = time.Minute
	nonceAhead = 10 * time.Second

	nonceTime, nonceRandom, nonceMAC = 8, 8, 16
)

// A nonce is a time in milliseconds, random bits and a MAC: nothing has to be
// kept of it, and every node with the same issuer knows it for its own.
func newNonce(key []byte, now time.Time) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()))
	b = append(b, make([]byte, nonceRandom)...)
	_, _ = rand.Read(b[nonceTime:]) // never fails, by its contract
	return base64.RawURLEncoding.EncodeToString(append(b, macNonce(key, b)...))
}

// checkNonce gives the reason why text is not a nonce in force, "" if it is.
func checkNonce(key []byte, text string, now time.Time) Reason {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != nonceTime+nonceRandom+nonceMAC {
		return ReasonNonceForged
	}
	head, mac := b[:nonceTime+nonceRandom], b[nonceTime+nonceRandom:]
	if !hmac.Equal(mac, macNonce(key, head)) {
		return ReasonNonceForged
	}
	made := time.UnixMilli(int64(binary.BigEndian.Uint64(head)))
	if age := now.Sub(made); age > nonceLife || age < -nonceAhead {
		return ReasonNonceExpired
	}
	return ""
}

func macNonce(key, head []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(head)
	return h.Sum(nil)[:nonceMAC]
}
