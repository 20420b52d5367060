package projection

import (
	"maps"
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
	seq       uint64
	gone      bool // kept while frames are missing that may still speak of it
	members   uint32
	createdMs int64
}

// roomList is the rooms by id, and how many of them are open.
type roomList struct {
	rooms   map[string]roomState
	open    int
	changed bool
}

func (b *box) readRooms() (*roomList, error) {
	if b.rooms == nil {
		b.rooms = &roomList{rooms: map[string]roomState{}}
		if d := (&decoder{b: b.tx.get(bucketRooms, b.key)}); len(d.b) > 0 {
			b.rooms.decode(d)
			if err := d.end(); err != nil {
				return nil, err
			}
		}
	}
	return b.rooms, nil
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
	if f.GetAllRooms() {
		// What is not listed is gone, unless a later frame has spoken of it.
		b.roomsSeq = f.GetLast()
		l.remove(func(r roomState) bool { return r.seq < f.GetLast() })
	}
	for _, r := range f.GetRooms() {
		if !l.tell(strings.Clone(r.GetId()), roomState{f.GetLast(), r.GetGone(), r.GetMembers(), r.GetCreatedMs()}) {
			b.dropped++
		}
	}
	b.roomCount = l.open
	return nil
}

// tell takes in one room, and reports whether there was room for it.
func (l *roomList) tell(id string, r roomState) bool {
	was, known := l.rooms[id]
	if known && was.seq > r.seq {
		return true
	}
	open := l.open
	if known && !was.gone {
		open--
	}
	if !r.gone && open >= maxRooms || !known && len(l.rooms) >= maxRoomMarks {
		return false
	}
	if !r.gone {
		open++
	}
	l.rooms[id], l.open, l.changed = r, open, true
	return true
}

func (l *roomList) remove(which func(roomState) bool) {
	maps.DeleteFunc(l.rooms, func(_ string, r roomState) bool {
		if !which(r) {
			return false
		}
		if !r.gone {
			l.open--
		}
		l.changed = true
		return true
	})
}

// forgetRooms drops the marks of rooms that are gone once nothing is missing.
// A message that told of no rooms may be the one that was missing.
func (b *box) forgetRooms(before coverage) error {
	if len(b.current.coverage.above) > 0 || b.rooms == nil && len(before.above) == 0 {
		return nil
	}
	l, err := b.readRooms()
	if err == nil {
		l.remove(func(r roomState) bool { return r.gone })
	}
	return err
}

// encode writes them in the order of their ids.
func (l *roomList) encode() []byte {
	if len(l.rooms) == 0 {
		return nil
	}
	e := &encoder{}
	list(e, slices.Sorted(maps.Keys(l.rooms)), func(e *encoder, id *string) {
		r := l.rooms[*id]
		e.string(*id)
		e.uint(r.seq)
		e.bool(r.gone)
		e.uint(uint64(r.members))
		e.int(r.createdMs)
	})
	return e.b
}

func (l *roomList) decode(d *decoder) {
	unlist(d, func(d *decoder, _ *struct{}) {
		id := d.string()
		r := roomState{d.uint(), d.bool(), uint32(d.uint()), d.int()}
		l.rooms[id] = r
		if !r.gone {
			l.open++
		}
	})
}
