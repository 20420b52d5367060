package turn

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn/internal/udpio"
)

// memRelay is a relay with one client, whose requests are answered.
type memRelay struct {
	t      *testing.T
	server *Server
	gate   *gate
	link   *memLink
	nonce  string
	user   Credential
}

// inMemory runs test in a bubble where time is not real.
func inMemory(t *testing.T, test func(t *testing.T, r *memRelay)) {
	synctest.Test(t, func(t *testing.T) {
		s := newMemServer(t)
		r := &memRelay{t: t, server: s, gate: newGate(s), link: newMemLink(transportUDP), user: s.Credential("tester", 1000*time.Hour)}
		ctx, stop := context.WithCancel(t.Context())
		served := make(chan error)
		go func() { served <- r.gate.run(ctx) }()
		test(t, r)
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if n := s.registry.count(); n != 0 {
			t.Errorf("%d allocations are left", n)
		}
	})
}

// request sends a signed request and returns the code of its answer. A stale
// nonce is replaced once.
func (r *memRelay) request(method stun.Method, setters ...stun.Setter) int {
	for range 3 {
		all := append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, setters...)
		if r.nonce != "" {
			key := longTermKey(r.user.Username, "signalbox", r.user.Password)
			all = append(all, stun.NewUsername(r.user.Username), stun.NewRealm("signalbox"),
				stun.NewNonce(r.nonce), stun.MessageIntegrity(key))
		}
		if !r.gate.offer(r.link, memClient, stun.MustBuild(all...).Raw) {
			r.t.Fatal("the queue is full")
		}
		m := new(stun.Message)
		if _, err := m.Write(<-r.link.responses); err != nil {
			r.t.Fatal(err)
		}
		var code stun.ErrorCodeAttribute
		_ = code.GetFrom(m)
		if code.Code != stun.CodeStaleNonce && (r.nonce != "" || code.Code != stun.CodeUnauthorized) {
			return int(code.Code)
		}
		var nonce stun.Nonce
		if err := nonce.GetFrom(m); err != nil {
			r.t.Fatal(err)
		}
		r.nonce = nonce.String()
	}
	return -1
}

func (r *memRelay) want(what string, got, want int) {
	r.t.Helper()
	if got != want {
		r.t.Errorf("%s: got %d, want %d", what, got, want)
	}
}

func (r *memRelay) allocate() int {
	return r.request(stun.MethodAllocate, allocateUDP)
}

func (r *memRelay) bind() int {
	return r.request(stun.MethodChannelBind,
		stun.RawAttribute{Type: stun.AttrChannelNumber, Value: []byte{0x40, 0, 0, 0}}, peerAddress(memPeer))
}

// arrives takes a datagram from the peer and says whether the client gets it.
func (r *memRelay) arrives() bool {
	before := len(r.link.delivered)
	b := r.server.newBatch()
	r.link.current.first().Receive(b, udpio.Datagram{From: memPeer, Data: []byte("from the peer")})
	return len(r.link.delivered) > before
}

// leaves takes data on the channel and says whether it goes to the peer.
func (r *memRelay) leaves() bool {
	a, b := r.link.current, r.server.newBatch()
	before := a.toPeers.Packets()
	a.channelData(b, []byte{0x40, 0, 0, 1, 'x', 0, 0, 0}, 0)
	b.Flush()
	return a.toPeers.Packets() > before
}

func TestAllocationExpires(t *testing.T) {
	inMemory(t, func(t *testing.T, r *memRelay) {
		r.want("allocate", r.allocate(), 0)
		time.Sleep(9 * time.Minute)
		r.want("refresh", r.request(stun.MethodRefresh, lifetimeAttribute(20*time.Minute)), 0)
		time.Sleep(19 * time.Minute)
		r.want("live after 19m of 20m", len(r.server.Allocations()), 1)
		time.Sleep(61 * time.Second)
		r.want("live after the end", len(r.server.Allocations()), 0)
		r.want("permission after the end", r.request(stun.MethodCreatePermission, peerAddress(memPeer)), 437)
		r.want("allocate again", r.allocate(), 0)
	})
}

// A permission ends after 5 minutes, a channel after 10 (RFC 8656 §9, §12).
func TestPermissionAndChannelExpire(t *testing.T) {
	inMemory(t, func(t *testing.T, r *memRelay) {
		r.want("allocate", r.allocate(), 0)
		r.want("refresh", r.request(stun.MethodRefresh, lifetimeAttribute(time.Hour)), 0)
		r.want("bind", r.bind(), 0)
		step := func(after time.Duration, wantArrives, wantLeaves bool) {
			t.Helper()
			time.Sleep(after)
			if got := r.arrives(); got != wantArrives {
				t.Errorf("from the peer: %v, want %v", got, wantArrives)
			}
			if got := r.leaves(); got != wantLeaves {
				t.Errorf("to the peer: %v, want %v", got, wantLeaves)
			}
		}
		step(0, true, true)
		step(4*time.Minute+59*time.Second, true, true)
		step(2*time.Second, false, true)
		r.want("permission", r.request(stun.MethodCreatePermission, peerAddress(memPeer)), 0)
		step(0, true, true)
		step(4*time.Minute+59500*time.Millisecond, true, false) // the permission now lets it in as an indication
		info := r.server.Allocations()[0]
		r.want("channels", len(info.Channels), 0)
		r.want("permissions", len(info.Permissions), 1)
		step(time.Minute, false, false)
		r.want("bind again", r.bind(), 0)
		step(0, true, true)
	})
}

// Nonces, the relay's own and pion's, are renewed without the client noticing
// more than one 438.
func TestNoncesAreRenewed(t *testing.T) {
	inMemory(t, func(t *testing.T, r *memRelay) {
		r.want("allocate", r.allocate(), 0)
		for range 20 {
			time.Sleep(9 * time.Minute)
			r.want("refresh", r.request(stun.MethodRefresh), 0)
		}
		// pion may find its nonce too old when the clock has been set.
		r.gate.engine.value = "a nonce that pion did not make"
		r.want("refresh", r.request(stun.MethodRefresh), 0)
		r.want("live", len(r.server.Allocations()), 1)
	})
}

// An allocation that expires in the very moment of its refresh: pion says
// nothing, and the client would wait.
func TestUnansweredRefresh(t *testing.T) {
	inMemory(t, func(t *testing.T, r *memRelay) {
		r.want("allocate", r.allocate(), 0)
		a := r.link.current
		r.gate.end(a, false) // and pion forgets it
		synctest.Wait()
		r.link.current = a // as if it had ended after the check
		r.want("refresh", r.request(stun.MethodRefresh), 437)
		r.link.current = nil
	})
}
