package signaling

import (
	"fmt"
)

// kind is the type of a frame from a client.
type kind uint8

const (
	kindUnknown kind = iota
	kindHello
	kindPing
	kindPong
	kindAck
	kindRefresh
	kindNetworkChanged
	kindJoin // from here on: sequenced
	kindLeave
	kindPresence
	kindSet
	kindOffer
	kindAnswer
	kindCandidate
	kindEndOfCandidates
	kindBye
	kindMessage
	kindCount
)

var kindNames = [kindCount]string{
	"unknown", "hello", "ping", "pong", "ack", "refresh", "network-changed", "join", "leave", "presence", "set",
	"offer", "answer", "candidate", "end-of-candidates", "bye", "message",
}

func (k kind) String() string  { return kindNames[k] }
func (k kind) sequenced() bool { return k >= kindJoin }

// negotiation tells the frames that belong to a pair's negotiation.
func (k kind) negotiation() bool { return k >= kindOffer && k <= kindBye }

// fields is a set of the fields a frame carried.
type fields uint16

const (
	hasSeq fields = 1 << iota
	hasID
	hasGen
	hasVersion
	hasT
	hasData
	hasMeta
	hasWill
	hasRoom
	hasTo
	hasKey
	hasToken
	hasName
)

// inbound is one frame from a client. Its byte slices point into the buffer
// that was scanned and are good until that buffer is used again.
type inbound struct {
	kind kind
	has  fields

	seq, ack, id, gen, version uint64
	t                          int64

	typeName, room, to, key, name, token, client []byte
	data, meta, will, resume                     []byte // raw JSON

	// fault is the first field of a wrong type: the frame is refused with
	// bad_frame, but its seq still counts.
	fault *badField
}

// badField names a field that is missing or has the wrong type.
type badField struct{ field, want string }

func (e *badField) Error() string {
	return fmt.Sprintf("field %q: want %s", e.field, e.want)
}

// parse scans one frame into f. The error is for text that is not a JSON
// object at all, is not UTF-8 or is nested too deep; a field of a wrong type
// goes to f.fault instead. Unknown fields are skipped; of equal keys the last wins.
func (f *inbound) parse(b []byte) error {
	*f = inbound{}
	s := scanner{b: b}
	s.space()
	if err := s.expect('{', "a JSON object"); err != nil {
		return err
	}
	s.space()
	if s.peek() == '}' {
		s.i++
		return f.finish(&s)
	}
	for {
		s.space()
		name, _, err := s.str()
		if err != nil {
			return err
		}
		s.space()
		if err := s.expect(':', "':'"); err != nil {
			return err
		}
		s.space()
		if err := f.field(&s, name); err != nil {
			return err
		}
		s.space()
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return f.finish(&s)
		default:
			return s.fail("',' or '}'")
		}
	}
}

func (f *inbound) finish(s *scanner) error {
	s.space()
	if s.i != len(s.b) {
		return s.fail("nothing after the object")
	}
	if f.typeName == nil {
		f.wrong("type", "a string that names the frame")
	}
	return nil
}

func (f *inbound) wrong(field, want string) {
	if f.fault == nil {
		f.fault = &badField{field: field, want: want}
	}
}

// field reads the value of one member of the frame.
func (f *inbound) field(s *scanner, name []byte) error {
	switch string(name) {
	case "type":
		return f.frameType(s)
	case "seq":
		return f.number(s, "seq", &f.seq, hasSeq)
	case "ack":
		return f.number(s, "ack", &f.ack, 0)
	case "id":
		return f.number(s, "id", &f.id, hasID)
	case "gen":
		return f.number(s, "gen", &f.gen, hasGen)
	case "version":
		return f.number(s, "version", &f.version, hasVersion)
	case "t":
		start := s.i
		n, ok := s.int()
		if !ok {
			s.i = start
			f.wrong("t", "an integer")
			_, err := s.value()
			return err
		}
		f.t = n
		f.has |= hasT
		return nil
	case "room":
		return f.text(s, "room", &f.room, hasRoom)
	case "to":
		return f.text(s, "to", &f.to, hasTo)
	case "key":
		return f.text(s, "key", &f.key, hasKey)
	case "name":
		return f.text(s, "name", &f.name, hasName)
	case "token":
		return f.text(s, "token", &f.token, hasToken)
	case "client":
		return f.text(s, "client", &f.client, 0)
	case "data":
		return f.raw(s, &f.data, hasData)
	case "meta":
		return f.raw(s, &f.meta, hasMeta)
	case "will":
		return f.raw(s, &f.will, hasWill)
	case "resume":
		return f.raw(s, &f.resume, 0)
	}
	_, err := s.value()
	return err
}

func (f *inbound) number(s *scanner, name string, to *uint64, bit fields) error {
	n, ok := s.uint()
	if !ok {
		f.wrong(name, "an integer from 0 to 9007199254740991")
		_, err := s.value()
		return err
	}
	*to = n
	f.has |= bit
	return nil
}

func (f *inbound) text(s *scanner, name string, to *[]byte, bit fields) error {
	t, ok, err := s.text()
	if err != nil {
		return err
	}
	if !ok {
		f.wrong(name, "a string")
		_, err := s.value()
		return err
	}
	*to = t
	f.has |= bit
	return nil
}

func (f *inbound) raw(s *scanner, to *[]byte, bit fields) error {
	v, err := s.value()
	*to = v
	f.has |= bit
	return err
}

func (f *inbound) frameType(s *scanner) error {
	if err := f.text(s, "type", &f.typeName, 0); err != nil || f.typeName == nil {
		return err
	}
	f.kind = kindOf(f.typeName)
	return nil
}

func kindOf(name []byte) kind {
	switch string(name) {
	case "message":
		return kindMessage
	case "candidate":
		return kindCandidate
	case "offer":
		return kindOffer
	case "answer":
		return kindAnswer
	case "ack":
		return kindAck
	case "pong":
		return kindPong
	case "ping":
		return kindPing
	case "end-of-candidates":
		return kindEndOfCandidates
	case "bye":
		return kindBye
	case "presence":
		return kindPresence
	case "set":
		return kindSet
	case "join":
		return kindJoin
	case "leave":
		return kindLeave
	case "hello":
		return kindHello
	case "refresh":
		return kindRefresh
	case "network-changed":
		return kindNetworkChanged
	}
	return kindUnknown
}
