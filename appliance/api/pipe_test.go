package api_test

import (
	"context"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"signalbox/appliance/api"
)

// pipes is a listener whose connections stay in memory, for use in a bubble of
// synctest.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { close(p.done); return nil }

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	p.conns <- far
	return near, nil
}

// inBubble serves a box over pipes and runs test in the bubble.
func inBubble(t *testing.T, change func(*api.Config), test func(t *testing.T, b *box)) {
	synctest.Test(t, func(t *testing.T) {
		b := newUnserved(t, change)
		p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		server := &http.Server{Handler: b.api.Handler()}
		ended := make(chan error)
		go func() { ended <- server.Serve(p) }()
		transport := &http.Transport{DialContext: p.dial}
		b.url, b.client = "http://box.test", &http.Client{Transport: transport}
		test(t, b)
		_ = b.api.Close()
		transport.CloseIdleConnections()
		_ = server.Close()
		<-ended
	})
}
