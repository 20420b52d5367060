package api_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"time"

	"signalbox/appliance/room"
)

// rooms is what signaling is to the API, without members' sockets.
type rooms struct {
	mu    sync.Mutex
	state *room.State
}

func newRooms() *rooms {
	return &rooms{state: room.New(room.Origin{Box: boxID, Incarnation: 1}, room.Limits{Rooms: 20})}
}

func (r *rooms) Rooms() []room.View {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Rooms()
}

func (r *rooms) Room(name string) (room.View, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Room(name)
}

func (r *rooms) CreateRoom(_ context.Context, info room.Info) (room.View, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Create(info)
}

func (r *rooms) UpdateRoom(_ context.Context, name string, ifVersion uint64, change func(*room.Info)) (room.View, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Update(name, ifVersion, change)
}

func (r *rooms) DeleteRoom(_ context.Context, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Delete(name)
}

func (r *rooms) SetMetadata(_ context.Context, name, key string, data json.RawMessage, ifVersion *uint64) (room.Value, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.SetMetadata(name, key, data, ifVersion)
}

func (r *rooms) Kick(_ context.Context, name, member string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.state.Room(name); !ok {
		return room.ErrNotFound
	}
	if _, ok := r.state.Leave(name, member); !ok {
		return room.ErrNoMember
	}
	return nil
}

// join puts a member into a room, as a socket would.
func (r *rooms) join(t *testing.T, name, id string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.state.Join(name, room.Member{ID: id, Subject: "cam-7", Name: "Camera 7", Meta: json.RawMessage(`{"kind":"camera"}`)}); err != nil {
		t.Fatal(err)
	}
}

// slowRooms takes a second to make a room, and for ever to make one named stuck.
type slowRooms struct{ *rooms }

func (r slowRooms) CreateRoom(ctx context.Context, info room.Info) (room.View, error) {
	wait := time.Second
	if info.Name == "stuck" {
		wait = time.Hour
	}
	select {
	case <-time.After(wait):
		return r.rooms.CreateRoom(ctx, info)
	case <-ctx.Done():
		return room.View{}, ctx.Err()
	}
}
