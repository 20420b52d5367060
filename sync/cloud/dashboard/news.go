package dashboard

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// news is a change event for all who watch. The frame and what follows are
// there when ready is closed.
type news struct {
	number uint64
	ready  chan struct{}
	frame  []byte
	next   *news
}

// maxBehind is how many changes a reader may be behind before its stream ends:
// each of them is kept for it. It comes back and asks for what has changed.
const maxBehind = 64

// mark says when a position of the stream had been reached here.
type mark struct {
	at  time.Time
	seq uint64
}

const (
	maxMarks = 2048 // a quarter of an hour of changes
	// resumeSlack is by how much two nodes may know of a change apart: both look
	// at all every sweepEvery for what time alone changes.
	resumeSlack = sweepEvery + 2*time.Second
)

// note remembers when the position was reached.
func (b *board) note(now time.Time, seq uint64) {
	if n := len(b.marks); n > 0 && b.marks[n-1].seq == seq {
		return
	}
	b.marks = append(b.marks, mark{now, seq})
	if len(b.marks) > maxMarks {
		b.marks = slices.Delete(b.marks, 0, len(b.marks)-maxMarks/2)
	}
	if len(b.marks) > 0 {
		for name, at := range b.removed {
			if at.Before(b.marks[0].at) {
				delete(b.removed, name)
			}
		}
	}
}

// since finds what may have changed for somebody who has seen the position at
// whatever node. ok is false when this node cannot tell: it has not come so far,
// or was not there yet.
func (s *snapshot) since(seq uint64) (changed []*entry, gone []string, ok bool) {
	if seq > s.seq || len(s.marks) == 0 || seq > s.marks[len(s.marks)-1].seq {
		return nil, nil, false
	}
	i, _ := slices.BinarySearchFunc(s.marks, seq, func(m mark, seq uint64) int {
		if m.seq < seq {
			return -1
		}
		return 1
	})
	// What came before this moment came with an earlier position: it was seen.
	from := s.marks[i].at.Add(-s.slack)
	if from.Before(s.marks[0].at) {
		return nil, nil, false
	}
	for _, e := range s.order {
		if !e.changed.Before(from) {
			changed = append(changed, e)
		}
	}
	for name, at := range s.removed {
		if !at.Before(from) {
			gone = append(gone, name)
		}
	}
	return changed, gone, true
}

// head is what Overview and Change begin with.
func (s *snapshot) head(b *bytes.Buffer) {
	now, _ := json.Marshal(s.now)
	b.WriteString(`{"now":`)
	b.Write(now)
	b.WriteString(`,"seq":`)
	b.WriteString(strconv.FormatUint(s.seq, 10))
	b.WriteString(`,"sites":[`)
}

func (s *snapshot) foot(b *bytes.Buffer) {
	totals, _ := json.Marshal(s.totals)
	b.WriteString(`,"totals":`)
	b.Write(totals)
	b.WriteString(`,"problems":`)
	b.WriteString(strconv.Itoa(s.open))
	b.WriteByte('}')
}

func rowsOf(b *bytes.Buffer, entries []*entry) {
	for i, e := range entries {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(e.text)
	}
	b.WriteByte(']')
}

// encode makes the Overview out of rows that are encoded already.
func (s *snapshot) encode() []byte {
	size := 4096
	for _, e := range s.order {
		size += len(e.text) + 1
	}
	b := bytes.NewBuffer(make([]byte, 0, size))
	s.head(b)
	rowsOf(b, s.order)
	s.foot(b)
	return b.Bytes()
}

// change makes the event of a Change.
func (s *snapshot) change(changed []*entry, gone []string) []byte {
	b := new(bytes.Buffer)
	b.WriteString("event: change\nid: " + strconv.FormatUint(s.seq, 10) + "\ndata: ")
	s.head(b)
	rowsOf(b, changed)
	if gone == nil {
		gone = []string{}
	}
	names, _ := json.Marshal(gone)
	b.WriteString(`,"removed":`)
	b.Write(names)
	s.foot(b)
	b.WriteString("\n\n")
	return b.Bytes()
}
