package appliance

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"signalbox/appliance/control"
)

// Pulse passes through what a box is for and reports the first thing that does
// not answer before ctx ends: a request over a real socket to the port for
// pages, a round trip through the locks and the clock of signaling, a STUN
// Binding over a real socket to the relay, and a read of the store. It writes
// nothing. A part that is stuck for good keeps one goroutine of each call.
func (a *Appliance) Pulse(ctx context.Context) error {
	for _, part := range []struct {
		name  string
		check func(context.Context) error
	}{
		{"signaling", a.signaling.Pulse},
		{"http", a.pulseHTTP},
		{"turn relay", a.pulseRelay},
		{"store", func(context.Context) error { return a.store.Alive() }},
	} {
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

// pulseHTTP asks the box by HTTP whether it is alive: on a port in the clear,
// without one on the control socket. Ports for TLS bound the handshakes, and a
// stranger who uses all of them up should not have the box restarted as well.
func (a *Appliance) pulseHTTP(ctx context.Context) error {
	transport := &http.Transport{DisableKeepAlives: true}
	transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		for _, s := range a.http {
			if !s.secure {
				return dialOwn(ctx, netip.MustParseAddrPort(s.listener.Addr().String()))
			}
		}
		return control.Dial(ctx, a.cfg.Data)
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

// dialOwn connects to a listener of this process. One for every address is met
// on whichever loopback there is.
func dialOwn(ctx context.Context, at netip.AddrPort) (conn net.Conn, err error) {
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

// A STUN message begins with its type, its length and the magic cookie; the
// transaction id tells whose answer this is (RFC 8489 §5).
const (
	stunHeader   = 20
	stunBinding  = 0x0001
	stunBound    = 0x0101
	stunCookie   = 0x2112A442
	stunAttempts = 3
	stunWait     = time.Second
)

// pulseRelay sends a Binding request to an address that the relay serves. With
// none, while no network is there, nothing is wrong with the relay itself.
func (a *Appliance) pulseRelay(ctx context.Context) error {
	served, _ := a.relay.Addrs()
	if len(served) == 0 {
		return nil
	}
	at := served[0]
	for _, ap := range served {
		if ap.Addr().IsLoopback() {
			at = ap
		}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "udp", at.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	request := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, stunBinding), 0), stunCookie)
	request = append(request, make([]byte, stunHeader-len(request))...)
	_, _ = rand.Read(request[8:]) // never fails (crypto/rand)
	for range stunAttempts {      // UDP loses packets on loopback too, when a buffer is full
		if err = bind(conn, request); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("STUN Binding to %v: %w", at, err)
}

// bind sends a Binding request and waits for the answer to it.
func bind(conn net.Conn, request []byte) error {
	if err := conn.SetDeadline(time.Now().Add(stunWait)); err != nil {
		return err
	}
	if _, err := conn.Write(request); err != nil {
		return err
	}
	answer := make([]byte, 1500)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return err
		}
		switch {
		case n < stunHeader || !bytes.Equal(answer[4:stunHeader], request[4:stunHeader]):
		case binary.BigEndian.Uint16(answer) != stunBound:
			return errors.New("the relay refuses to answer")
		default:
			return nil
		}
	}
}
