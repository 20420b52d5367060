package wire

import (
	"slices"
	"strings"
	"time"
)

// RoomFacts is what the box knows of an open room.
type RoomFacts struct {
	Name    string
	Members int
	Created time.Time
}

// Reported is what the cloud was told of rooms, to find what has changed since.
// Its zero value makes the next frame tell of all rooms.
type Reported struct {
	// Veil tells with which level and key; ids of others mean nothing now.
	Veil  uint64               `json:"veil"`
	Rooms map[string]RoomState `json:"-"` // by id as sent
	// Whole asks for all rooms again: a change of some was left out.
	Whole bool `json:"whole,omitempty"`
}

// RoomState is what was told of one room.
type RoomState struct {
	Members   uint32
	CreatedMs int64
}

// Rooms tells which of the open rooms have changed since reported, which it
// brings up to date; it must be called once for each frame. What exceeds
// MaxRooms is told by the next frames. After a change of the level or the key,
// and at level minimal at once, the cloud forgets what it was told before.
func (d *Draft) Rooms(reported *Reported, open []RoomFacts) {
	if d.veil.level == Minimal {
		open = nil
	}
	if reported.Veil != d.veil.mark() || reported.Whole || reported.Rooms == nil {
		*reported = Reported{Veil: d.veil.mark(), Rooms: map[string]RoomState{}}
		d.frame.AllRooms = true
	}
	now := make(map[string]RoomState, len(open))
	var changed []*Room
	for _, r := range open {
		id := d.veil.roomID(r.Name)
		if _, twice := now[id]; twice || id == "" {
			continue
		}
		s := RoomState{uint32(min(max(r.Members, 0), 1<<31-1)), wallMs(r.Created)}
		now[id] = s
		if was, ok := reported.Rooms[id]; !ok || was != s {
			changed = append(changed, &Room{Id: id, Members: s.Members, CreatedMs: s.CreatedMs})
		}
	}
	var gone []*Room
	for id := range reported.Rooms {
		if _, ok := now[id]; !ok {
			gone = append(gone, &Room{Id: id, Gone: true})
		}
	}
	byID := func(a, b *Room) int { return strings.Compare(a.GetId(), b.GetId()) }
	slices.SortFunc(gone, byID)
	slices.SortFunc(changed, byID)
	d.frame.Rooms = slices.Concat(gone, changed)
	d.frame.Rooms = d.frame.Rooms[:min(len(d.frame.Rooms), MaxRooms)]
	for _, r := range d.frame.Rooms {
		if r.GetGone() {
			delete(reported.Rooms, r.GetId())
		} else {
			reported.Rooms[r.GetId()] = now[r.GetId()]
		}
	}
}
