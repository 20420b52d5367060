package projection

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strings"
	"time"

	"signalbox/sync/wire"

	"go.etcd.io/bbolt"
)

// Result is the outcome of a command that a box has reported. It stays until
// Done, so that a node that dies before it has handed it on does so later.
type Result struct {
	Box  wire.BoxID
	ID   string // of the command
	OK   bool
	Text string
	At   time.Time
	key  []byte
}

// tellResults queues a frame's results. When nobody takes them the oldest go.
func (t *Tx) tellResults(box wire.BoxID, f *wire.Frame) error {
	in := t.bucket(bucketResults)
	for _, r := range f.GetResults() {
		n, err := in.NextSequence()
		if err != nil {
			return err
		}
		e := &encoder{}
		e.string(box.String())
		e.string(r.GetId())
		e.bool(r.GetOk())
		e.string(r.GetText())
		e.int(r.GetAtMs())
		if err := in.Put(binary.BigEndian.AppendUint64(nil, n), e.b); err != nil {
			return err
		}
		if n > maxResults {
			if err := in.Delete(binary.BigEndian.AppendUint64(nil, n-maxResults)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Results returns up to n outcomes that wait, the oldest first and those that
// came after the one given; nil: all.
func (p *Projection) Results(after *Result, n int) (results []Result, err error) {
	err = p.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(bucketResults)).Cursor()
		k, v := c.First()
		if after != nil {
			if k, v = c.Seek(after.key); bytes.Equal(k, after.key) {
				k, v = c.Next()
			}
		}
		for ; k != nil && len(results) < n; k, v = c.Next() {
			d := &decoder{b: v}
			id, parseErr := wire.ParseBoxID(d.string())
			r := Result{Box: id, ID: d.string(), OK: d.bool(), Text: strings.Clone(d.string()), At: msTime(d.int()), key: slices.Clone(k)}
			if d.end() != nil || parseErr != nil {
				return ErrDamaged
			}
			results = append(results, r)
		}
		return nil
	})
	return results, err
}

// Done removes results that were handed on.
func (p *Projection) Done(results []Result) error {
	if len(results) == 0 {
		return nil
	}
	return p.db.Update(func(tx *bbolt.Tx) error {
		for _, r := range results {
			if err := tx.Bucket([]byte(bucketResults)).Delete(r.key); err != nil {
				return err
			}
		}
		return nil
	})
}
