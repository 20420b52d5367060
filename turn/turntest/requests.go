package turntest

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
)

// Method is the type of a request.
func Method(m stun.Method) stun.MessageType { return stun.NewType(m, stun.ClassRequest) }

// UDPTransport is REQUESTED-TRANSPORT for UDP.
var UDPTransport = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

// Peer is an XOR-PEER-ADDRESS, with an IPv4-mapped address as an IPv6 one.
type Peer netip.AddrPort

// AddTo makes Peer a stun.Setter.
func (p Peer) AddTo(m *stun.Message) error {
	addr := netip.AddrPort(p)
	value := binary.BigEndian.AppendUint16([]byte{0, 1}, addr.Port()^0x2112)
	if addr.Addr().Is6() {
		value[1] = 2
	}
	mask := append([]byte{0x21, 0x12, 0xA4, 0x42}, m.TransactionID[:]...)
	for i, b := range addr.Addr().AsSlice() {
		value = append(value, b^mask[i])
	}
	m.Add(stun.AttrXORPeerAddress, value)
	return nil
}

// Channel is a CHANNEL-NUMBER.
func Channel(number uint16) stun.RawAttribute {
	return stun.RawAttribute{
		Type: stun.AttrChannelNumber, Value: binary.BigEndian.AppendUint32(nil, uint32(number)<<16),
	}
}

// Lifetime is a LIFETIME.
func Lifetime(d time.Duration) stun.RawAttribute {
	return stun.RawAttribute{
		Type: stun.AttrLifetime, Value: binary.BigEndian.AppendUint32(nil, uint32(d/time.Second)),
	}
}

// Allocate allocates and returns the relayed address. It fails the test when
// the server refuses.
func (c *Client) Allocate(setters ...stun.Setter) netip.AddrPort {
	c.t.Helper()
	m := c.Request(stun.MethodAllocate, append([]stun.Setter{UDPTransport}, setters...)...)
	var relayed stun.XORMappedAddress
	if relayed.GetFromAs(m, stun.AttrXORRelayedAddress) != nil {
		c.t.Fatalf("allocate: got error %d, want a relayed address", Code(m))
	}
	addr, _ := netip.AddrFromSlice(relayed.IP)
	return netip.AddrPortFrom(addr.Unmap(), uint16(relayed.Port))
}

// Permit creates permissions and returns the error code, 0 for success.
func (c *Client) Permit(peers ...netip.AddrPort) int {
	c.t.Helper()
	var setters []stun.Setter
	for _, p := range peers {
		setters = append(setters, Peer(p))
	}
	return Code(c.Request(stun.MethodCreatePermission, setters...))
}

// Bind binds a channel and returns the error code, 0 for success.
func (c *Client) Bind(number uint16, peer netip.AddrPort) int {
	c.t.Helper()
	return Code(c.Request(stun.MethodChannelBind, Channel(number), Peer(peer)))
}

// Refresh refreshes the allocation and returns the error code, 0 for success.
func (c *Client) Refresh(lifetime time.Duration) int {
	c.t.Helper()
	return Code(c.Request(stun.MethodRefresh, Lifetime(lifetime)))
}

// SendChannel sends ChannelData.
func (c *Client) SendChannel(number uint16, data []byte) {
	c.t.Helper()
	raw := binary.BigEndian.AppendUint16(nil, number)
	raw = binary.BigEndian.AppendUint16(raw, uint16(len(data)))
	raw = append(raw, data...)
	if c.stream != nil {
		raw = append(raw, make([]byte, -len(data)&3)...)
	}
	c.Write(raw)
}

// SendTo sends a Send indication.
func (c *Client) SendTo(peer netip.AddrPort, data []byte) {
	c.t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication),
		Peer(peer), stun.RawAttribute{Type: stun.AttrData, Value: data})
	if err != nil {
		c.t.Fatalf("build Send indication: %v", err)
	}
	c.Write(m.Raw)
}

// Datagram is what a client gets from a peer: by channel or from an address.
type Datagram struct {
	Channel uint16
	Peer    netip.AddrPort
	Data    string
}

// Receive waits for data from a peer; ok is false when none comes in time.
func (c *Client) Receive(timeout time.Duration) (d Datagram, ok bool) {
	c.t.Helper()
	for deadline := time.Now().Add(timeout); ; {
		var raw []byte
		if len(c.data) > 0 {
			raw, c.data = c.data[0], c.data[1:]
		} else {
			var err error
			if raw, err = c.Read(time.Until(deadline)); err != nil {
				return Datagram{}, false
			}
		}
		if d, ok := parse(raw); ok {
			return d, true
		}
	}
}

func parse(raw []byte) (Datagram, bool) {
	if len(raw) >= 4 && raw[0]&0xC0 == 0x40 {
		end := 4 + int(binary.BigEndian.Uint16(raw[2:]))
		return Datagram{Channel: binary.BigEndian.Uint16(raw), Data: string(raw[4:min(end, len(raw))])}, true
	}
	m := new(stun.Message)
	if _, err := m.Write(raw); err != nil || m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) {
		return Datagram{}, false
	}
	var peer stun.XORMappedAddress
	data, err := m.Get(stun.AttrData)
	if err != nil || peer.GetFromAs(m, stun.AttrXORPeerAddress) != nil {
		return Datagram{}, false
	}
	addr, _ := netip.AddrFromSlice(peer.IP)
	return Datagram{Peer: netip.AddrPortFrom(addr.Unmap(), uint16(peer.Port)), Data: string(data)}, true
}
