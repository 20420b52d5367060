package turn

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn/internal/udpio"
)

var (
	memClient = netip.MustParseAddrPort("192.0.2.1:1111")
	memPeer   = netip.MustParseAddrPort("127.0.0.1:7777")
	memLocal  = netip.MustParseAddrPort("127.0.0.1:3478")
)

// memLink is a link in memory with one client.
type memLink struct {
	label     string
	current   *allocation
	responses chan []byte
	delivered []delivery
}

func newMemLink(transport string) *memLink {
	return &memLink{label: transport, responses: make(chan []byte, 16)}
}

func (l *memLink) transport() string                     { return l.label }
func (l *memLink) local() netip.AddrPort                 { return memLocal }
func (l *memLink) allocation(netip.AddrPort) *allocation { return l.current }
func (l *memLink) setAllocated(a *allocation) bool       { l.current = a; return true }
func (l *memLink) setEnded(*allocation)                  { l.current = nil }
func (l *memLink) respond(m []byte, _ netip.AddrPort)    { l.responses <- slices.Clone(m) }

func (l *memLink) deliver(_ *udpio.Batch, _ netip.AddrPort, d delivery) {
	d.payload = slices.Clone(d.payload)
	l.delivered = append(l.delivered, d)
}

// answers takes the responses so far.
func (l *memLink) answers() (all [][]byte) {
	for len(l.responses) > 0 {
		all = append(all, <-l.responses)
	}
	return all
}

// newMemServer is a relay that serves nobody by itself.
func newMemServer(t testing.TB, change ...func(*Config)) *Server {
	cfg := Config{Listen: []string{"127.0.0.1:0"}, AllowPeers: rules("127.0.0.0/8")}
	for _, f := range change {
		f(&cfg)
	}
	s, err := New(cfg, make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// admitRaw has a gate look at a message from the client of l.
func (g *gate) admitRaw(l link, raw []byte) {
	g.admit(arrival{l, memClient, &raw})
}

// allocateIn makes an allocation that pion does not know of.
func allocateIn(t testing.TB, g *gate, l link) *allocation {
	t.Helper()
	g.request = request{link: l, from: memClient, user: "tester", identity: &identity{user: "tester"}}
	if code := g.prepare(wanted{addr: loopback}); code != 0 {
		t.Fatalf("prepare: %d", code)
	}
	g.begun(g.request.allocation)
	return g.request.allocation
}

// newBatch is a batch at the present time.
func (s *Server) newBatch() *udpio.Batch {
	b := udpio.NewBatch(&s.counters.sockets, streamBatch)
	b.Begin(time.Now())
	return b
}

var allocateUDP = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

// peerAddress writes XOR-PEER-ADDRESS.
type peerAddress netip.AddrPort

func (p peerAddress) AddTo(m *stun.Message) error {
	addr := netip.AddrPort(p)
	return stun.XORMappedAddress{IP: addr.Addr().AsSlice(), Port: int(addr.Port())}.AddToAs(m, stun.AttrXORPeerAddress)
}
