package room

import (
	"bytes"
	"cmp"
	"encoding/json"
)

// Create makes a room. It returns ErrExists, ErrLimit or an *InvalidError.
func (s *State) Create(info Info) (View, error) {
	if err := s.limits.checkInfo(info); err != nil {
		return View{}, err
	}
	r := s.rooms[info.Name]
	if r != nil && r.exists() {
		return View{}, ErrExists
	}
	if s.count >= s.limits.Rooms {
		return View{}, ErrLimit
	}
	if r == nil {
		r = newRoom(info.Name)
		s.rooms[r.name] = r
	}
	m := s.change(key{kind: roomSettings, room: r.name})
	s.putHeader(r, m, newSettings(m, info))
	s.count++
	for _, k := range sortedKeys(info.Metadata) {
		s.putMetadata(r, k, info.Metadata[k].Data)
	}
	return r.view(), nil
}

// Update changes the Info of a room: change gets a copy and may alter all but
// the Name; of a metadata value only the Data counts. ifVersion is the
// View.Version that was read, 0 to change whatever there is. It returns
// ErrNotFound, a *VersionError or an *InvalidError.
func (s *State) Update(name string, ifVersion uint64, change func(*Info)) (View, error) {
	r, err := s.existing(name)
	if err != nil {
		return View{}, err
	}
	if ifVersion != 0 && !s.current(r, ifVersion) {
		return View{}, &VersionError{Current: r.version, Got: ifVersion}
	}
	info := r.info()
	change(&info)
	if info.Name != name {
		return View{}, invalid("name", quote(info.Name), "%q: a room keeps its name", name)
	}
	if err := s.limits.checkInfo(info); err != nil {
		return View{}, err
	}
	s.apply(r, info)
	return r.view(), nil
}

// current reports whether the Info of r is as it was when v was its version.
func (s *State) current(r *room, v uint64) bool {
	ours := v&(1<<stampBits-1) == s.tag
	return ours && r.infoVersion <= v && v <= r.version
}

// apply makes the changes that turn the Info of r into info.
func (s *State) apply(r *room, info Info) {
	if !r.now.matches(info) {
		m := s.change(key{kind: roomSettings, room: r.name})
		next := r.now
		next.set(m, info)
		s.putHeader(r, m, next)
	}
	for _, k := range sortedKeys(r.metadata) {
		if _, keep := info.Metadata[k]; !keep {
			s.putMetadata(r, k, nil)
		}
	}
	for _, k := range sortedKeys(info.Metadata) {
		if data := info.Metadata[k].Data; !bytes.Equal(data, valueOf(r.metadata[k]).Data) {
			s.putMetadata(r, k, data)
		}
	}
}

// SetMetadata sets one metadata value; nil data deletes it. ifVersion is the
// Value.Version that was read, a pointer to 0 when the key must be absent, nil
// to write whatever there is. It returns the value now there, zero after a
// deletion; or ErrNotFound, a *VersionError or an *InvalidError.
func (s *State) SetMetadata(name, key string, data json.RawMessage, ifVersion *uint64) (Value, error) {
	r, err := s.existing(name)
	if err != nil {
		return Value{}, err
	}
	now := valueOf(r.metadata[key])
	if ifVersion != nil && *ifVersion != now.Version {
		return Value{}, &VersionError{Current: now.Version, Got: *ifVersion}
	}
	if data == nil && now.Data == nil {
		return Value{}, nil
	}
	if data != nil {
		if err := s.checkValue(r, key, data); err != nil {
			return Value{}, err
		}
	}
	s.putMetadata(r, key, data)
	return valueOf(r.metadata[key]), nil
}

// checkValue returns an *InvalidError unless r may have data under k.
func (s *State) checkValue(r *room, k string, data json.RawMessage) error {
	keys, size := 1, len(k)+len(data)
	for other, slot := range r.metadata {
		if other != k {
			keys++
			size += len(other) + len(slot[0].value)
		}
	}
	return cmp.Or(checkMetadataValue(k, data), s.limits.checkMetadataSize(keys, size))
}

// Delete removes a room and the members seen in it, or returns ErrNotFound.
func (s *State) Delete(name string) error {
	r, err := s.existing(name)
	if err != nil {
		return err
	}
	s.change(key{kind: wholeRoom, room: name})
	delete(s.rooms, r.name)
	s.count--
	return nil
}

func newRoom(name string) *room {
	return &room{
		name:     name,
		metadata: map[string]slot[json.RawMessage]{},
		members:  map[string]slot[Member]{},
	}
}

// putHeader replaces the settings seen here by next, as the write m.
func (s *State) putHeader(r *room, m mark, next settings) {
	r.header, r.now = single(m, next), next
	r.version, r.infoVersion = m.stamp, m.stamp
}

// putMetadata writes one value, or deletes it when data is nil. The write
// renews the settings unchanged: so a room that is deleted elsewhere at the
// same time stays, whole, rather than leaving a value without a room.
func (s *State) putMetadata(r *room, k string, data json.RawMessage) {
	m := s.change(key{kind: roomMetadata, room: r.name, id: k})
	s.putHeader(r, m, r.now)
	if data == nil {
		delete(r.metadata, k)
		return
	}
	r.metadata[k] = single(m, json.RawMessage(bytes.Clone(data)))
}
