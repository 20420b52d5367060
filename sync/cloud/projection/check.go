package projection

import (
	"fmt"

	"signalbox/sync/wire"

	"go.etcd.io/bbolt"
)

// Check reads the whole file and tells whether its records are those that the
// hash was made of.
func (p *Projection) Check() error {
	return p.db.View(func(tx *bbolt.Tx) error {
		var d Digest
		for _, name := range hashed {
			err := tx.Bucket([]byte(name)).ForEach(func(k, v []byte) error {
				d.add(name, k, v)
				return nil
			})
			if err != nil {
				return err
			}
		}
		if want := begin(tx).digest; d != want {
			return fmt.Errorf("%w: records hash to %s, want %s", ErrDamaged, d, want)
		}
		return nil
	})
}

// Snapshot is what two projections are compared by.
type Snapshot struct {
	Hash Hash
	// History is a hash of totals and hours alone: what a node that began with
	// the stream RU has in common with one that has seen every message.
	History Digest
	// Whole tells whether the state comes from the stream UP as it is now, and
	// from all that it ever held: then Hash can be made again from it.
	Whole bool
}

// Snapshot reads all hours, in one state of the file.
func (p *Projection) Snapshot() (s Snapshot, err error) {
	err = p.db.View(func(tx *bbolt.Tx) error {
		t := begin(tx)
		s.Hash = Hash{t.at.Seq, t.digest}
		s.Whole = t.bucket(bucketMeta).Get(keyMixed) == nil
		if err := s.History.addBoxes(t); err != nil {
			return err
		}
		return t.bucket(bucketHours).ForEach(func(key, record []byte) error {
			s.History.add(bucketHours, key, record)
			return nil
		})
	})
	return s, err
}

// addBoxes adds each box's totals, and the hour that lies in its record.
func (d *Digest) addBoxes(t *Tx) error {
	return t.bucket(bucketBoxes).ForEach(func(key, record []byte) error {
		id, err := wire.ParseBoxID(string(key))
		if err != nil {
			return ErrDamaged
		}
		b := t.blank(id)
		if err := b.decode(record); err != nil {
			return err
		}
		totals, open := &encoder{}, &encoder{}
		totals.counts(b.view().Totals)
		d.add("totals", key, totals.b)
		if b.open.hour != 0 {
			b.open.Hour.encode(open)
			d.add(bucketHours, b.timeKey(b.open.hour, 0), open.b)
		}
		return nil
	})
}
