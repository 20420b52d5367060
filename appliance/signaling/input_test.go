package signaling

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// clientFrame is a masked frame.
func clientFrame(first byte, payload string) []byte {
	b := appendHeader([]byte{}, first&0xf, len(payload))
	b[0], b[1] = first, b[1]|0x80
	key := []byte{1, 2, 3, 4}
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return b
}

// reading is an input over a loopback socket, and the socket's other end.
func reading(t *testing.T) (*input, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	raw, err := server.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	in := &input{Conn: server, raw: raw}
	in.wait = in.readOnce
	return in, client
}

func TestInputGivesOneFrameAtATime(t *testing.T) {
	frames := [][]byte{
		clientFrame(finalBit|opText, ""),
		clientFrame(finalBit|opText, "{}"),
		clientFrame(opText, strings.Repeat("a", 125)),
		clientFrame(finalBit, strings.Repeat("b", 126)),
		clientFrame(finalBit|opText, strings.Repeat("c", 5000)),
		clientFrame(finalBit|opText, strings.Repeat("d", 70_000)),
	}
	for name, pieces := range map[string]int{"at once": 1 << 20, "in pieces": 3, "byte by byte": 1} {
		t.Run(name, func(t *testing.T) {
			in, client := reading(t)
			stream := slices.Concat(frames...)
			go func() {
				for piece := range slices.Chunk(stream[:400], pieces) {
					_, _ = client.Write(piece)
					time.Sleep(time.Duration(len(piece)%2) * 100 * time.Microsecond)
				}
				_, _ = client.Write(stream[400:])
				client.Close()
			}()
			p := make([]byte, gorillaBytes)
			for i, want := range frames {
				var got []byte
				for len(got) < len(want) {
					n, err := in.Read(p)
					if err != nil {
						t.Fatalf("frame %d: %v", i, err)
					}
					got = append(got, p[:n]...)
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("frame %d has %d bytes, want %d", i, len(got), len(want))
				}
			}
			if _, err := in.Read(p); err != io.EOF || !in.idle() || in.buf != nil {
				t.Errorf("at the end: error %v, idle %v, buffer held %v", err, in.idle(), in.buf != nil)
			}
		})
	}
}

func TestInputTakesPings(t *testing.T) {
	in, client := reading(t)
	if _, err := client.Write(slices.Concat(
		clientFrame(finalBit|opPing, "one"), clientFrame(finalBit|opPong, ""), clientFrame(finalBit|opPing, ""), clientFrame(finalBit|opText, "{}"),
	)); err != nil {
		t.Fatal(err)
	}
	if err := in.await(); err != nil {
		t.Fatal(err)
	}
	var got []string
	note := func(payload string) error { got = append(got, payload); return nil }
	if !in.pings(note) || !slices.Equal(got, []string{"one", ""}) {
		t.Errorf("pings carried %q", got)
	}
	if in.idle() || in.pings(note) || in.rest[0] != finalBit|opText {
		t.Error("the text behind the pings is gone")
	}
}

// What gorilla makes of a stream does not change by our reading it first.
func FuzzInput(f *testing.F) {
	f.Add(slices.Concat(clientFrame(finalBit|opText, `{"type":"ping"}`), clientFrame(finalBit|opClose, "\x03\xe8")))
	f.Add(slices.Concat(clientFrame(opText, "a"), clientFrame(finalBit|opPing, "p"), clientFrame(finalBit, "b")))
	f.Add(append(clientFrame(finalBit|opText, strings.Repeat("x", 300)), 0x81, 0xff, 0xff, 0xff))
	f.Fuzz(func(t *testing.T, stream []byte) {
		plain, ours := messages(t, stream, false), messages(t, stream, true)
		if !slices.Equal(plain, ours) {
			t.Errorf("gorilla reads %q, and through input %q", plain, ours)
		}
	})
}

// messages lets gorilla read a stream from a socket.
func messages(t *testing.T, stream []byte, through bool) (got []string) {
	done := make(chan []string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var all []string
		defer func() { done <- all }()
		in := &input{}
		if through {
			w = hijacker{w, in}
		}
		ws, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		if through {
			in.raw, _ = in.Conn.(syscall.Conn).SyscallConn()
			in.wait = in.readOnce
		}
		ws.SetPingHandler(func(p string) error { all = append(all, "ping "+p); return nil })
		ws.SetPongHandler(func(string) error { return nil })
		ws.SetCloseHandler(func(int, string) error { return nil })
		for {
			if through {
				if err := in.await(); err != nil {
					return
				}
				in.pings(func(p string) error { all = append(all, "ping "+p); return nil })
			}
			kind, b, err := ws.ReadMessage()
			if err != nil {
				return
			}
			all = append(all, string(rune('0'+kind))+string(b))
		}
	}))
	defer server.Close()
	dialer := websocket.Dialer{}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	ws, resp, err := dialer.DialContext(ctx, "ws"+strings.TrimPrefix(server.URL, "http"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = ws.NetConn().Write(stream)
	_ = ws.NetConn().(*net.TCPConn).CloseWrite()
	got = <-done
	ws.Close()
	return got
}

// A connection that says nothing has neither a buffer nor a hand.
func TestHandsAreGivenBack(t *testing.T) {
	var h hands
	defer h.dismiss()
	for range 2 * handsIdle {
		h.put(h.hire())
	}
	if len(h.idle) != handsIdle {
		t.Errorf("%d hands are idle, want at most %d", len(h.idle), handsIdle)
	}
	if one := h.take(); one == nil || len(h.idle) != handsIdle-1 {
		t.Errorf("a hand is not taken: %d idle", len(h.idle))
	} else {
		h.put(one)
	}
}
