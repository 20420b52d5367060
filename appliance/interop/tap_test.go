//go:build linux && interop

package interop_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"signalbox/sync/wire"
)

// tap is a proxy on the way from a box to the cloud that keeps every byte the
// box sends.
type tap struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	taken []*output // of each connection
}

func newTap(t *testing.T, target string) *tap {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{listener: l, target: target}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

// url is where the box finds the cloud: in the clear, which is allowed to this
// machine alone.
func (p *tap) url() string { return "http://" + p.listener.Addr().String() }

func (p *tap) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		kept := new(output)
		p.mu.Lock()
		p.conns = append(p.conns, in, out)
		p.taken = append(p.taken, kept)
		p.mu.Unlock()
		pass := func(to, from net.Conn, keep io.Writer) {
			_, _ = io.Copy(io.MultiWriter(keep, to), from) // until either side ends
			_ = to.Close()
			_ = from.Close()
		}
		p.running.Go(func() { pass(out, in, kept) })
		p.running.Go(func() { pass(in, out, io.Discard) })
	}
}

// sent reads everything that box has sent so far.
func (p *tap) sent(t *testing.T, box wire.BoxID) *upstreamBytes {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	u := new(upstreamBytes)
	for _, kept := range p.taken {
		text := kept.String()
		u.bytes += len(text)
		in := bufio.NewReader(strings.NewReader(text))
		for {
			r, err := http.ReadRequest(in)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("what the box sent is no HTTP: %v", err)
			}
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			u.add("request", fmt.Appendf(body, "\n%s %v", r.URL, r.Header))
			if r.Header.Get("Upgrade") == "" {
				continue
			}
			stream, err := unmasked(in)
			if err != nil {
				t.Fatalf("the tunnel: %v", err)
			}
			u.add("tunnel", stream)
			if err := published(stream, func(subject string, payload []byte) { u.take(t, box, subject, payload) }); err != nil {
				t.Fatalf("the stream in the tunnel: %v", err)
			}
		}
	}
	return u
}

// unmasked joins what whole frames of a WebSocket carry, RFC 6455 §5.2.
func unmasked(in io.Reader) (stream []byte, err error) {
	for {
		head := make([]byte, 2, 14)
		if _, err := io.ReadFull(in, head); err != nil {
			return stream, onlyEnd(err)
		}
		size := uint64(head[1] & 0x7f)
		for marker, width := range map[uint64]int{126: 2, 127: 8} {
			if uint64(head[1]&0x7f) != marker {
				continue
			}
			long := make([]byte, 8)
			if _, err := io.ReadFull(in, long[8-width:]); err != nil {
				return stream, onlyEnd(err)
			}
			size = binary.BigEndian.Uint64(long)
		}
		if head[1]&0x80 == 0 || head[0]&0x70 != 0 || size > wire.MaxTunnelMessage {
			return stream, fmt.Errorf("a frame that begins with %x", head)
		}
		data := make([]byte, 4+size)
		if _, err := io.ReadFull(in, data); err != nil {
			return stream, onlyEnd(err)
		}
		for i := range data[4:] {
			data[4+i] ^= data[i%4]
		}
		stream = append(stream, data[4:]...)
	}
}

// onlyEnd forgives that the last frame is still on its way.
func onlyEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}

// published finds the messages in a stream of a NATS client.
func published(stream []byte, each func(subject string, payload []byte)) error {
	for len(stream) > 0 {
		line, rest, whole := bytes.Cut(stream, []byte("\r\n"))
		if !whole {
			return nil // it is on its way
		}
		words := strings.Fields(string(line))
		if len(words) == 0 || words[0] != "PUB" && words[0] != "HPUB" {
			stream = rest
			continue
		}
		size, err := strconv.Atoi(words[len(words)-1])
		if err != nil || size < 0 {
			return fmt.Errorf("line %q", line)
		}
		if len(rest) < size+2 {
			return nil
		}
		headers := 0
		if words[0] == "HPUB" {
			if headers, err = strconv.Atoi(words[len(words)-2]); err != nil || headers > size {
				return fmt.Errorf("line %q", line)
			}
		}
		each(words[1], rest[headers:size])
		stream = rest[size+2:]
	}
	return nil
}
