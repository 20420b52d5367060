package signaling

import (
	"context"
	"encoding/json"
	"fmt"

	"signalbox/appliance/room"
)

// What the API and the command line do to rooms. A change returns when it is on disk.

// Rooms copies every room, sorted by name.
func (s *Server) Rooms() []room.View {
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	return s.state.Rooms()
}

// Room copies one room.
func (s *Server) Room(name string) (room.View, bool) {
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	return s.state.Room(name)
}

// CreateRoom makes a room that is there before anybody joins. An unpinned one
// ends with its last member. The errors are room's.
func (s *Server) CreateRoom(ctx context.Context, info room.Info) (room.View, error) {
	s.roomsMu.Lock()
	view, err := s.state.Create(info)
	if err != nil {
		s.roomsMu.Unlock()
		return view, err
	}
	s.count(&s.roomsCreated)
	put := s.entryOf(info.Name)
	s.roomsMu.Unlock()
	return view, put(ctx)
}

// UpdateRoom changes a room's info; see room.State.Update for ifVersion.
func (s *Server) UpdateRoom(ctx context.Context, name string, ifVersion uint64, change func(*room.Info)) (room.View, error) {
	s.roomsMu.Lock()
	view, err := s.state.Update(name, ifVersion, change)
	if err != nil {
		s.roomsMu.Unlock()
		return view, err
	}
	put := s.entryOf(name)
	if len(view.Members) == 0 && !view.Pinned && s.halls[name] != nil {
		s.closeEmpty(name)
	}
	s.roomsMu.Unlock()
	return view, put(ctx)
}

// SetMetadata writes one key of a room's metadata and tells its members; see
// room.State.SetMetadata.
func (s *Server) SetMetadata(ctx context.Context, name, key string, data json.RawMessage, ifVersion *uint64) (room.Value, error) {
	var out batch
	defer out.flush()
	return s.setMetadata(ctx, name, key, data, ifVersion, nil, &out)
}

// DeleteRoom removes a room; its members leave with reason "deleted".
func (s *Server) DeleteRoom(ctx context.Context, name string) error {
	var out batch
	s.roomsMu.Lock()
	if _, _, ok := s.state.Info(name); !ok {
		s.roomsMu.Unlock()
		return room.ErrNotFound
	}
	put := s.entryOf(name)
	if h := s.halls[name]; h != nil {
		for _, sess := range h.list() {
			if st := sess.seatOf([]byte(name)); st != nil {
				s.stand(sess, st, endDeleted, &out)
			}
		}
	}
	if _, _, ok := s.state.Info(name); ok {
		if err := s.state.Delete(name); err != nil {
			s.roomsMu.Unlock()
			return err
		}
		s.count(&s.roomsClosed)
	}
	s.roomsMu.Unlock()
	out.flush()
	return put(ctx)
}

// Kick takes a member out of a room; others and itself read reason "kicked".
// The error is room.ErrNotFound or room.ErrNoMember.
func (s *Server) Kick(_ context.Context, roomName, memberID string) error {
	var out batch
	defer out.flush()
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	h := s.halls[roomName]
	if h == nil {
		if _, _, ok := s.state.Info(roomName); !ok {
			return room.ErrNotFound
		}
		return room.ErrNoMember
	}
	sess := h.member([]byte(memberID))
	if sess == nil {
		return room.ErrNoMember
	}
	st := sess.seatOf([]byte(roomName))
	if st == nil {
		return room.ErrNoMember
	}
	s.stand(sess, st, endKicked, &out)
	return nil
}

// restoreRooms reads the rooms of the store.
func (s *Server) restoreRooms() error {
	if s.cfg.Rooms == nil {
		return nil
	}
	entries, v, err := s.cfg.Rooms.Rooms()
	if err != nil {
		return err
	}
	if err := s.state.Restore(entries, v); err != nil {
		return err
	}
	for _, e := range entries {
		s.stored[e.Name] = true
	}
	return nil
}

// entryOf makes a room one that is kept on disk, and gives the function that
// writes it. roomsMu is held now and must not be when that is called. Writes
// of rooms follow one another, each with the newest state, so an older one
// can never come to lie on top.
func (s *Server) entryOf(name string) func(context.Context) error {
	if s.cfg.Rooms == nil {
		return func(context.Context) error { return nil }
	}
	s.stored[name] = true
	return func(ctx context.Context) error {
		s.storeMu.Lock()
		defer s.storeMu.Unlock()
		s.roomsMu.Lock()
		e, there := s.state.Durable(name)
		v := s.state.Vector()
		if !there {
			delete(s.stored, name)
		}
		s.roomsMu.Unlock()
		if err := s.cfg.Rooms.PutRoom(ctx, e, v); err != nil {
			return fmt.Errorf("store room %q: %w", name, err)
		}
		return nil
	}
}

// forgetRoom takes an ended room off the disk. roomsMu is held.
func (s *Server) forgetRoom(name string) {
	if !s.stored[name] {
		return
	}
	put := s.entryOf(name)
	s.later(func() {
		if err := put(context.Background()); err != nil {
			s.log.Warn("ended room is still on disk", "room", name, "err", err)
		}
	})
}
