package store

import (
	"errors"
	"fmt"
	"os"
	"time"

	"go.etcd.io/bbolt"
)

const (
	compactAbove = 1 << 20 // files smaller than this are left alone
	compactTx    = 1 << 20 // bytes per transaction while copying
)

// compact rewrites a file of which less than half is in use, and returns the
// database to go on with. When it cannot, the file stays as it is.
func (l *ladder) compact(db *database, found survey) (*database, error) {
	if found.fileBytes <= compactAbove || found.usedBytes > found.fileBytes/2 {
		return db, nil
	}
	temp, err := l.compacted(db)
	if err != nil {
		l.log.Warn("database not compacted", "err", err)
		return db, nil
	}
	if err := errors.Join(db.Close(), install(temp, l.path())); err != nil {
		return nil, errors.Join(err, os.Remove(temp))
	}
	l.log.Info("database compacted", "bytes", found.fileBytes-fileSize(l.path()))
	return openBolt(l.path(), l.cfg)
}

// compacted copies all records into a new file, verified and synced.
func (l *ladder) compacted(db *database) (string, error) {
	temp, err := fillTemp(l.cfg, func(dst *database) error {
		dst.NoSync = true // one sync at the end: nobody uses the file before
		return catchAll(func() error { return bbolt.Compact(dst.DB, db.DB, compactTx) })
	})
	if err != nil {
		return "", fmt.Errorf("copy records: %w", err)
	}
	if err := l.verify(temp); err != nil {
		return "", errors.Join(err, os.Remove(temp))
	}
	return temp, nil
}

// straighten rewrites a file whose records can all be read but whose tree
// would not survive a change, and returns the database to go on with.
func (l *ladder) straighten(db *database, crooked error) (*database, error) {
	temp, err := l.compacted(db)
	if err := errors.Join(err, db.Close()); err != nil && damaged(err) {
		return nil, asDamage(crooked)
	} else if err != nil {
		return nil, err
	}
	l.recovery = Recovery{Rung: RungRepaired, Problem: crooked.Error(), Time: time.Now()}
	l.keepBad()
	if err := install(temp, l.path()); err != nil {
		return nil, err
	}
	return openBolt(l.path(), l.cfg)
}
