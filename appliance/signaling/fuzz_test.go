package signaling

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// What the scanner takes, encoding/json takes, and the other way round but for
// text that is not UTF-8 and nesting that we refuse; and both read the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"type":"hello"}`, `{"type":"offer","seq":3,"ack":2,"id":1,"room":"r","to":"m_x","gen":4,"data":{"sdp":"v=0\r\n"}}`,
		`{"type":"message","seq":1,"room":"\u0061","data":[1,-2.5e+3,"\ud83d\ude00",null,true,{"a":{}}]}`,
		`{"seq":01}`, `{"seq":1.0,"type":"x"}`, `{"seq":9007199254740992}`, `{"t":-5,"type":"ping"}`, ` { "type" : "ack" , "ack" : 7 } `,
		`{"type":"x","type":"ack"}`, `{"data":[}`, `{"a":"\x"}`, `{"a":` + strings.Repeat("[", 130) + `}`, "{\"a\":\"\xff\"}", `[]`, `{"a":1,}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var in inbound
		err := in.parse(b)
		object := len(bytes.TrimLeft(b, " \t\r\n")) > 0 && bytes.TrimLeft(b, " \t\r\n")[0] == '{'
		valid := json.Valid(b) && object
		switch {
		case err == nil && !valid:
			t.Fatalf("parse takes %q, encoding/json does not", b)
		case err != nil && valid && utf8.Valid(b) && !errors.Is(err, errTooDeep):
			t.Fatalf("parse refuses %q: %v; encoding/json takes it", b, err)
		}
		if err != nil || in.fault != nil {
			return
		}
		for _, raw := range [][]byte{in.data, in.meta, in.will, in.resume} {
			if raw != nil && !json.Valid(raw) {
				t.Fatalf("raw field %q of %q is not JSON", raw, b)
			}
		}
		var same map[string]json.RawMessage
		if err := json.Unmarshal(b, &same); err != nil {
			t.Fatal(err)
		}
		var room string
		if json.Unmarshal(same["room"], &room) == nil && in.has&hasRoom != 0 && room != string(in.room) {
			t.Fatalf("room of %q: %q, want %q", b, in.room, room)
		}
		if in.has&hasData != 0 && !bytes.Equal(in.data, same["data"]) {
			t.Fatalf("data of %q: %q, want %q", b, in.data, same["data"])
		}
	})
}

// Journal records are read as they were written, and damaged ones are refused
// without harm.
func FuzzRecords(f *testing.F) {
	n := numbers{done: 3, confirmed: 2, acked: 9, recovered: 5}
	l := loggedFrame{body: []byte(`"type":"x"}`), origin: "s_1", id: 4}
	f.Add(n.append(nil))
	f.Add(l.append(nil))
	f.Add([]byte{recordVersion})
	f.Add([]byte{recordVersion, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		var n, n2 numbers
		if n.parse(b) == nil {
			if err := n2.parse(n.append(nil)); err != nil || n2 != n {
				t.Fatalf("numbers %x are read back as %+v, %v, want %+v", b, n2, err, n)
			}
		}
		var l, l2 loggedFrame
		if l.parse(b) == nil {
			if err := l2.parse(l.append(nil)); err != nil || l2.id != l.id || l2.origin != l.origin || !bytes.Equal(l2.body, l.body) {
				t.Fatalf("frame %x is read back as %+v, %v, want %+v", b, l2, err, l)
			}
		}
	})
}

// A resume token passes for the session it was made for and no other, and
// gives back its counter.
func FuzzResumeToken(f *testing.F) {
	s := &Server{cfg: Config{ResumeKey: bytes.Repeat([]byte{7}, 32)}}
	f.Add("s_1", "s_2", uint64(5), "AAAA")
	f.Add("s_1", "s_1", uint64(0), s.resumeToken("s_3", 0))
	f.Fuzz(func(t *testing.T, session, other string, counter uint64, forged string) {
		token := s.resumeToken(session, counter)
		if got, ok := s.checkResumeToken(session, token); !ok || got != counter {
			t.Errorf("own token: %d, %v, want %d, true", got, ok, counter)
		}
		if _, ok := s.checkResumeToken(other, token); ok != (other == session) {
			t.Errorf("token of %q passes for %q", session, other)
		}
		want, _ := base64.RawURLEncoding.DecodeString(token)
		got, _ := base64.RawURLEncoding.DecodeString(forged)
		if _, ok := s.checkResumeToken(session, forged); ok && !bytes.Equal(got[8:], s.resumeMAC(session, got[:8])) && !bytes.Equal(got, want) {
			t.Errorf("forged token %q passes", forged)
		}
	})
}
