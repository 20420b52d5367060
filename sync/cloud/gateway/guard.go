package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"signalbox/sync/wire"
)

// Why the guard ends a tunnel, and the reason in its close frame.
var (
	errVerb          = errors.New("verb")          // a line that is no business of a box
	errLine          = errors.New("line")          // too long, or of bytes that no line has
	errSession       = errors.New("session")       // CONNECT with another session than the tunnel's
	errSubject       = errors.New("subject")       // not the box's own
	errReply         = errors.New("reply")         // answers to be sent to somebody else
	errSize          = errors.New("size")          // a payload of more than wire.MaxPayloadBytes
	errHeader        = errors.New("header")        // a header that a box has no use for
	errMsgID         = errors.New("msg_id")        // a message id of another box
	errSubscriptions = errors.New("subscriptions") // too many
)

var violations = []string{"verb", "line", "session", "subject", "reply", "size", "header", "msg_id", "subscriptions"}

const (
	maxLine          = 4 << 10
	maxHeader        = 2 << 10
	maxSubscriptions = 8
)

// guard follows what a box sends to the broker and finds what it has no business
// to send. It knows of the protocol what nats.go writes and takes nothing else,
// so that broker and guard cannot understand the same bytes differently. The
// broker has rights of its own for boxes, but does not look at where answers are to go,
// nor whose message ids are used: there the guard is the only wall.
//
// Bytes come cut anywhere. Those of a line or header that is not whole yet are
// held back, so that the broker sees none that have not been looked at.
type guard struct {
	id      wire.BoxID
	session string

	held      []byte
	connected bool
	header    int // bytes of it still to come
	payload   int // likewise, after it
	ending    int // bytes of CRLF still to come
	subs      map[string]struct{}
}

// pass returns what of p, and of what was held back before, may go on to the
// broker. It may be p itself. After an error, one of those above, nothing may.
func (g *guard) pass(p []byte) ([]byte, error) {
	if len(g.held) > 0 {
		p = append(g.held, p...)
		g.held = nil
	}
	rest := p
	for len(rest) > 0 {
		n, err := g.step(rest)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			g.held = append([]byte(nil), rest...)
			break
		}
		rest = rest[n:]
	}
	return p[:len(p)-len(rest)], nil
}

// step takes the next part of p and returns its length; 0 if it is not whole.
func (g *guard) step(p []byte) (int, error) {
	switch {
	case g.header > 0:
		n := g.header
		if len(p) < n {
			return 0, nil
		}
		g.header = 0
		return n, g.checkHeader(p[:n])
	case g.payload > 0:
		n := min(g.payload, len(p))
		g.payload -= n
		return n, nil
	case g.ending > 0:
		if p[0] != "\r\n"[2-g.ending] {
			return 0, errLine
		}
		g.ending--
		return 1, nil
	}
	end := bytes.IndexByte(p[:min(len(p), maxLine)], '\n')
	if end < 0 {
		if len(p) >= maxLine {
			return 0, errLine
		}
		return 0, nil
	}
	return end + 1, g.line(p[:end+1])
}

// line checks a whole line, CRLF included.
func (g *guard) line(line []byte) error {
	text, ok := bytes.CutSuffix(line, []byte("\r\n"))
	if !ok {
		return errLine
	}
	for _, c := range text {
		if c < ' ' || c > '~' {
			return errLine
		}
	}
	verb, args, _ := strings.Cut(string(text), " ")
	if !g.connected {
		if verb != "CONNECT" {
			return errVerb
		}
		return g.connect(args)
	}
	fields := strings.Fields(args)
	switch verb {
	case "PING", "PONG":
		if args != "" {
			return errLine
		}
		return nil
	case "SUB":
		return g.subscribe(fields)
	case "UNSUB":
		return g.unsubscribe(fields)
	case "PUB":
		return g.publish(fields, 1)
	case "HPUB":
		return g.publish(fields, 2)
	default:
		return errVerb
	}
}

// connect wants the session that this tunnel was opened for: another's, come by
// somehow, is of no use here.
func (g *guard) connect(args string) error {
	var opts struct {
		User string `json:"user"`
	}
	if err := json.Unmarshal([]byte(args), &opts); err != nil {
		return errLine
	}
	if opts.User != g.session {
		return errSession
	}
	g.connected = true
	return nil
}

// subscribe takes SUBJECT SID and SUBJECT QUEUE SID.
func (g *guard) subscribe(fields []string) error {
	if len(fields) != 2 {
		return errLine // a box shares no queue with anybody
	}
	if fields[0] != g.id.NudgeSubject() && !g.id.OwnsInbox(fields[0]) {
		return errSubject
	}
	if g.subs == nil {
		g.subs = make(map[string]struct{})
	}
	g.subs[fields[1]] = struct{}{}
	if len(g.subs) > maxSubscriptions {
		return errSubscriptions
	}
	return nil
}

// unsubscribe takes SID and SID MAX. With MAX the subscription lives on for a
// while at the broker, but a box that does so all the time ends them all.
func (g *guard) unsubscribe(fields []string) error {
	if len(fields) < 1 || len(fields) > 2 {
		return errLine
	}
	if len(fields) == 1 {
		delete(g.subs, fields[0])
	}
	return nil
}

// publish takes SUBJECT [REPLY] and one or two sizes: of the header, and of all.
func (g *guard) publish(fields []string, sizes int) error {
	if len(fields) < 1+sizes || len(fields) > 2+sizes {
		return errLine
	}
	switch subject := fields[0]; subject {
	case g.id.FramesSubject(), g.id.AskSubject(), g.id.LiveSubject():
	default:
		return errSubject
	}
	if len(fields) == 2+sizes && (!g.id.OwnsInbox(fields[1]) || strings.ContainsAny(fields[1], "*>")) {
		return errReply
	}
	all, err := size(fields[len(fields)-1])
	if err != nil {
		return err
	}
	if sizes == 2 {
		header, err := size(fields[len(fields)-2])
		if err != nil {
			return err
		}
		if header == 0 || header > all || header > maxHeader {
			return errHeader
		}
		g.header = header
		all -= header
	}
	g.payload, g.ending = all, 2
	return nil
}

// size reads a number as nats.go writes it.
func size(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || strconv.Itoa(n) != text {
		return 0, errLine
	}
	if n > wire.MaxPayloadBytes {
		return 0, errSize
	}
	return n, nil
}

// checkHeader takes NATS/1.0 and lines of NAME: VALUE. Of those with which
// JetStream is told what to do only the message id is for boxes.
func (g *guard) checkHeader(header []byte) error {
	text, ok := strings.CutPrefix(string(header), "NATS/1.0\r\n")
	if !ok {
		return errHeader
	}
	text, ok = strings.CutSuffix(text, "\r\n\r\n")
	if !ok {
		return errHeader
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(line, "\r\n") {
			return errHeader
		}
		switch {
		case name == "Nats-Msg-Id":
			if !g.id.OwnsMsgID(strings.TrimSpace(value)) {
				return errMsgID
			}
		case !strings.EqualFold(name, "traceparent"):
			return errHeader
		}
	}
	return nil
}
