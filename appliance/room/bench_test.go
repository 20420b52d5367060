package room_test

import (
	"fmt"
	"testing"

	"signalbox/appliance/room"
)

// crowd returns a state of rooms with members in each.
func crowd(b *testing.B, rooms, members int) *room.State {
	b.Helper()
	s := room.New(room.Origin{Box: "box", Incarnation: 1}, room.Limits{Rooms: rooms, Capacity: members + 1, Members: members + 1})
	for r := range rooms {
		name := fmt.Sprintf("room-%d", r)
		if _, err := s.Create(room.Info{Name: name, Description: "of a benchmark"}); err != nil {
			b.Fatal(err)
		}
		for m := range members {
			if _, err := s.Join(name, room.Member{ID: fmt.Sprintf("member-%d", m), Subject: "cam", Name: "Camera"}); err != nil {
				b.Fatal(err)
			}
		}
	}
	return s
}

func BenchmarkJoinLeave(b *testing.B) {
	for _, members := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("members=%d", members), func(b *testing.B) {
			s := crowd(b, 1, members)
			m := room.Member{ID: "one-more", Subject: "cam", Name: "Camera", Meta: []byte(`{"a":1}`)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Join("room-0", m); err != nil {
					b.Fatal(err)
				}
				s.Leave("room-0", m.ID)
			}
		})
	}
}

// BenchmarkShareJoin is a join told to a second box: delta, encode, decode, merge.
func BenchmarkShareJoin(b *testing.B) {
	s := crowd(b, 100, 100)
	peer := room.New(room.Origin{Box: "peer", Incarnation: 1}, room.Limits{})
	if _, err := peer.Merge(s.Snapshot()); err != nil {
		b.Fatal(err)
	}
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Join("room-0", room.Member{ID: "member-1", Subject: "cam", Name: "Camera"}); err != nil {
			b.Fatal(err)
		}
		raw := s.Delta(peer.Vector()).Encode()
		d, err := room.DecodeDelta(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := peer.Merge(d); err != nil {
			b.Fatal(err)
		}
		size = len(raw)
	}
	b.ReportMetric(float64(size), "wire-bytes")
}

// BenchmarkSnapshot is 10,000 rooms with 10 members each, over the wire.
func BenchmarkSnapshot(b *testing.B) {
	s := crowd(b, 10_000, 10)
	peer := room.New(room.Origin{Box: "peer", Incarnation: 1}, room.Limits{})
	size := 0
	b.ReportAllocs()
	for b.Loop() {
		raw := s.Snapshot().Encode()
		d, err := room.DecodeDelta(raw)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := peer.Merge(d); err != nil {
			b.Fatal(err)
		}
		size = len(raw)
	}
	b.ReportMetric(float64(size), "wire-bytes")
}

func BenchmarkRooms(b *testing.B) {
	s := crowd(b, 10_000, 10)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Rooms()
	}
}
