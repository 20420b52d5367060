package loadgen

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Native is the box's own protocol (signaling/PROTOCOL.md). Its speakers keep
// to the frames they need for load: they join a room, send messages to their
// partner, acknowledge and answer pings, and do not resume.
type Native struct {
	// Tokens are shown by the clients in turn; none on a box with open
	// admission. A box bounds the sessions of one token's subject.
	Tokens []string
}

// Subprotocol is that of the native protocol.
func (Native) Subprotocol() string { return Subprotocol }

// Speaker gives a speaker for one client.
func (n Native) Speaker(i int, room string) Speaker {
	s := &nativeSpeaker{name: "bench-" + strconv.Itoa(i), room: room, next: 1}
	if len(n.Tokens) > 0 {
		s.token = n.Tokens[i%len(n.Tokens)]
	}
	return s
}

type nativeSpeaker struct {
	token, name, room string

	member  string // who the box says we are
	head    []byte // of a message, between seq and ack and its data
	ready   bool
	window  uint64 // frames that may wait for the box's acknowledgement
	next    uint64 // seq of our next frame
	acked   uint64 // the highest of ours that the box has made safe
	full    bool   // Message found the window full
	in      uint64 // the highest seq of the box's
	inAcked uint64 // and the last we acknowledged
	waiting uint64 // inAcked at the tick before
}

func (s *nativeSpeaker) Hello(b []byte) []byte {
	hello, err := json.Marshal(struct {
		Type   string `json:"type"`
		Token  string `json:"token,omitempty"`
		Client string `json:"client"`
		Name   string `json:"name"`
	}{"hello", s.token, "signalbox-bench", s.name})
	if err != nil {
		panic(err) // strings always marshal
	}
	return append(b, hello...)
}

// Hear reads what load is made of without decoding it; all else is rare.
func (s *nativeSpeaker) Hear(frame, b []byte) ([]byte, News) {
	seq, ack, kind := glance(frame)
	var news News
	if ack > s.acked {
		s.acked = ack
		if s.full {
			s.full, news.Kind = false, NewsRoom
		}
	}
	if seq > 0 {
		if seq != s.in+1 {
			return b, News{NewsEnded, "gap"}
		}
		s.in = seq
		if s.in-s.inAcked >= ackFrames {
			b = s.ack(b)
		}
	}
	switch string(kind) {
	case "message":
		return b, News{Kind: NewsMessage}
	case "ack":
		return b, news
	}
	return s.decode(frame, b, news)
}

// glance finds what every frame needs: seq and ack, which the box writes
// first, and the type behind them.
func glance(frame []byte) (seq, ack uint64, kind []byte) {
	rest, ok := bytes.CutPrefix(frame, []byte("{"))
	if !ok {
		return 0, 0, nil
	}
	seq, rest = number(rest, `"seq":`)
	ack, rest = number(rest, `"ack":`)
	if rest, ok = bytes.CutPrefix(rest, []byte(`"type":"`)); !ok {
		return seq, ack, nil
	}
	kind, _, _ = bytes.Cut(rest, []byte(`"`))
	return seq, ack, kind
}

// number reads a member with an integer at the start of b, if it is there.
func number(b []byte, name string) (n uint64, rest []byte) {
	rest, ok := bytes.CutPrefix(b, []byte(name))
	if !ok {
		return 0, b
	}
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		n = n*10 + uint64(rest[0]-'0')
		rest = rest[1:]
	}
	if len(rest) > 0 && rest[0] == ',' {
		rest = rest[1:]
	}
	return n, rest
}

func (s *nativeSpeaker) decode(frame, b []byte, news News) ([]byte, News) {
	var f Frame
	if err := json.Unmarshal(frame, &f); err != nil {
		return b, News{NewsEnded, "not JSON"}
	}
	switch f.Type {
	case "welcome":
		_ = json.Unmarshal(f.Member, &s.member)
		s.window = uint64(f.Limits.UnackedFrames)
		b = append(b, `{"type":"join","seq":`...)
		b = strconv.AppendUint(b, s.next, 10)
		b = append(b, `,"room":"`...)
		b = append(b, s.room...)
		b = append(b, `"}`...)
		s.next++
	case "room":
		for _, m := range f.Members {
			news = s.meet(m, news)
		}
	case "presence":
		var m Member
		_ = json.Unmarshal(f.Member, &m)
		news = s.meet(m, news)
	case "ping":
		b = append(b, `{"type":"pong","t":`...)
		b = strconv.AppendInt(b, f.T, 10)
		b = s.appendAck(b)
		b = append(b, '}')
	case "error":
		news = News{NewsRefused, f.ErrorCode()}
	case "closing":
		news = News{NewsEnded, f.Error}
	}
	return b, news
}

// meet notes a member of the room: the first that is not us is the partner.
func (s *nativeSpeaker) meet(m Member, news News) News {
	if m.Member == s.member || m.State != "online" || s.ready {
		return news
	}
	s.head = append(s.head, `"room":"`+s.room+`","to":"`+m.Member+`","data":`...)
	s.ready = true
	return News{Kind: NewsReady}
}

func (s *nativeSpeaker) Message(b []byte) ([]byte, bool) {
	if !s.ready || s.next > s.acked+s.window {
		s.full = s.ready
		return b, false
	}
	b = append(b, `{"type":"message","seq":`...)
	b = strconv.AppendUint(b, s.next, 10)
	b = s.appendAck(b)
	b = append(b, ',')
	s.next++
	return append(b, s.head...), true
}

// appendAck adds what is not acknowledged yet to a frame that goes anyway.
func (s *nativeSpeaker) appendAck(b []byte) []byte {
	if s.in == s.inAcked {
		return b
	}
	s.inAcked = s.in
	b = append(b, `,"ack":`...)
	return strconv.AppendUint(b, s.in, 10)
}

func (s *nativeSpeaker) ack(b []byte) []byte {
	return append(s.appendAck(append(b, `{"type":"ack"`...)), '}')
}

// Tick acknowledges what has waited since the tick before, no later than the
// protocol asks.
func (s *nativeSpeaker) Tick(b []byte) []byte {
	waited := s.inAcked == s.waiting
	s.waiting = s.inAcked
	if s.in > s.inAcked && waited {
		return s.ack(b)
	}
	return b
}
