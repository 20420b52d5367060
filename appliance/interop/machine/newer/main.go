//go:build linux && interop

// Command newer plays a version of Signalbox that opens the state of the one
// before it, writes it in a form that only later versions read, and ends.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/appliance/store"
)

func main() {
	if err := migrate(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "newer:", err)
	}
	os.Exit(1)
}

// migrate takes the state in dir over as a program of that version does, copy
// included, and then says in it that it takes a program of schema 9.
func migrate(dir, version string) error {
	cfg := store.Default()
	cfg.Dir, cfg.Program = dir, version
	s, err := store.Open(cfg)
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(filepath.Join(dir, "signalbox.db"), 0o600, &bbolt.Options{Timeout: time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	return errors.Join(db.Update(mark), db.Close())
}

// mark writes the file's marks: its schema, the oldest that reads it, and that
// of the last writer, sealed as every record is.
func mark(tx *bbolt.Tx) error {
	key := []byte("marks")
	var value []byte
	for range 3 {
		value = binary.BigEndian.AppendUint32(value, 9)
	}
	sum := crc32.Update(crc32.Checksum(key, crc32.MakeTable(crc32.Castagnoli)), crc32.MakeTable(crc32.Castagnoli), value)
	return tx.Bucket([]byte("schema")).Put(key, binary.BigEndian.AppendUint32(value, sum))
}
