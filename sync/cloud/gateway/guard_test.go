package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"signalbox/sync/wire"
)

var (
	boxA = wire.BoxID{Tenant: "main", Site: "hall-1", Box: "a"}
	boxB = wire.BoxID{Tenant: "main", Site: "hall-2", Box: "b"}
)

const session = "s1.main.hall-1.a.2000000000.mac"

const hello = `CONNECT {"verbose":false,"user":"` + session + `","name":"box"}` + "\r\nPING\r\n"

func newGuard() *guard { return &guard{id: boxA, session: session} }

func check(g *guard, text string) error {
	_, err := g.pass([]byte(text))
	return err
}

// hpub is what nats.go writes for a message with a header.
func hpub(subject, reply, header, payload string) string {
	header = "NATS/1.0\r\n" + header + "\r\n\r\n"
	return fmt.Sprintf("HPUB %s %s %d %d\r\n%s%s\r\n", subject, reply, len(header), len(header)+len(payload), header, payload)
}

func TestGuard(t *testing.T) {
	own, inbox := boxA.FramesSubject(), boxA.InboxPrefix()+".abc.1"
	id := "Nats-Msg-Id: " + boxA.MsgID(7, 1)
	good := hello + "PONG\r\n" +
		"SUB " + boxA.InboxPrefix() + ".abc.*  1\r\n" + // nats.go leaves two spaces where a queue would be
		"SUB " + boxA.NudgeSubject() + " 2\r\n" +
		"PUB " + own + " 5\r\nhello\r\n" +
		"PUB " + own + " " + inbox + " 0\r\n\r\n" +
		"PUB " + boxA.AskSubject() + " " + inbox + " 7\r\n\r\nPUB x\r\n" + // a payload that looks like lines
		hpub(own, inbox, id, "frame") +
		hpub(own, inbox, id+"\r\ntraceparent: 00-1-2-01", strings.Repeat("x", 100_000)) +
		"UNSUB 2 1\r\nUNSUB 2\r\nPUB " + boxA.LiveSubject() + " 1\r\nx\r\n"
	if err := check(newGuard(), good); err != nil {
		t.Errorf("what nats.go writes: got %v", err)
	}
	random := rand.New(rand.NewPCG(1, 1))
	for range 50 { // cut anywhere
		g, rest, passed := newGuard(), []byte(good), []byte(nil)
		for len(rest) > 0 {
			n := min(len(rest), 1+random.IntN(1+random.IntN(2000)))
			out, err := g.pass(rest[:n])
			if err != nil {
				t.Fatalf("cut before %.60q: got %v", rest, err)
			}
			passed, rest = append(passed, out...), rest[n:]
		}
		if string(passed) != good {
			t.Fatalf("passed %d bytes of %d, or others", len(passed), len(good))
		}
	}
	for _, c := range []struct {
		what, bytes string
		want        error
	}{
		{"before CONNECT", "PING\r\n", errVerb},
		{"nonsense", "\x00\x01\x02\r\n", errLine},
		{"nonsense without an end", strings.Repeat("A", maxLine+1), errLine},
		{"another session", `CONNECT {"user":"s1.main.hall-2.b.2000000000.mac"}` + "\r\n", errSession},
		{"no session", "CONNECT {}\r\n", errSession},
		{"two users", `CONNECT {"user":"` + session + `","User":"other"}` + "\r\n", errSession},
		{"no JSON", "CONNECT {\r\n", errLine},
		{"CONNECT again", hello + hello, errVerb},
		{"small letters", hello + "pub " + own + " 0\r\n\r\n", errVerb},
		{"a verb of servers", hello + "RMSG $G x 0\r\n\r\n", errVerb},
		{"INFO", hello + "INFO {}\r\n", errVerb},
		{"no CR", hello + "PING\n", errLine},
		{"CR within", hello + "PUB " + own + "\r 0\r\n", errLine},
		{"tab", hello + "PUB\t" + own + " 0\r\n\r\n", errLine},
		{"another's frames", hello + "PUB " + boxB.FramesSubject() + " 0\r\n\r\n", errSubject},
		{"the broker's interface", hello + "PUB $JS.API.STREAM.DELETE.UP 0\r\n\r\n", errSubject},
		{"answers to another's frames", hello + "PUB " + own + " " + boxB.FramesSubject() + " 0\r\n\r\n", errReply},
		{"answers to the interface", hello + "PUB " + boxA.AskSubject() + " $JS.API.STREAM.PURGE.UP 0\r\n\r\n", errReply},
		{"answers to another's nudge", hello + hpub(own, boxB.NudgeSubject(), id, ""), errReply},
		{"answers to a wildcard", hello + "PUB " + own + " " + boxA.InboxPrefix() + ".* 0\r\n\r\n", errReply},
		{"answers to a box that begins alike", hello + "PUB " + own + " " + boxA.InboxPrefix() + "b.x 0\r\n\r\n", errReply},
		{"another's message id", hello + hpub(own, inbox, "Nats-Msg-Id: "+boxB.MsgID(7, 1), ""), errMsgID},
		{"an id of a box that begins alike", hello + hpub(own, inbox, "Nats-Msg-Id: "+boxA.String()+"b:1:1", ""), errMsgID},
		{"a second id", hello + hpub(own, inbox, id+"\r\nNats-Msg-Id: x", ""), errMsgID},
		{"an id in other letters", hello + hpub(own, inbox, "nats-msg-id: x", ""), errHeader},
		{"rollup", hello + hpub(own, inbox, "Nats-Rollup: all", ""), errHeader},
		{"no header", hello + "HPUB " + own + " 4 4\r\nabcd\r\n", errHeader},
		{"header longer than all", hello + "HPUB " + own + " 40 4\r\n", errHeader},
		{"header of nothing", hello + "HPUB " + own + " 0 4\r\n", errHeader},
		{"a huge header", hello + "HPUB " + own + " 9999 9999\r\n", errHeader},
		{"a huge payload", hello + fmt.Sprintf("PUB %s %d\r\n", own, wire.MaxPayloadBytes+1), errSize},
		{"a negative size", hello + "PUB " + own + " -1\r\n", errLine},
		{"a size with a sign", hello + "PUB " + own + " +1\r\n", errLine},
		{"a size with a zero", hello + "PUB " + own + " 01\r\n", errLine},
		{"a size too large for a number", hello + "PUB " + own + " 99999999999999999999\r\n", errLine},
		{"a payload that goes on", hello + "PUB " + own + " 1\r\nxy\r\n", errLine},
		{"another's nudge", hello + "SUB " + boxB.NudgeSubject() + " 1\r\n", errSubject},
		{"everything", hello + "SUB > 1\r\n", errSubject},
		{"a queue", hello + "SUB " + boxA.NudgeSubject() + " q 1\r\n", errLine},
	} {
		if err := check(newGuard(), c.bytes); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
		g, got := newGuard(), error(nil)
		for i := 0; i < len(c.bytes) && got == nil; i++ {
			got = check(g, c.bytes[i:i+1])
		}
		if !errors.Is(got, c.want) {
			t.Errorf("%s, byte by byte: got %v, want %v", c.what, got, c.want)
		}
	}
	many := hello
	for i := range maxSubscriptions + 1 {
		many += fmt.Sprintf("SUB %s.%d %d\r\n", boxA.InboxPrefix(), i, i)
	}
	if err := check(newGuard(), many); !errors.Is(err, errSubscriptions) {
		t.Errorf("many subscriptions: got %v, want %v", err, errSubscriptions)
	}
}

// Where bytes are cut makes no difference, and nothing is kept that grows.
func FuzzGuard(f *testing.F) {
	f.Add([]byte(hello+"PUB "+boxA.FramesSubject()+" 5\r\nhello\r\n"), uint16(7))
	f.Add([]byte(hello+hpub(boxA.FramesSubject(), boxA.InboxPrefix()+".x", "Nats-Msg-Id: "+boxA.MsgID(1, 1), "x")), uint16(60))
	f.Add([]byte(hello+"SUB "+boxA.NudgeSubject()+" 1\r\nUNSUB 1\r\n"), uint16(1))
	f.Add([]byte("\r\n\r\n"), uint16(1))
	f.Fuzz(func(t *testing.T, stream []byte, cut uint16) {
		out, whole := newGuard().pass(bytes.Clone(stream))
		g := newGuard()
		at := min(int(cut), len(stream))
		first, pieces := g.pass(bytes.Clone(stream[:at]))
		if pieces == nil {
			var second []byte
			second, pieces = g.pass(bytes.Clone(stream[at:]))
			if whole == nil && string(first)+string(second) != string(out) {
				t.Errorf("whole: %q, cut at %d: %q and %q", out, at, first, second)
			}
		}
		if !errors.Is(whole, pieces) {
			t.Errorf("whole: %v, cut at %d: %v", whole, at, pieces)
		}
		if len(g.held) > maxLine || len(g.subs) > maxSubscriptions+1 {
			t.Errorf("keeps %d bytes and %d subscriptions", len(g.held), len(g.subs))
		}
		if len(out) > 0 && !bytes.HasPrefix(out, []byte("CONNECT {")) {
			t.Errorf("lets %q pass without CONNECT", out)
		}
	})
}
