package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
)

const (
	rightSend = auth.RightSend
	stateLeft = "left"
)

// join carries out a join frame.
func (s *Server) join(sess *Session, f *inbound, out *batch) error {
	name := string(f.room)
	sess.mu.Lock()
	id := sess.identity
	already, count, shown := seatIn(sess.seats, name), len(sess.seats), sess.name
	sess.mu.Unlock()
	switch {
	case !id.MayJoin(name):
		return refuse(codeForbidden, "the token of %q does not name room %q", id.Subject, clip(f.room))
	case already == nil && count >= s.cfg.RoomsPerSession:
		return refuse(codeTooManyRooms, "a session may be in %d rooms; leave one first", s.cfg.RoomsPerSession)
	}
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	made, err := s.openRoom(name, id)
	if err != nil {
		return err
	}
	if f.has&hasName != 0 {
		shown = string(f.name)
	}
	m := room.Member{ID: sess.member, Subject: id.Subject, Name: shown, Meta: slices.Clone(f.meta), State: room.Online}
	if m, err = s.state.Join(name, m); err != nil {
		if made {
			s.closeEmpty(name)
		}
		return roomRefusal(name, err)
	}
	st := &seat{hall: s.hallOf(name), joined: m.Joined, name: m.Name, meta: json.RawMessage(m.Meta), will: slices.Clone(f.will)}
	if !s.sit(sess, st) {
		s.state.Leave(name, m.ID)
		if made {
			s.closeEmpty(name)
		}
		return sessionEnded()
	}
	if since := sess.firstJoin(); !since.IsZero() {
		s.cfg.Observer.Took(StageJoin, time.Since(since))
	}
	info, version, _ := s.state.Info(name)
	joined := Joined{
		Type: "joined", ID: f.id, Room: name, Version: version, Member: m.ID, Joined: m.Joined,
		Capacity: s.capacity(info), Description: info.Description, Count: s.state.MemberCount(name),
	}
	sess.must(entry{body: body(joined)}, out)
	s.snapshot(sess, st, out)
	st.hall.softly(presenceKey(name, m.ID), s.presenceBody(name, memberFrame(m)), sess, out)
	return nil
}

// firstJoin is when its socket said hello; zero but for the first call of each.
func (s *Session) firstJoin() (greeted time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		greeted, s.conn.greeted = s.conn.greeted, time.Time{}
	}
	return greeted
}

// openRoom makes sure the room exists and admits the identity, and tells
// whether it made it. roomsMu is held.
func (s *Server) openRoom(name string, id auth.Identity) (made bool, err error) {
	err = s.state.Admits(name, id.Subject)
	switch {
	case errors.Is(err, room.ErrNotAllowed):
		return false, refuse(codeForbidden, "room %q does not allow %q", name, id.Subject)
	case !errors.Is(err, room.ErrNotFound):
		return false, err
	case !id.Has(auth.RightCreate):
		return false, refuse(codeRoomNotFound, "room %q does not exist and the token does not have the right to create it", clip([]byte(name)))
	}
	if _, err := s.state.Create(room.Info{Name: name}); err != nil {
		return false, roomRefusal(name, err)
	}
	s.count(&s.roomsCreated)
	return true, nil
}

func (s *Server) capacity(info room.Info) int {
	if info.Capacity > 0 {
		return info.Capacity
	}
	return s.cfg.RoomCapacity
}

// leave carries out a leave frame.
func (s *Server) leave(sess *Session, f *inbound, out *batch) error {
	s.roomsMu.Lock()
	st := sess.seatOf(f.room)
	if st == nil {
		s.roomsMu.Unlock()
		return refuse(codeNotJoined, "not a member of room %q", clip(f.room))
	}
	s.stand(sess, st, endLeft, out)
	s.roomsMu.Unlock()
	s.ok(sess, f, 0, out)
	return nil
}

// ok answers a request that asked for an answer.
func (s *Server) ok(sess *Session, f *inbound, version uint64, out *batch) {
	if f.has&hasID != 0 {
		sess.must(entry{body: body(OK{Type: "ok", ID: f.id, Version: version})}, out)
	}
}

// presence carries out a presence frame: a member changes what it shows.
func (s *Server) presence(sess *Session, f *inbound, out *batch) error {
	st := sess.seatOf(f.room)
	if st == nil {
		return refuse(codeNotJoined, "join room %q first", clip(f.room))
	}
	name := st.hall.name
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	m, err := s.state.SetMember(name, sess.member, func(m *room.Member) {
		if f.has&hasName != 0 {
			m.Name = string(f.name)
		}
		if f.has&hasMeta != 0 {
			m.Meta = slices.Clone(f.meta)
		}
	})
	if err != nil {
		return roomRefusal(name, err)
	}
	sess.mu.Lock()
	st.name, st.meta = m.Name, m.Meta
	sess.markDirtyLocked(true)
	sess.mu.Unlock()
	st.hall.softly(presenceKey(name, m.ID), s.presenceBody(name, memberFrame(m)), sess, out)
	s.ok(sess, f, 0, out)
	return nil
}

// setState carries out a set frame: compare-and-set of one key of the room.
func (s *Server) setState(sess *Session, f *inbound, out *batch) error {
	st := sess.seatOf(f.room)
	sess.mu.Lock()
	may := sess.identity.Has(auth.RightManage)
	sess.mu.Unlock()
	switch {
	case st == nil:
		return refuse(codeNotJoined, "join room %q first", clip(f.room))
	case !may:
		return refuse(codeForbidden, "room state needs the right manage")
	}
	var ifVersion *uint64
	if f.has&hasVersion != 0 {
		ifVersion = &f.version
	}
	// The disk is waited for outside the gate, or it would hold up everybody.
	s.gate.RUnlock()
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	v, err := s.setMetadata(ctx, st.hall.name, string(f.key), slices.Clone(f.data), ifVersion, sess, out)
	cancel()
	s.gate.RLock()
	var conflict *room.VersionError
	switch {
	case errors.As(err, &conflict):
		no := refuseForNow(codeVersionConflict, 0, "key %q is at version %d, not %d", f.key, conflict.Current, conflict.Got)
		no.version = conflict.Current
		return no
	case err != nil:
		return roomRefusal(st.hall.name, err)
	}
	s.ok(sess, f, v.Version, out)
	return nil
}

// setMetadata writes one key, tells the members, and returns when it is on disk.
func (s *Server) setMetadata(ctx context.Context, name, key string, data json.RawMessage, ifVersion *uint64, from *Session, out *batch) (room.Value, error) {
	if string(data) == "null" {
		data = nil
	}
	s.roomsMu.Lock()
	v, err := s.state.SetMetadata(name, key, data, ifVersion)
	if err != nil {
		s.roomsMu.Unlock()
		return v, err
	}
	put := s.entryOf(name)
	s.roomsMu.Unlock()
	if err := put(ctx); err != nil {
		return v, err
	}
	frame := State{Type: "state", Room: name, Key: key, Data: v.Data, Version: v.Version}
	if v.Data == nil {
		frame.Data = json.RawMessage("null")
	}
	if from != nil {
		frame.From = from.member
	}
	s.roomsMu.Lock()
	defer s.roomsMu.Unlock()
	if h := s.halls[name]; h != nil {
		h.softly("state\x00"+name+"\x00"+key, body(frame), from, out)
	}
	return v, nil
}

// memberFrame is a member as the wire shows it.
func memberFrame(m room.Member) Member {
	return Member{Member: m.ID, Subject: m.Subject, Name: m.Name, Meta: m.Meta, State: m.State.String(), Joined: m.Joined}
}

func presenceKey(room, member string) string { return "presence\x00" + room + "\x00" + member }

// presenceBody builds a Presence frame. roomsMu is held.
func (s *Server) presenceBody(name string, m Member) []byte {
	return body(Presence{Type: "presence", Room: name, Version: s.state.Version(name), Member: m})
}

// snapshotPage bounds a page of a snapshot, so that it fits a small device.
const snapshotPage = 32 << 10

// snapshotKey marks pages on the soft lane. They do not replace each other,
// and do not count against its bounds: what a room may hold bounds them.
const snapshotKey = "\x00page"

// snapshot queues a room's pages on the session's soft lane. roomsMu is held,
// so no change of the room can slip between the pages and what follows them.
func (s *Server) snapshot(sess *Session, st *seat, out *batch) {
	info, version, ok := s.state.Info(st.hall.name)
	if !ok {
		return
	}
	self, _ := s.state.Member(st.hall.name, sess.member)
	members := slices.SortedFunc(s.state.Members(st.hall.name), room.Member.Compare)
	page := Room{Type: "room", Room: info.Name, Version: version, Page: 1, Members: []Member{}, State: []StateEntry{}}
	size := 0
	bytes := min(snapshotPage, s.cfg.FrameBytes/2)
	next := func(add int) {
		if size += add; size > bytes {
			sess.soft(snapshotKey, body(page), out)
			page.Page++
			page.Members, page.State = []Member{}, []StateEntry{}
			size = add
		}
	}
	for _, m := range members {
		f := memberFrame(m)
		if m.ID != sess.member {
			polite := self.Compare(m) > 0
			f.Polite = &polite
		}
		next(len(f.Meta) + 256)
		page.Members = append(page.Members, f)
	}
	for key, v := range info.Metadata {
		next(len(v.Data) + len(key) + 64)
		page.State = append(page.State, StateEntry{Key: key, Data: v.Data, Version: v.Version})
	}
	slices.SortFunc(page.State, func(a, b StateEntry) int { return strings.Compare(a.Key, b.Key) })
	page.Last = true
	sess.soft(snapshotKey, body(page), out)
}
