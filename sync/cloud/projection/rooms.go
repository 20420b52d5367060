package projection

import (
	"slices"
	"strings"
	"time"

	"signalbox/sync/wire"
)

// Room is a room that is open now.
type Room struct {
	ID      string
	Members uint32
	Created time.Time // by the box's clock; zero when it did not say
}

// roomState is a room and the frame that last told of it.
type roomState struct {
	id        string
	seq       uint64
	gone      bool // kept while frames are missing that may still speak of it
	members   uint32
	createdMs int64
}

// roomList is ascending in id.
type roomList struct {
	rooms   []roomState
	changed bool
}

func (b *box) readRooms() (*roomList, error) {
	if b.rooms == nil {
		d := &decoder{b: b.tx.get(bucketRooms, b.key)}
		b.rooms = &roomList{}
		if len(d.b) > 0 {
			b.rooms.rooms = decodeRooms(d)
			if err := d.end(); err != nil {
				return nil, err
			}
		}
	}
	return b.rooms, nil
}

func (b *box) setRooms(rooms []roomState) {
	b.rooms = &roomList{rooms: rooms, changed: true}
	b.countRooms()
}

func (b *box) countRooms() {
	b.roomCount = 0
	for i := range b.rooms.rooms {
		if !b.rooms.rooms[i].gone {
			b.roomCount++
		}
	}
}

// tellRooms takes in what a frame of the current incarnation tells of rooms.
func (b *box) tellRooms(f *wire.Frame) error {
	if len(f.GetRooms()) == 0 && !f.GetAllRooms() || f.GetLast() < b.roomsSeq {
		return nil
	}
	l, err := b.readRooms()
	if err != nil {
		return err
	}
	l.changed = true
	if f.GetAllRooms() {
		// What is not listed is gone, unless a later frame has spoken of it.
		b.roomsSeq = f.GetLast()
		l.rooms = slices.DeleteFunc(l.rooms, func(r roomState) bool { return r.seq < f.GetLast() })
	}
	for _, r := range f.GetRooms() {
		if !l.tell(roomState{strings.Clone(r.GetId()), f.GetLast(), r.GetGone(), r.GetMembers(), r.GetCreatedMs()}, b.roomCount) {
			b.dropped++
		}
		b.countRooms()
	}
	b.forgetRooms()
	return nil
}

// tell takes in one room, if there is room for it among the open ones.
func (l *roomList) tell(r roomState, open int) bool {
	i, ok := slices.BinarySearchFunc(l.rooms, r.id, func(have roomState, id string) int { return strings.Compare(have.id, id) })
	if ok {
		if l.rooms[i].seq > r.seq {
			return true
		}
		if !l.rooms[i].gone || r.gone {
			l.rooms[i] = r
			return true
		}
	}
	if !r.gone && open >= maxRooms || !ok && len(l.rooms) >= maxRoomMarks {
		return false
	}
	if ok {
		l.rooms[i] = r
	} else {
		l.rooms = slices.Insert(l.rooms, i, r)
	}
	return true
}

// forgetRooms drops the marks of rooms that are gone once nothing is missing.
func (b *box) forgetRooms() {
	if b.rooms == nil || len(b.current.coverage.above) > 0 {
		return
	}
	n := len(b.rooms.rooms)
	b.rooms.rooms = slices.DeleteFunc(b.rooms.rooms, func(r roomState) bool { return r.gone })
	b.rooms.changed = b.rooms.changed || len(b.rooms.rooms) != n
}

func (l *roomList) encode() []byte {
	if len(l.rooms) == 0 {
		return nil
	}
	e := &encoder{}
	list(e, l.rooms, func(e *encoder, r *roomState) {
		e.string(r.id)
		e.uint(r.seq)
		e.bool(r.gone)
		e.uint(uint64(r.members))
		e.int(r.createdMs)
	})
	return e.b
}

func decodeRooms(d *decoder) []roomState {
	return unlist(d, func(d *decoder, r *roomState) {
		r.id = d.string()
		r.seq = d.uint()
		r.gone = d.bool()
		r.members = uint32(d.uint())
		r.createdMs = d.int()
	})
}
