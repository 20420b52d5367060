package turn

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
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
type nonces struct{ key [32]byte }

func newNonces() *nonces {
	var n nonces
	_, _ = rand.Read(n.key[:]) // never fails
	return &n
}

// issue makes a nonce for client.
func (n *nonces) issue(client netip.AddrPort, now time.Time) string {
	b := make([]byte, nonceTime, nonceTime+sha256.Size)
	binary.BigEndian.PutUint32(b, uint32(now.Unix()))
	return base64.RawURLEncoding.EncodeToString(n.seal(b, client))
}

// check says whether nonce was issued to client, and whether that was not too
// long ago. Nobody else can have one that is genuine, however old it is. A jump
// of the clock makes nonces stale, which costs the client one round trip.
func (n *nonces) check(nonce string, client netip.AddrPort, now time.Time) (genuine, fresh bool) {
	got, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(got) != nonceTime+nonceMAC {
		return false, false
	}
	issued := make([]byte, nonceTime, nonceTime+sha256.Size)
	copy(issued, got)
	age := now.Unix() - int64(binary.BigEndian.Uint32(issued))
	genuine = hmac.Equal(got, n.seal(issued, client))
	return genuine, genuine && age >= -60 && age <= int64(nonceLifetime/time.Second)
}

func (n *nonces) seal(issued []byte, client netip.AddrPort) []byte {
	mac := hmac.New(sha256.New, n.key[:])
	mac.Write(issued)
	addr := client.Addr().As16()
	mac.Write(addr[:])
	mac.Write(binary.BigEndian.AppendUint16(nil, client.Port()))
	return mac.Sum(issued)[:nonceTime+nonceMAC]
}
