//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/pion/stun/v2"
	"golang.org/x/sys/unix"
)

// login is a user of a server.
type login struct{ username, password string }

// controlClient makes one allocation and what belongs to it. It is not safe
// for concurrent use.
type controlClient struct {
	conn   conn
	login  login
	realm  stun.Realm
	nonce  stun.Nonce
	key    stun.MessageIntegrity
	buffer [2048]byte
}

// conn is a connected socket: one of package net, or a descriptor.
type conn interface {
	io.ReadWriter
	SetReadDeadline(time.Time) error
}

// descriptor is a blocking socket.
type descriptor int

func (d descriptor) Read(p []byte) (int, error)  { return unix.Read(int(d), p) }
func (d descriptor) Write(p []byte) (int, error) { return unix.Write(int(d), p) }

// SetReadDeadline bounds each read from now on, by at least a millisecond.
func (d descriptor) SetReadDeadline(t time.Time) error {
	left := unix.NsecToTimeval(int64(max(time.Until(t), time.Millisecond)))
	return unix.SetsockoptTimeval(int(d), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &left)
}

const (
	answerTimeout = 500 * time.Millisecond // then the client asks again
	patience      = 5 * time.Second        // in all, since a server takes its time to start
	refusedPause  = 5 * time.Millisecond   // while it does not listen yet
)

var udpTransport = stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}

// errRefused is wrapped by what ask returns for an error response.
var errRefused = errors.New("refused")

// ask sends a request, signed once there is a key, and gives the response.
func (c *controlClient) ask(method stun.Method, setters ...stun.Setter) (*stun.Message, error) {
	setters = append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, setters...)
	if c.key != nil {
		setters = append(setters, stun.NewUsername(c.login.username), c.realm, c.nonce, c.key)
	}
	request, err := stun.Build(setters...)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err = c.conn.Write(request.Raw); err == nil {
			var response *stun.Message
			if response, err = c.await(request.TransactionID); err == nil {
				return response, refusal(response)
			}
		}
		time.Sleep(refusedPause)
	}
	return nil, fmt.Errorf("%v was not answered: %w", method, err)
}

func (c *controlClient) await(id [stun.TransactionIDSize]byte) (*stun.Message, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	for {
		n, err := c.conn.Read(c.buffer[:])
		if err != nil {
			return nil, err
		}
		m := &stun.Message{Raw: bytes.Clone(c.buffer[:n])}
		if m.Decode() == nil && m.TransactionID == id {
			return m, nil
		}
	}
}

func refusal(m *stun.Message) error {
	if m.Type.Class == stun.ClassSuccessResponse {
		return nil
	}
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil {
		return fmt.Errorf("%w without a code", errRefused)
	}
	return fmt.Errorf("%w: %v", errRefused, code)
}

// challenge gets the realm and a nonce with a request that is not signed.
func (c *controlClient) challenge() error {
	c.key = nil
	m, err := c.ask(stun.MethodAllocate, udpTransport)
	if !errors.Is(err, errRefused) {
		return fmt.Errorf("challenge: got %w, want 401", err)
	}
	if err := errors.Join(c.realm.GetFrom(m), c.nonce.GetFrom(m)); err != nil {
		return fmt.Errorf("challenge: %w", err)
	}
	c.key = stun.NewLongTermIntegrity(c.login.username, c.realm.String(), c.login.password)
	return nil
}

// allocate gives the relayed address, after a challenge.
func (c *controlClient) allocate() (netip.AddrPort, error) {
	if err := c.challenge(); err != nil {
		return netip.AddrPort{}, err
	}
	m, err := c.ask(stun.MethodAllocate, udpTransport)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("allocate: %w", err)
	}
	var relayed stun.XORMappedAddress
	if err := relayed.GetFromAs(m, stun.AttrXORRelayedAddress); err != nil {
		return netip.AddrPort{}, fmt.Errorf("allocate: %w", err)
	}
	addr, _ := netip.AddrFromSlice(relayed.IP)
	return netip.AddrPortFrom(addr.Unmap(), uint16(relayed.Port)), nil
}

func (c *controlClient) permit(peer netip.AddrPort) error {
	_, err := c.ask(stun.MethodCreatePermission, peerAttr(peer))
	return wrapped("permit", err)
}

func (c *controlClient) bind(peer netip.AddrPort) error {
	number := binary.BigEndian.AppendUint32(nil, firstChannel<<16)
	_, err := c.ask(stun.MethodChannelBind, stun.RawAttribute{Type: stun.AttrChannelNumber, Value: number}, peerAttr(peer))
	return wrapped("bind", err)
}

// free ends the allocation.
func (c *controlClient) free() error {
	_, err := c.ask(stun.MethodRefresh, stun.RawAttribute{Type: stun.AttrLifetime, Value: make([]byte, 4)})
	return wrapped("free", err)
}

func peerAttr(peer netip.AddrPort) stun.RawAttribute {
	return stun.RawAttribute{Type: stun.AttrXORPeerAddress, Value: xorAddr(peer)}
}

func wrapped(step string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return nil
}

// greetForwarder asks the bare forwarder for a flow to peer and gives the
// address that the peer should use.
func greetForwarder(c conn, peer netip.AddrPort) (netip.AddrPort, error) {
	answer := make([]byte, 64)
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(refusedPause) {
		if _, err = c.Write(hello(peer)); err != nil {
			continue
		}
		if err = c.SetReadDeadline(time.Now().Add(answerTimeout)); err != nil {
			return netip.AddrPort{}, err
		}
		n, readErr := c.Read(answer)
		if err = readErr; err == nil && n == helloSize {
			a := answer[len(forwardHello):]
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(a[:4])), binary.BigEndian.Uint16(a[4:])), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("the forwarder did not answer: %w", err)
}
