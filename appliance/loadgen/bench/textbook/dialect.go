package textbook

import (
	"bytes"
	"encoding/json"
	"strconv"

	"signalbox/appliance/loadgen"
)

// Dialect lets a loadgen.Fleet speak to a Hub.
type Dialect struct{}

// Subprotocol is none.
func (Dialect) Subprotocol() string { return "" }

// Speaker gives a speaker for one client.
func (Dialect) Speaker(i int, room string) loadgen.Speaker {
	return &speaker{name: "bench-" + strconv.Itoa(i), room: room}
}

type speaker struct {
	name, room string
	head       []byte // of a message, up to its data
}

func (s *speaker) Hello(b []byte) []byte {
	return append(b, `{"type":"join","room":"`+s.room+`","from":"`+s.name+`"}`...)
}

var messagePrefix = []byte(`{"type":"message",`)

func (s *speaker) Hear(frame, b []byte) ([]byte, loadgen.News) {
	if bytes.HasPrefix(frame, messagePrefix) {
		return b, loadgen.News{Kind: loadgen.NewsMessage}
	}
	var e Envelope
	if err := json.Unmarshal(frame, &e); err != nil {
		return b, loadgen.News{Kind: loadgen.NewsEnded, Code: "not JSON"}
	}
	if e.Type != "joined" || s.head != nil {
		return b, loadgen.News{}
	}
	s.head = []byte(`{"type":"message","room":"` + s.room + `","to":"` + e.From + `","data":`)
	return b, loadgen.News{Kind: loadgen.NewsReady}
}

func (s *speaker) Message(b []byte) ([]byte, bool) { return append(b, s.head...), s.head != nil }

func (s *speaker) Tick(b []byte) []byte { return b }
