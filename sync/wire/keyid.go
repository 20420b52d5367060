package wire

import (
	"crypto"
	"crypto/sha256"
	"encoding/binary"
)

// KeyID is how batches and the registry call a key: the first 8 bytes of the
// SHA-256 of its SubjectPublicKeyInfo.
func KeyID(public crypto.PublicKey) (uint64, error) {
	der, err := MarshalKey(public)
	if err != nil {
		return 0, err
	}
	sum := sha256.Sum256(der)
	return binary.BigEndian.Uint64(sum[:]), nil
}
