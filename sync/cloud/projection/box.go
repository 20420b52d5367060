package projection

import (
	"signalbox/sync/wire"

	"google.golang.org/protobuf/proto"
)

// box is the state of one box while a transaction works on it. Its record holds
// what every frame changes, so that a frame costs one write; what changes seldom
// or is old lies in buckets of its own.
type box struct {
	tx  *Tx
	id  wire.BoxID
	key []byte // id as text

	current incarnation
	lives   []life   // past ones that are told apart
	folded  []uint64 // past ones that are not
	others  []Count  // sum over all that are not current

	heardMs int64 // stream time of the newest message that was taken
	endMs   int64 // when the newest frame ended
	bytes   int64 // in the buckets that maxBytes bounds
	events  int   // past alerts kept
	lost    uint64
	dropped uint64 // rooms and metrics left out because of a bound
	refused []Refused

	gauges    []Gauge
	gaugesSeq uint64
	info      *wire.Box
	infoSeq   uint64
	alerts    []alertState
	roomsSeq  uint64 // of the last frame that told of all rooms
	roomCount int
	strip     strip
	open      openHour // the newest hour

	loaded map[uint64]*incarnation // past ones that were read; nil for one to delete
	hours  map[int64]*openHour     // older ones that this message touches
	rooms  *roomList               // nil until read
	// rolled and newDay tell that this message has begun an hour, and a day.
	rolled, newDay bool
	// pastAlerts are the events that this message tells of.
	pastAlerts []pastAlert
}

// openHour is an hour with its points.
type openHour struct {
	hour int64 // hours since 1970
	Hour
	points chunk
	stored bool // there is a record of the hour, or of its points, on disk
}

func (b *box) encode() []byte {
	e := &encoder{b: make([]byte, 0, 2048)}
	b.current.encode(e)
	list(e, b.lives, func(e *encoder, l *life) { e.fixed(l.id); e.int(l.usedMs) })
	list(e, b.folded, func(e *encoder, id *uint64) { e.fixed(*id) })
	e.counts(b.others)
	e.int(b.heardMs)
	e.int(b.endMs)
	e.int(b.bytes)
	e.uint(uint64(b.events))
	e.uint(b.lost)
	e.uint(b.dropped)
	list(e, b.refused, func(e *encoder, r *Refused) { e.string(r.Reason); e.uint(r.Count); e.int(r.lastMs) })
	e.gauges(b.gauges)
	e.uint(b.gaugesSeq)
	e.bytes(encodeInfo(b.info))
	e.uint(b.infoSeq)
	list(e, b.alerts, func(e *encoder, a *alertState) { a.encode(e) })
	e.uint(b.roomsSeq)
	e.uint(uint64(b.roomCount))
	b.strip.encode(e)
	e.int(b.open.hour)
	b.open.Hour.encode(e)
	b.open.points.encode(e)
	return e.b
}

func (b *box) decode(record []byte) error {
	d := &decoder{b: record}
	b.current.decode(d)
	b.lives = unlist(d, func(d *decoder, l *life) { l.id = d.fixed(); l.usedMs = d.int() })
	b.folded = unlist(d, func(d *decoder, id *uint64) { *id = d.fixed() })
	b.others = d.counts()
	b.heardMs = d.int()
	b.endMs = d.int()
	b.bytes = d.int()
	b.events = int(d.uint())
	b.lost = d.uint()
	b.dropped = d.uint()
	b.refused = unlist(d, func(d *decoder, r *Refused) { r.Reason = d.string(); r.Count = d.uint(); r.lastMs = d.int() })
	b.gauges = d.gauges()
	b.gaugesSeq = d.uint()
	b.info = d.info()
	b.infoSeq = d.uint()
	b.alerts = unlist(d, func(d *decoder, a *alertState) { a.decode(d) })
	b.roomsSeq = d.uint()
	b.roomCount = int(d.uint())
	b.strip.decode(d)
	b.open.hour = d.int()
	b.open.Hour.decode(d)
	b.open.points.decode(d)
	return d.end()
}

// encodeInfo writes the fields one by one: protobuf's own encoding may change
// with its library, and the hash must not.
func encodeInfo(i *wire.Box) []byte {
	if i == nil {
		return nil
	}
	e := &encoder{}
	for _, text := range []string{i.GetVersion(), i.GetArch(), i.GetPolicyFault(), i.GetLevel(), i.GetName(), i.GetLink()} {
		e.string(text)
	}
	for _, ms := range []int64{i.GetStartedMs(), i.GetCertEndMs(), i.GetBackupMs()} {
		e.int(ms)
	}
	e.uint(i.GetPolicy())
	return e.b
}

func (d *decoder) info() *wire.Box {
	data := d.take(d.uint())
	if len(data) == 0 {
		return nil
	}
	in := &decoder{b: data}
	i := &wire.Box{
		Version: in.string(), Arch: in.string(), PolicyFault: in.string(), Level: in.string(), Name: in.string(), Link: in.string(),
		StartedMs: in.int(), CertEndMs: in.int(), BackupMs: in.int(), Policy: in.uint(),
	}
	if in.end() != nil {
		d.fail()
	}
	return i
}

// cloneInfo keeps what a message says beyond its transaction.
func cloneInfo(i *wire.Box) *wire.Box { return proto.CloneOf(i) }

// past returns a past incarnation, nil if there is no record of it.
func (b *box) past(id uint64) (*incarnation, error) {
	if inc, ok := b.loaded[id]; ok {
		return inc, nil
	}
	record := b.tx.get(bucketPast, b.lifeKey(id))
	if record == nil {
		return nil, nil
	}
	inc := &incarnation{}
	d := &decoder{b: record}
	inc.decode(d)
	b.loaded[id] = inc
	return inc, d.end()
}

func (b *box) lifeKey(id uint64) []byte {
	e := &encoder{b: b.prefix(8)}
	e.fixed(id)
	return e.b
}

// prefix begins a key of this box in a bucket of many records a box.
func (b *box) prefix(room int) []byte {
	return append(append(make([]byte, 0, len(b.key)+1+room), b.key...), 0)
}

// flush writes what has changed. Records of older hours were written by settle.
func (b *box) flush() error {
	for id, inc := range b.loaded {
		if inc == nil {
			if err := b.tx.delete(bucketPast, b.lifeKey(id)); err != nil {
				return err
			}
			continue
		}
		e := &encoder{}
		inc.encode(e)
		if err := b.tx.put(bucketPast, b.lifeKey(id), e.b); err != nil {
			return err
		}
	}
	if b.rooms != nil && b.rooms.changed {
		if err := b.tx.putOrDelete(bucketRooms, b.key, b.rooms.encode()); err != nil {
			return err
		}
	}
	return b.tx.put(bucketBoxes, b.key, b.encode())
}
