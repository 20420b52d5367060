package store

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"go.etcd.io/bbolt"
)

// bbolt has no checksums but for its meta pages, so a flipped bit in a key or
// a room would pass unnoticed. Records of this package end in a CRC-32C over
// their name and their content.

const sealSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// seal returns value with the checksum of key and value behind it.
func seal(key, value []byte) []byte {
	b := make([]byte, len(value), len(value)+sealSize)
	copy(b, value)
	return binary.BigEndian.AppendUint32(b, checksum(key, value))
}

// unseal returns the value within record, or ErrDamaged. The value shares the
// record's memory.
func unseal(key, record []byte) ([]byte, error) {
	if len(record) < sealSize {
		return nil, fmt.Errorf("%w: record %q has %d bytes", ErrDamaged, key, len(record))
	}
	value, sum := record[:len(record)-sealSize], record[len(record)-sealSize:]
	if binary.BigEndian.Uint32(sum) != checksum(key, value) {
		return nil, fmt.Errorf("%w: record %q does not match its checksum", ErrDamaged, key)
	}
	return value, nil
}

// putSealed stores value under key in one of the package's buckets.
func putSealed(tx *bbolt.Tx, bucket, key, value []byte) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return missingBucket(bucket)
	}
	return b.Put(key, seal(key, value))
}

// getSealed returns the value under key, valid within tx.
func getSealed(tx *bbolt.Tx, bucket, key []byte) ([]byte, error) {
	b := tx.Bucket(bucket)
	if b == nil {
		return nil, missingBucket(bucket)
	}
	record := b.Get(key)
	if record == nil {
		return nil, fmt.Errorf("%s %q: %w", bucket, key, ErrNotFound)
	}
	return unseal(key, record)
}

// eachSealed calls fn for every record of the bucket in key order. Values are
// valid within tx.
func eachSealed(tx *bbolt.Tx, bucket []byte, fn func(key, value []byte) error) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return missingBucket(bucket)
	}
	return b.ForEach(func(key, record []byte) error {
		value, err := unseal(key, record)
		if err != nil {
			return err
		}
		return fn(key, value)
	})
}

func deleteRecord(tx *bbolt.Tx, bucket, key []byte) error {
	b := tx.Bucket(bucket)
	if b == nil {
		return missingBucket(bucket)
	}
	return b.Delete(key)
}

func missingBucket(name []byte) error {
	return fmt.Errorf("%w: bucket %s is missing", ErrDamaged, name)
}
