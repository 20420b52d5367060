//go:build linux && interop

package machine_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"signalbox/appliance/loadgen"
	"signalbox/internal/netlab"
	"signalbox/turn"
	"signalbox/turn/turntest"
)

// trusting is for clients that have installed the box's root, as devices do.
func (m *machine) trusting() *tls.Config {
	m.t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(m.sh("signalbox trust"))) {
		m.t.Fatal("signalbox trust prints no certificate")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// join is a device in a room of the box, by the port that needs no number.
func (m *machine) join(from *netlab.Host, subject, room string) *loadgen.Client {
	m.t.Helper()
	c := loadgen.New(loadgen.Options{
		URL: "wss://" + m.on.IPv4().String() + "/v1/signal", Name: subject, NetDial: from.DialContext, TLS: m.trusting(),
		Token: m.sh("signalbox token device --ttl 1h --subject " + subject + " --room " + room), MaxBackoff: 250 * time.Millisecond,
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	m.t.Cleanup(func() { stop(); <-done })
	hear(m.t, c, "welcome", func(f loadgen.Frame) bool { return f.Type == "welcome" })
	send(m.t, c, loadgen.Send{Type: "join", ID: 1, Room: room})
	if f := hear(m.t, c, "the room", func(f loadgen.Frame) bool { return f.Type == "room" && f.Last || f.Type == "error" }); f.Type == "error" {
		m.t.Fatalf("%s joining %s: %s: %s", subject, room, f.ErrorCode(), f.Message)
	}
	return c
}

func send(t *testing.T, c *loadgen.Client, s loadgen.Send) {
	t.Helper()
	if _, err := c.Send(s); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c *loadgen.Client, what string, want func(loadgen.Frame) bool) loadgen.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f, err := c.Await(ctx, want)
	if err != nil {
		t.Fatalf("waiting for %s: %v; %+v", what, err, c.Counts())
	}
	return f
}

// Two devices come in by wss on port 443, exchange an offer and an answer, and
// send each other data through the relay: one over UDP on its own port, the
// other over TLS on 443.
func testCall(t *testing.T, m *machine, device *netlab.Host) {
	ann, bob := m.join(device, "ann", "line-3"), m.join(device, "bob", "line-3")
	for _, step := range []struct {
		from, to *loadgen.Client
		kind     string
	}{{ann, bob, "offer"}, {bob, ann, "answer"}} {
		send(t, step.from, loadgen.Send{Type: step.kind, Room: "line-3", To: step.to.Member(), Gen: 1, Data: json.RawMessage(`{"sdp":"v=0"}`)})
		hear(t, step.to, "the "+step.kind, func(f loadgen.Frame) bool { return f.Type == step.kind && f.From == step.from.Member() })
	}
	m.exchange(device)
	if status := m.sh("signalbox status"); !strings.Contains(status, "2, 2 connected") {
		t.Errorf("the status does not know of two sessions:\n%s", status)
	}
}

// exchange sends data from one allocation of the relay to another and back.
func (m *machine) exchange(device *netlab.Host) {
	t := m.t
	t.Helper()
	var clients [2]*turntest.Client
	var relayed [2]netip.AddrPort
	for i := range clients {
		var c struct {
			URLs                 []string
			Username, Credential string
		}
		if err := json.Unmarshal([]byte(m.sh(fmt.Sprintf("signalbox token turn --json --ttl 1h --subject user-%d", i))), &c); err != nil {
			t.Fatal(err)
		}
		network, port := "udp", ":3478"
		if i == 1 {
			network, port = "tcp", ":443"
		}
		conn, err := device.DialContext(t.Context(), network, m.on.IPv4().String()+port)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			secure := m.trusting()
			secure.ServerName = m.on.IPv4().String()
			conn = tls.Client(conn, secure)
		}
		clients[i] = turntest.Use(t, conn)
		clients[i].Credential = turn.Credential{Username: c.Username, Password: c.Credential}
		clients[i].Challenge()
		relayed[i] = clients[i].Allocate()
	}
	for i, c := range clients {
		if code := c.Permit(relayed[1-i]); code != 0 {
			t.Fatalf("permission refused with %d", code)
		}
	}
	for i, c := range clients {
		text := fmt.Sprintf("from %d", i)
		c.SendTo(relayed[1-i], []byte(text))
		if d, ok := clients[1-i].Receive(patience); !ok || d.Data != text || d.Peer != relayed[i] {
			t.Fatalf("the other side got %+v, %v, want %q", d, ok, text)
		}
	}
	for _, c := range clients {
		c.Refresh(0)
	}
}
