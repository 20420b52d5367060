package signaling

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"strconv"
)

// WebSocket opcodes and bits of a frame header (RFC 6455 §5.2).
const (
	finalBit = 0x80
	opText   = 0x1
	opClose  = 0x8
	opPing   = 0x9
	opPong   = 0xa
)

// appendHeader appends the header of an unmasked, unfragmented frame.
func appendHeader(b []byte, op byte, size int) []byte {
	b = append(b, finalBit|op)
	switch {
	case size < 126:
		return append(b, byte(size))
	case size < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, 126), uint16(size))
	}
	return binary.BigEndian.AppendUint64(append(b, 127), uint64(size))
}

// appendFrame appends a text frame: `{"seq":1,"ack":2,` and body, which is the
// frame's JSON behind its opening brace. seq or ack 0 are left out.
func appendFrame(b []byte, seq, ack uint64, body []byte) []byte {
	var prefix [64]byte
	p := append(prefix[:0], '{')
	if seq > 0 {
		p = append(p, `"seq":`...)
		p = strconv.AppendUint(p, seq, 10)
		p = append(p, ',')
	}
	if ack > 0 {
		p = append(p, `"ack":`...)
		p = strconv.AppendUint(p, ack, 10)
		p = append(p, ',')
	}
	b = appendHeader(b, opText, len(p)+len(body))
	b = append(b, p...)
	return append(b, body...)
}

// appendClose appends a close frame (RFC 6455 §5.5.1).
func appendClose(b []byte, code int, reason string) []byte {
	reason = reason[:min(len(reason), 123)]
	b = appendHeader(b, opClose, 2+len(reason))
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return append(b, reason...)
}

// body marshals a frame and cuts its opening brace, so that appendFrame can
// put seq and ack before it. For frames off the hot path.
func body(frame any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)                  // raw JSON stays as it came
	if err := e.Encode(frame); err != nil { // our own types, with raw JSON that was scanned before
		panic("signaling: frame does not marshal: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes()[1:], []byte("\n"))
}

// relayedBody writes a Relayed frame. The strings need no escaping: room names
// and member ids are checked to be plain when they are made.
func relayedBody(k kind, room, from string, f *inbound, gen uint64, polite *bool) []byte {
	b := make([]byte, 0, len(f.data)+len(room)+len(from)+128)
	b = append(b, `"type":"`...)
	b = append(b, k.String()...)
	b = append(b, `","room":"`...)
	b = append(b, room...)
	b = append(b, `","from":"`...)
	b = append(b, from...)
	b = append(b, `","mid":`...)
	b = strconv.AppendUint(b, f.seq, 10)
	if gen > 0 {
		b = append(b, `,"gen":`...)
		b = strconv.AppendUint(b, gen, 10)
	}
	if polite != nil {
		b = append(b, `,"polite":`...)
		b = strconv.AppendBool(b, *polite)
	}
	if f.has&hasData != 0 {
		b = append(b, `,"data":`...)
		b = append(b, f.data...)
	}
	return append(b, '}')
}

// sentBody writes a Sent frame; count < 0 leaves it out.
func sentBody(id uint64, status string, count int) []byte {
	b := make([]byte, 0, 64)
	b = append(b, `"type":"sent","id":`...)
	b = strconv.AppendUint(b, id, 10)
	b = append(b, `,"status":"`...)
	b = append(b, status...)
	b = append(b, '"')
	if count >= 0 {
		b = append(b, `,"count":`...)
		b = strconv.AppendInt(b, int64(count), 10)
	}
	return append(b, '}')
}
