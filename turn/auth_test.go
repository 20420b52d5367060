package turn_test

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v2"

	"signalbox/turn"
	"signalbox/turn/turntest"
)

// A request that does not prove its user gets 401 with a fresh nonce, or 438
// when only the nonce is at fault (RFC 8489 §9.2.4). pion would say 400.
func TestUnauthenticated(t *testing.T) {
	server := turntest.Start(t)
	var wrong uint64 // credentials so far
	for _, test := range []struct {
		what string
		code int
		make func(c *turntest.Client)
	}{
		{"right", 0, func(*turntest.Client) {}},
		{"wrong password", 401, func(c *turntest.Client) { c.Credential.Password += "x" }},
		{"other secret", 401, func(c *turntest.Client) {
			c.Credential = turn.NewCredential([]byte("another secret"), "tester", time.Now().Add(time.Hour))
		}},
		{"expired", 401, func(c *turntest.Client) {
			c.Credential = turn.NewCredential(turntest.Secret, "tester", time.Now().Add(-time.Minute))
		}},
		{"longer life than signed", 401, func(c *turntest.Client) { c.Credential.Username = "9" + c.Credential.Username }},
		{"username without expiry", 401, func(c *turntest.Client) {
			c.Credential.Username = "tester"
		}},
		{"wrong realm", 401, func(c *turntest.Client) { c.Realm = "elsewhere" }},
		{"made-up nonce", 438, func(c *turntest.Client) { c.Nonce = "AAAAAAAAAAAAAAAA" }},
		{"nonce of another client", 438, func(c *turntest.Client) {
			other := turntest.Dial(t, "udp", turntest.Addr(server))
			other.Challenge()
			c.Nonce = other.Nonce
		}},
		{"no nonce", 401, func(c *turntest.Client) { c.Nonce = "" }},
	} {
		t.Run(test.what, func(t *testing.T) {
			c := turntest.Dial(t, "udp", turntest.Addr(server))
			c.Challenge()
			test.make(c)
			m := c.Do(append([]stun.Setter{turntest.Method(stun.MethodAllocate), turntest.UDPTransport}, c.Sign()...)...)
			if test.what == "no nonce" {
				m = c.Do(turntest.Method(stun.MethodAllocate), turntest.UDPTransport)
			}
			want(t, "code", turntest.Code(m), test.code)
			if test.code == 401 && test.what != "no nonce" {
				wrong++
			}
			want(t, "refused for their credential", server.Stats().RefusedCredentials, wrong)
			if test.code == 0 {
				return
			}
			want(t, "realm given", m.Contains(stun.AttrRealm), true)
			want(t, "nonce given", m.Contains(stun.AttrNonce), true)
			want(t, "signed", m.Contains(stun.AttrMessageIntegrity), false)
		})
	}
	want(t, "allocations", server.Stats().Created, 1)
}

// A subject that makes a username longer than STUN allows hurts nobody else.
func TestLongUsername(t *testing.T) {
	server := turntest.Start(t)
	for length, code := range map[int]int{497: 0, 498: 400, 600: 400, 1500: 400} { // with 11 bytes of expiry
		c := turntest.Dial(t, "udp", turntest.Addr(server))
		c.Credential = server.Credential(strings.Repeat("x", length), time.Hour)
		c.Challenge()
		m := c.Do(turntest.Method(stun.MethodAllocate), turntest.UDPTransport,
			stun.RawAttribute{Type: stun.AttrUsername, Value: []byte(c.Credential.Username)},
			stun.NewRealm(c.Realm), stun.NewNonce(c.Nonce), c.Key())
		want(t, "code", turntest.Code(m), code)
	}
	turntest.Dial(t, "udp", turntest.Addr(server)).Allocate()
}

// A signed request without one of the attributes that say by whom is broken.
func TestIncompleteCredentials(t *testing.T) {
	c := turntest.Dial(t, "udp", turntest.Addr(turntest.Start(t)))
	c.Challenge()
	sign := c.Sign()
	for i, missing := range []string{"username", "realm", "nonce"} {
		rest := append([]stun.Setter{turntest.Method(stun.MethodAllocate), turntest.UDPTransport}, sign[:i]...)
		m := c.Do(append(rest, sign[i+1:]...)...)
		want(t, "without "+missing, turntest.Code(m), 400)
	}
}

// The answer to a request of 28 bytes from an unproven address is 76 bytes.
func TestChallengeIsSmall(t *testing.T) {
	c := turntest.Dial(t, "udp", turntest.Addr(turntest.Start(t)))
	m := c.Do(turntest.Method(stun.MethodAllocate), turntest.UDPTransport)
	want(t, "size", len(m.Raw), 76)
}

func TestChallengesAreLimited(t *testing.T) {
	server := turntest.Start(t, func(cfg *turn.Config) { cfg.MaxChallenges = 2 })
	c := turntest.Dial(t, "udp", turntest.Addr(server))
	request := stun.MustBuild(stun.TransactionID, turntest.Method(stun.MethodAllocate), turntest.UDPTransport)
	for range 200 {
		c.Write(request.Raw)
	}
	turntest.Until(t, "challenges dropped", func() bool {
		stats := server.Stats()
		return stats.Refused[401]+stats.Dropped["challenge_rate"] == 200
	})
	if n := server.Stats().Refused[401]; n > 12 {
		t.Errorf("%d challenges to one source at once, want about 10", n)
	}
	// A connection has proven its address.
	tcp := turntest.Dial(t, "tcp", turntest.Addr(server))
	for range 50 {
		want(t, "code over tcp", turntest.Code(tcp.Do(turntest.Method(stun.MethodAllocate))), 401)
	}
}

// A call that was allowed to start goes on when its credential expires: its
// owner may refresh, permit and bind, and not allocate again (F12).
func TestCallOutlivesCredential(t *testing.T) {
	for _, strict := range []bool{false, true} {
		server, peer := turntest.Start(t, func(cfg *turn.Config) { cfg.StrictExpiry = strict }), echo(t, "127.0.0.1:0")
		c := turntest.Dial(t, "udp", turntest.Addr(server))
		c.Credential = turn.NewCredential(turntest.Secret, "tester", time.Now().Add(2*time.Second))
		c.Allocate()
		other := turntest.Dial(t, "udp", turntest.Addr(server))
		other.Credential = turn.NewCredential(turntest.Secret, "other", time.Now().Add(2*time.Second))
		other.Challenge()
		time.Sleep(time.Until(c.Credential.Expires.Add(1100 * time.Millisecond)))

		running := 0
		if strict {
			running = 401
		}
		want(t, "permission", c.Permit(peer), running)
		want(t, "channel", c.Bind(0x4000, peer), running)
		want(t, "refresh", c.Refresh(10*time.Minute), running)
		m := other.Request(stun.MethodAllocate, turntest.UDPTransport)
		want(t, "allocate with an expired credential", turntest.Code(m), 401)

		// The same user with a new credential may go on either way.
		c.Credential = turn.NewCredential(turntest.Secret, "tester", time.Now().Add(time.Hour))
		want(t, "refresh with a new credential", c.Refresh(10*time.Minute), 0)
		want(t, "end", c.Refresh(0), 0)
	}
}

// An allocation belongs to the user who made it; any valid user could take
// over a 5-tuple of pion v3 (F5).
func TestAllocationHasOneOwner(t *testing.T) {
	forEachTransport(t, func(t *testing.T, network string) {
		server, peer := turntest.Start(t), echo(t, "127.0.0.1:0")
		c := turntest.Dial(t, network, turntest.Addr(server))
		c.Allocate()
		own := c.Credential
		c.Credential = turn.NewCredential(turntest.Secret, "thief", time.Now().Add(time.Hour))
		for what, m := range map[string]*stun.Message{
			"permission": c.Request(stun.MethodCreatePermission, turntest.Peer(peer)),
			"channel":    c.Request(stun.MethodChannelBind, turntest.Channel(0x4000), turntest.Peer(peer)),
			"refresh":    c.Request(stun.MethodRefresh, turntest.Lifetime(0)),
		} {
			want(t, what, turntest.Code(m), 441)
			if err := c.Key().Check(m); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		want(t, "allocate", turntest.Code(c.Request(stun.MethodAllocate, turntest.UDPTransport)), 437)
		c.Credential = own
		want(t, "permission of the owner", c.Permit(peer), 0)
	})
}
