package loadgen

import (
	"fmt"
	"strings"
	"testing"
)

// hear feeds frames to a speaker and gives its answers and the last news.
func hear(s Speaker, frames ...string) (answers []string, news News) {
	for _, frame := range frames {
		var b []byte
		if b, news = s.Hear([]byte(frame), nil); b != nil {
			answers = append(answers, string(b))
		}
	}
	return answers, news
}

const (
	testWelcome = `{"type":"welcome","session":"s_1","member":"m_a","limits":{"unacked_frames":3}}`
	testRoom    = `{"type":"room","room":"r","members":[{"member":"m_a","state":"online"},{"member":"m_b","state":"online"}]}`
)

func TestNativeSpeakerMeetsItsPartner(t *testing.T) {
	s := Native{Tokens: []string{"other", "secret"}}.Speaker(3, "r")
	if got, want := string(s.Hello(nil)), `{"type":"hello","token":"secret","client":"signalbox-bench","name":"bench-3"}`; got != want {
		t.Errorf("hello is %s, want %s", got, want)
	}
	if _, ok := s.Message(nil); ok {
		t.Error("it sends before it has a partner")
	}
	answers, _ := hear(s, testWelcome)
	if want := `{"type":"join","seq":1,"room":"r"}`; len(answers) != 1 || answers[0] != want {
		t.Errorf("it answers welcome with %q, want %q", answers, want)
	}
	_, news := hear(s, `{"seq":1,"type":"joined","room":"r","member":"m_a"}`, testRoom)
	if news.Kind != NewsReady {
		t.Errorf("with its partner in the room the news is %v, want %v", news, NewsReady)
	}
	b, ok := s.Message(nil)
	if want := `{"type":"message","seq":2,"ack":1,"room":"r","to":"m_b","data":`; !ok || string(b) != want {
		t.Errorf("its message begins with %s, want %s", b, want)
	}
}

func TestNativeSpeakerKeepsTheWindow(t *testing.T) {
	s := Native{}.Speaker(0, "r")
	hear(s, testWelcome, testRoom)
	for i := range 3 {
		if _, ok := s.Message(nil); ok != (i < 2) { // join was the first of three
			t.Errorf("message %d: sent is %v", i, ok)
		}
	}
	if _, news := hear(s, `{"ack":2,"type":"ack"}`); news.Kind != NewsRoom {
		t.Errorf("an acknowledgement is news %v, want %v", news, NewsRoom)
	}
	if _, ok := s.Message(nil); !ok {
		t.Error("it does not send although the window has moved")
	}
}

func TestNativeSpeakerAcknowledges(t *testing.T) {
	s := Native{}.Speaker(0, "r")
	hear(s, testWelcome, testRoom)
	var answers []string
	for seq := 1; seq <= ackFrames; seq++ {
		got, news := hear(s, fmt.Sprintf(`{"seq":%d,"type":"message","data":1}`, seq))
		if news.Kind != NewsMessage {
			t.Fatalf("a message is news %v, want %v", news, NewsMessage)
		}
		answers = append(answers, got...)
	}
	if want := fmt.Sprintf(`{"type":"ack","ack":%d}`, ackFrames); len(answers) != 1 || answers[0] != want {
		t.Errorf("after %d frames it has said %q, want %q", ackFrames, answers, want)
	}
	s.Tick(nil)
	hear(s, fmt.Sprintf(`{"seq":%d,"type":"message"}`, ackFrames+1))
	if got, want := string(s.Tick(nil)), fmt.Sprintf(`{"type":"ack","ack":%d}`, ackFrames+1); got != want {
		t.Errorf("with a frame that waited it ticks %q, want %q", got, want)
	}
	if got := s.Tick(nil); got != nil {
		t.Errorf("with nothing to say it ticks %q", got)
	}
	if _, news := hear(s, `{"seq":90,"type":"message"}`); news != (News{NewsEnded, "gap"}) {
		t.Errorf("a gap is news %v", news)
	}
}

func TestNativeSpeakerHearsTheRest(t *testing.T) {
	s := Native{}.Speaker(0, "r")
	hear(s, testWelcome)
	if answers, _ := hear(s, `{"type":"ping","t":17}`); len(answers) != 1 || answers[0] != `{"type":"pong","t":17}` {
		t.Errorf("it answers a ping with %q", answers)
	}
	if _, news := hear(s, `{"seq":1,"type":"error","re":1,"code":"rate_limited"}`); news != (News{NewsRefused, "rate_limited"}) {
		t.Errorf("an error is news %v", news)
	}
	if _, news := hear(s, `{"type":"closing","code":1012,"error":"restart"}`); news != (News{NewsEnded, "restart"}) {
		t.Errorf("a farewell is news %v", news)
	}
}

func FuzzGlance(f *testing.F) {
	f.Add(uint64(40), uint64(13), "message", `,"room":"r"}`)
	f.Add(uint64(0), uint64(13), "ack", "}")
	f.Add(uint64(0), uint64(0), "welcome", `{"seq":,"type":"`)
	f.Fuzz(func(t *testing.T, seq, ack uint64, kind, rest string) {
		glance([]byte(rest))
		if kind == "" || strings.Contains(kind, `"`) {
			return
		}
		frame := "{"
		if seq > 0 {
			frame += fmt.Sprintf(`"seq":%d,`, seq)
		}
		if ack > 0 {
			frame += fmt.Sprintf(`"ack":%d,`, ack)
		}
		frame += `"type":"` + kind + `"` + rest
		gotSeq, gotAck, gotKind := glance([]byte(frame))
		if gotSeq != seq || gotAck != ack || string(gotKind) != kind {
			t.Errorf("glance(%s) = %d, %d, %q, want %d, %d, %q", frame, gotSeq, gotAck, gotKind, seq, ack, kind)
		}
	})
}
