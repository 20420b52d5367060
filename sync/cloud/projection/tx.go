package projection

import (
	"encoding/binary"
	"slices"
	"time"

	"signalbox/sync/wire"

	"go.etcd.io/bbolt"
)

// Buckets. Those in hashed are the state; the others are the node's own.
const (
	bucketMeta     = "meta"
	bucketBoxes    = "boxes"    // id: box
	bucketPast     = "past"     // id 0 incarnation: incarnation
	bucketRooms    = "rooms"    // id: roomList
	bucketHours    = "hours"    // id 0 hour: Hour, but for each box's newest
	bucketPoints   = "points"   // id 0 hour: chunk, likewise
	bucketSketches = "sketches" // see sketch
	bucketEvents   = "events"   // id 0 ms raised kind: value late
	bucketRefused  = "refused"  // reason: count, of boxes of which nothing is known
	bucketResults  = "results"  // number: outcome of a command, until handed on
	bucketMarks    = "marks"    // hour id: an hour that has changed since it was rolled up
)

var (
	hashed  = []string{bucketBoxes, bucketPast, bucketRooms, bucketHours, bucketPoints, bucketSketches, bucketEvents, bucketRefused}
	unowned = []string{bucketMeta, bucketResults, bucketMarks}
)

// Keys of bucketMeta.
var (
	keyPosition = []byte("position")
	keyDigest   = []byte("digest")
	keyForm     = []byte("form")
	keyLoaded   = []byte("loaded") // the stream RU was read
	keyMixed    = []byte("mixed")  // not all of the state comes from the stream as it is now
)

// form is the version of the records. A file of another is built again.
const form = 2

// Tx is a change of the projection: some messages, applied together.
type Tx struct {
	tx     *bbolt.Tx
	at     Position
	digest Digest
	nowMs  int64 // stream time of the message at hand
	boxes  map[wire.BoxID]*box
	marked map[string]struct{} // this transaction's marks
}

func begin(tx *bbolt.Tx) *Tx {
	t := &Tx{tx: tx, boxes: map[wire.BoxID]*box{}, marked: map[string]struct{}{}}
	meta := tx.Bucket([]byte(bucketMeta))
	t.at = decodePosition(meta.Get(keyPosition))
	if sum := meta.Get(keyDigest); len(sum) == 16 {
		t.digest = Digest{binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:])}
	}
	t.nowMs = t.at.Time.UnixMilli()
	return t
}

// finish writes what the messages have changed.
func (t *Tx) finish() error {
	for _, b := range t.sorted() {
		if err := b.flush(); err != nil {
			return err
		}
	}
	meta := t.tx.Bucket([]byte(bucketMeta))
	if err := meta.Put(keyPosition, t.at.encode()); err != nil {
		return err
	}
	sum := binary.BigEndian.AppendUint64(nil, t.digest.a)
	return meta.Put(keyDigest, binary.BigEndian.AppendUint64(sum, t.digest.b))
}

// sorted are the boxes of the transaction by key: writing in order is cheaper.
func (t *Tx) sorted() []*box {
	all := make([]*box, 0, len(t.boxes))
	for _, b := range t.boxes {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *box) int { return slices.Compare(a.key, b.key) })
	return all
}

// box reads a box, once in a transaction; nil when there is no record of it.
func (t *Tx) box(id wire.BoxID) (*box, error) {
	if b, ok := t.boxes[id]; ok {
		return b, nil
	}
	b := t.blank(id)
	record := t.get(bucketBoxes, b.key)
	if record == nil {
		return nil, nil
	}
	if err := b.decode(record); err != nil {
		return nil, err
	}
	t.boxes[id] = b
	return b, nil
}

// makeBox is box, but begins a record where there is none.
func (t *Tx) makeBox(id wire.BoxID) (*box, error) {
	b, err := t.box(id)
	if b == nil && err == nil {
		b = t.blank(id)
		t.boxes[id] = b
	}
	return b, err
}

func (t *Tx) blank(id wire.BoxID) *box {
	return &box{tx: t, id: id, key: []byte(id.String()), loaded: map[uint64]*incarnation{}, hours: map[int64]*openHour{}}
}

func (t *Tx) bucket(name string) *bbolt.Bucket { return t.tx.Bucket([]byte(name)) }

// get returns a record that is valid until the transaction ends or it changes.
func (t *Tx) get(bucket string, key []byte) []byte { return t.bucket(bucket).Get(key) }

func (t *Tx) put(bucket string, key, value []byte) error {
	in := t.bucket(bucket)
	if old := in.Get(key); old != nil {
		t.digest.remove(bucket, key, old)
	}
	t.digest.add(bucket, key, value)
	return in.Put(key, value)
}

func (t *Tx) delete(bucket string, key []byte) error {
	in := t.bucket(bucket)
	old := in.Get(key)
	if old == nil {
		return nil
	}
	t.digest.remove(bucket, key, old)
	return in.Delete(key)
}

// putOrDelete keeps no empty records.
func (t *Tx) putOrDelete(bucket string, key, value []byte) error {
	if len(value) == 0 {
		return t.delete(bucket, key)
	}
	return t.put(bucket, key, value)
}

// mark notes that an hour of a box must be rolled up, again or for the first time.
func (t *Tx) mark(hour int64, box []byte) error {
	key := append(binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(box)), uint64(hour)), box...)
	if _, ok := t.marked[string(key)]; ok {
		return nil
	}
	t.marked[string(key)] = struct{}{}
	if marks := t.bucket(bucketMarks); marks.Get(key) == nil {
		return marks.Put(key, nil)
	}
	return nil
}

// Position is how far a projection has come in which stream.
type Position struct {
	Stream time.Time // when the stream was created: its identity
	Seq    uint64    // of the last message applied; 0 for none
	Time   time.Time // of that message
}

func (p Position) encode() []byte {
	e := &encoder{}
	for _, t := range []time.Time{p.Stream, p.Time} {
		if t.IsZero() {
			e.int(0)
		} else {
			e.int(t.UnixNano())
		}
	}
	e.uint(p.Seq)
	return e.b
}

func decodePosition(record []byte) (p Position) {
	if len(record) == 0 {
		return p
	}
	d := &decoder{b: record}
	for _, t := range []*time.Time{&p.Stream, &p.Time} {
		if ns := d.int(); ns != 0 {
			*t = time.Unix(0, ns).UTC()
		}
	}
	p.Seq = d.uint()
	return p
}

// Position returns how far the transaction has come.
func (t *Tx) Position() Position { return t.at }

// Restart goes on with another stream, from its first message on, or begins
// with it. Nothing is forgotten: messages that were applied before change
// nothing. whole tells whether the stream still has all that it ever had.
func (t *Tx) Restart(stream time.Time, whole bool) error {
	mixed := t.at.Seq > 0 || !whole
	t.at = Position{Stream: stream, Time: t.at.Time}
	if mixed {
		return t.bucket(bucketMeta).Put(keyMixed, []byte{1})
	}
	return nil
}

func msTime(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
