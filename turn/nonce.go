package turn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"net/netip"
	"sync"
	"time"
)

// nonceLifetime is how long a client may use a nonce: RFC 8656 §5 asks for at
// least an hour.
const nonceLifetime = time.Hour

const (
	nonceTime = 4
	nonceMAC  = 8
)

// nonces makes and checks the nonces of the credential exchange. They carry
// their time and are bound to the client's address, so that none is stored and
// none is of use to anyone else. Sixteen characters keep the challenge, which
// goes to an unproven address, small.
type nonces struct {
	key   [32]byte
	seals sync.Pool // of *nonceSeal, since one takes 700 bytes and every request needs it
}

// nonceSeal is what sealing a nonce takes beside the key.
type nonceSeal struct {
	mac    hash.Hash
	input  [nonceTime + 16 + 2]byte // time, address and port
	output [sha256.Size]byte
}

func newNonces() *nonces {
	n := new(nonces)
	_, _ = rand.Read(n.key[:]) // never fails
	n.seals.New = func() any { return &nonceSeal{mac: hmac.New(sha256.New, n.key[:])} }
	return n
}

// issue makes a nonce for client.
func (n *nonces) issue(client netip.AddrPort, now time.Time) string {
	var b [nonceTime + nonceMAC]byte
	binary.BigEndian.PutUint32(b[:], uint32(now.Unix()))
	n.seal(&b, client)
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// check says whether nonce was issued to client, and whether that was not too
// long ago. Nobody else can have one that is genuine, however old it is. A jump
// of the clock makes nonces stale, which costs the client one round trip.
func (n *nonces) check(nonce []byte, client netip.AddrPort, now time.Time) (genuine, fresh bool) {
	var got, want [nonceTime + nonceMAC]byte
	if len(nonce) != base64.RawURLEncoding.EncodedLen(len(got)) {
		return false, false
	}
	// A line break in it would be skipped: then there are fewer bytes.
	if size, err := base64.RawURLEncoding.Decode(got[:], nonce); err != nil || size != len(got) {
		return false, false
	}
	copy(want[:], got[:nonceTime])
	n.seal(&want, client)
	age := now.Unix() - int64(binary.BigEndian.Uint32(got[:]))
	genuine = hmac.Equal(got[:], want[:])
	return genuine, genuine && age >= -60 && age <= int64(nonceLifetime/time.Second)
}

// seal completes a nonce that has its time.
func (n *nonces) seal(nonce *[nonceTime + nonceMAC]byte, client netip.AddrPort) {
	s := n.seals.Get().(*nonceSeal)
	defer n.seals.Put(s)
	copy(s.input[:], nonce[:nonceTime])
	addr := client.Addr().As16()
	copy(s.input[nonceTime:], addr[:])
	binary.BigEndian.PutUint16(s.input[nonceTime+len(addr):], client.Port())
	s.mac.Reset()
	s.mac.Write(s.input[:])
	copy(nonce[nonceTime:], s.mac.Sum(s.output[:0]))
}
