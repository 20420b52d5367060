package signaling

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
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
			if _, err := in.Read(p); !errors.Is(err, io.EOF) || !in.idle() || in.buf != nil {
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

// pipeWriter is a handshake's ResponseWriter whose socket is one of a pair.
type pipeWriter struct {
	http.ResponseWriter
	nc net.Conn
}

func (w pipeWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return w.nc, bufio.NewReadWriter(bufio.NewReader(w.nc), bufio.NewWriter(w.nc)), nil
}

// socketPair is two ends of a local socket.
func socketPair(t *testing.T) (server, client *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "pair")
		nc, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = nc.(*net.UnixConn)
	}
	return ends[0], ends[1]
}

// messages lets gorilla read a stream, plainly or as a Conn does.
func messages(t *testing.T, stream []byte, through bool) (got []string) {
	server, client := socketPair(t)
	defer server.Close()
	go func() {
		_, _ = client.Write(stream)
		_ = client.CloseWrite()
		_, _ = io.Copy(io.Discard, client)
		client.Close()
	}()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for name, value := range map[string]string{
		"Connection": "upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		r.Header.Set(name, value)
	}
	in := &input{}
	var w http.ResponseWriter = pipeWriter{httptest.NewRecorder(), server}
	if through {
		w = hijacker{w, in}
	}
	ws, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	note := func(payload string) error { got = append(got, "ping "+payload); return nil }
	ws.SetPingHandler(note)
	ws.SetCloseHandler(func(int, string) error { return nil })
	if through {
		in.raw, _ = server.SyscallConn()
		in.wait = in.readOnce
	}
	for {
		if through {
			if in.await() != nil {
				return got
			}
			in.pings(note)
		}
		kind, b, err := ws.ReadMessage()
		if err != nil {
			return got
		}
		got = append(got, string(rune('0'+kind))+string(b))
	}
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
