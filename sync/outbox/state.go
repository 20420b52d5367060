package outbox

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"signalbox/sync/wire"
)

// State is what frames stand for and what must not be done twice. It is changed
// within Commit and Update alone, and kept with them or not at all.
type State struct {
	// Counters are the totals of the newest frame.
	Counters map[wire.MetricID]uint64 `json:"counters"`
	// Reported is what the cloud was told of rooms; Draft.Rooms keeps it.
	Reported wire.Reported `json:"reported"`
	// Commands were begun and are not begun again. Those that have expired and
	// are done go by themselves.
	Commands map[string]Command `json:"commands,omitempty"`
	// Policy is the newest desired policy that was taken, nil for none, and
	// PolicyFault why the one of revision Refused was not.
	Policy      *wire.Policy     `json:"policy,omitempty"`
	PolicyFault wire.PolicyFault `json:"policy_fault,omitempty"`
	Refused     uint64           `json:"refused,omitempty"`
	// Alerts hold now; Alert keeps it.
	Alerts map[wire.AlertKind]bool `json:"alerts,omitempty"`
	// Box is for whom is counted, as wire.BoxID writes it.
	Box string `json:"box,omitempty"`
	// EndMs is when the newest frame ended, Unix milliseconds of the box.
	EndMs int64 `json:"end_ms,omitempty"`

	hours hours
	apart bool // what came since the file was opened is kept apart, see hour.recent
}

// Command is one that was begun.
type Command struct {
	Expires time.Time `json:"expires"`
	// Done says that its result is in a frame.
	Done bool `json:"done,omitempty"`
}

// Alert tells that a condition holds or does not, if that is news.
func (s *State) Alert(d *wire.Draft, kind wire.AlertKind, holds bool, at time.Time, value int64) {
	if s.Alerts[kind] == holds {
		return
	}
	d.Alert(kind, holds, at, value)
	if holds {
		s.Alerts[kind] = true
	} else {
		delete(s.Alerts, kind)
	}
}

func newState() State {
	return State{
		Counters: map[wire.MetricID]uint64{}, Commands: map[string]Command{}, Alerts: map[wire.AlertKind]bool{}, hours: hours{},
	}
}

// clone is a copy that a transaction may change and then not keep.
func (s *State) clone() State {
	c := *s
	c.Counters, c.Commands, c.Alerts = maps.Clone(s.Counters), maps.Clone(s.Commands), maps.Clone(s.Alerts)
	c.Reported.Rooms = maps.Clone(s.Reported.Rooms)
	c.hours = s.hours.clone()
	return c
}

// maxCommandsKept bounds Commands; the cloud has no more that could come again.
const maxCommandsKept = 256

// forgetCommands drops what cannot come again. A clock that is far ahead must
// not make a command be carried out twice, so that it takes a day more.
func (s *State) forgetCommands(now time.Time) {
	var done []string // what expires soonest first
	for id, c := range s.Commands {
		switch {
		case c.Done && now.Sub(c.Expires) > 24*time.Hour:
			delete(s.Commands, id)
		case c.Done:
			done = append(done, id)
		}
	}
	over := min(len(s.Commands)-maxCommandsKept, len(done))
	if over <= 0 {
		return
	}
	slices.SortFunc(done, func(a, b string) int { return s.Commands[a].Expires.Compare(s.Commands[b].Expires) })
	for _, id := range done[:over] {
		delete(s.Commands, id)
	}
}

var (
	framesBucket = []byte("frames")
	roomsBucket  = []byte("rooms")
	hoursBucket  = []byte("hours")
	stateBucket  = []byte("state")
	stateKey     = []byte("state")
)

// record is what lies under stateKey: the outbox's own numbers, and State but
// for rooms and hours, which have buckets of their own.
type record struct {
	Incarnation uint64 `json:"incarnation,string"`
	// Seq is the newest frame's number; Covered the highest that frames stand
	// for or that is applied: less than Seq after a damaged frame was left out.
	Seq     uint64 `json:"seq"`
	Covered uint64 `json:"covered"`
	Applied uint64 `json:"applied"`
	Merged  uint64 `json:"merged,omitempty"`
	Lost    uint64 `json:"lost,omitempty"`
	// Since are the counters when the cloud and this outbox last agreed, kept
	// from the first opening after that on: what a restored copy of the file
	// counts beyond them, the cloud has not heard.
	Since map[wire.MetricID]uint64 `json:"since"`
	// Opened is Seq plus one at that opening. A cloud that knows of a higher
	// number heard it from another copy of this file.
	Opened uint64 `json:"opened,omitempty"`
	Rooms  int    `json:"rooms"` // how many have a record
	// Commits counts transactions, to tell whether one has landed.
	Commits uint64 `json:"commits"`
	State   State  `json:"state"`
}

// load reads what save wrote.
func (r *record) load(tx *bbolt.Tx) error {
	*r = record{State: newState()}
	b := tx.Bucket(stateBucket)
	if b == nil || tx.Bucket(framesBucket) == nil || tx.Bucket(roomsBucket) == nil || tx.Bucket(hoursBucket) == nil {
		return fmt.Errorf("%w: a bucket is missing", ErrDamaged)
	}
	data, err := unseal(b.Get(stateKey))
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if err := json.Unmarshal(data, r); err != nil {
		return fmt.Errorf("%w: state: %w", ErrDamaged, err)
	}
	if r.Incarnation == 0 {
		return fmt.Errorf("%w: it has no incarnation", ErrDamaged)
	}
	if r.State.Reported.Veil != 0 {
		r.State.Reported.Rooms = map[string]wire.RoomState{}
	}
	if err := loadRooms(tx, &r.State.Reported); err != nil {
		return err
	}
	if len(r.State.Reported.Rooms) != r.Rooms {
		r.State.Reported.Whole = true
	}
	return r.State.hours.load(tx)
}

// save writes what has changed since was.
func (r *record) save(tx *bbolt.Tx, was *record) error {
	r.Rooms = len(r.State.Reported.Rooms)
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := tx.Bucket(stateBucket).Put(stateKey, seal(data)); err != nil {
		return err
	}
	if err := saveRooms(tx.Bucket(roomsBucket), r.State.Reported.Rooms, was.State.Reported.Rooms); err != nil {
		return err
	}
	return r.State.hours.save(tx.Bucket(hoursBucket), was.State.hours)
}

// Rooms have a record each, so that a commit writes only those that changed.
func saveRooms(b *bbolt.Bucket, now, was map[string]wire.RoomState) error {
	for id := range was {
		if _, ok := now[id]; !ok {
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
		}
	}
	for id, s := range now {
		if old, ok := was[id]; ok && old == s {
			continue
		}
		value := binary.BigEndian.AppendUint32(nil, s.Members)
		value = binary.BigEndian.AppendUint64(value, uint64(s.CreatedMs))
		if err := b.Put([]byte(id), seal(value)); err != nil {
			return err
		}
	}
	return nil
}

// loadRooms reads them. One that is damaged makes the next frame tell of all.
func loadRooms(tx *bbolt.Tx, reported *wire.Reported) error {
	return tx.Bucket(roomsBucket).ForEach(func(k, v []byte) error {
		value, err := unseal(v)
		if err != nil || len(value) != 12 || reported.Rooms == nil {
			reported.Whole = true
			return nil //nolint:nilerr // told again
		}
		reported.Rooms[string(k)] = wire.RoomState{Members: binary.BigEndian.Uint32(value), CreatedMs: int64(binary.BigEndian.Uint64(value[4:]))}
		return nil
	})
}
