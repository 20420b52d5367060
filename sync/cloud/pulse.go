package cloud

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Line is how the node is doing, in one line: what `systemctl status` shows.
func (n *Node) Line() string {
	line := []string{fmt.Sprintf("%s: %d boxes connected", n.name, len(n.gateway.Online()))}
	for _, part := range n.parts() {
		if !part.OK {
			line = append(line, part.Name+": "+part.Reason)
		}
	}
	return strings.Join(line, "; ")
}

// Pulse passes through the projection, the embedded broker and the port for
// HTTP, and reports the first that does not answer before ctx ends. It writes
// nothing. An external cluster that is away is no reason to start again.
func (n *Node) Pulse(ctx context.Context) error {
	for _, part := range []struct {
		name  string
		check func(context.Context) error
	}{{"projection", n.pulseProjection}, {"broker", n.pulseBroker}, {"http", n.pulseHTTP}} {
		done := make(chan error, 1)
		go func() { done <- part.check(ctx) }() // what hangs does not look at ctx
		select {
		case err := <-done:
			if err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w", part.name, context.Cause(ctx))
		}
	}
	return nil
}

func (n *Node) pulseProjection(context.Context) error {
	_ = n.projector.Stats()
	return nil
}

// pulseBroker goes to the embedded server and back.
func (n *Node) pulseBroker(ctx context.Context) error {
	if len(n.cfg.NATS.URLs) > 0 {
		return nil
	}
	return n.broker.Conn().FlushWithContext(ctx)
}

// pulseHTTP asks the node whether it is alive, on a port in the clear if it has one.
func (n *Node) pulseHTTP(ctx context.Context) error {
	if len(n.plain) == 0 {
		return nil
	}
	at := netip.MustParseAddrPort(n.plain[0].Addr().String())
	transport := &http.Transport{DisableKeepAlives: true}
	transport.DialContext = func(ctx context.Context, _, _ string) (conn net.Conn, err error) {
		addrs := []netip.Addr{at.Addr()}
		if at.Addr().IsUnspecified() {
			addrs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
		}
		var dialer net.Dialer
		for _, addr := range addrs {
			if conn, err = dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(addr, at.Port()).String()); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://signalbox/healthz", nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET /healthz: %s", answer.Status)
	}
	return nil
}
