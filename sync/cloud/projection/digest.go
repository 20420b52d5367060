package projection

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Digest is a hash of a set of records: the sum of their hashes, so that a
// record is added and removed without reading the others. It finds faults and
// differences; it is no protection against somebody who writes the file.
type Digest struct{ a, b uint64 }

func (d Digest) String() string {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], d.a)
	binary.BigEndian.PutUint64(raw[8:], d.b)
	return hex.EncodeToString(raw[:])
}

func (d *Digest) add(bucket string, key, value []byte) {
	a, b := recordHash(bucket, key, value)
	d.a, d.b = d.a+a, d.b+b
}

func (d *Digest) remove(bucket string, key, value []byte) {
	a, b := recordHash(bucket, key, value)
	d.a, d.b = d.a-a, d.b-b
}

func recordHash(bucket string, key, value []byte) (a, b uint64) {
	head := make([]byte, 0, 512)
	head = append(append(head, bucket...), 0)
	head = binary.AppendUvarint(head, uint64(len(key)))
	head = append(append(head, key...), value...)
	sum := sha256.Sum256(head)
	return binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])
}

// Hash is the state of a projection after a message of the stream.
type Hash struct {
	Seq    uint64 // of the last message that is part of it
	Digest Digest
}
