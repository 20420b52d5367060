package turn

import (
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// exhaust uses up what a source may have of answers that it could reflect, for
// the second that a relay with MaxChallenges 1 takes to give it one more.
func exhaust(s *Server) {
	for s.challenges.allow(memClient.Addr(), time.Now()) {
	}
}

// withNonce is a request that names a nonce, signed with some key.
func withNonce(nonce string) []byte {
	return stun.MustBuild(stun.TransactionID, refreshRequest, stun.NewUsername("tester"), stun.NewRealm("signalbox"),
		stun.NewNonce(nonce), stun.NewLongTermIntegrity("tester", "signalbox", "secret")).Raw
}

// Who forges a client's source uses up what that source may have of challenges.
// The client goes on all the same when its nonce has become too old: only it
// can know one.
func TestAgedNonceIsNoReflection(t *testing.T) {
	s := newMemServer(t, func(c *Config) { c.MaxChallenges = 1 })
	g, l := newGate(s), newMemLink(transportUDP)
	exhaust(s)
	g.admitRaw(l, withNonce(s.nonces.issue(memClient, time.Now().Add(-2*nonceLifetime))))
	answers := l.answers()
	if len(answers) != 1 {
		t.Fatalf("%d answers to an aged nonce, want one", len(answers))
	}
	var m stun.Message
	var code stun.ErrorCodeAttribute
	if _, err := m.Write(answers[0]); err != nil || code.GetFrom(&m) != nil || code.Code != stun.CodeStaleNonce {
		t.Errorf("got %v, want 438", code)
	}
	exhaust(s)
	g.admitRaw(l, withNonce(newNonces().issue(memClient, time.Now())))
	if n := len(l.answers()); n != 0 {
		t.Errorf("%d answers to a forged nonce, want none", n)
	}
	if n := s.Stats().Dropped["challenge_rate"]; n != 1 {
		t.Errorf("%d requests counted as dropped, want 1", n)
	}
}

// A 420 names the first few attributes, however many there are, and goes to a
// source that may be forged no more often than a challenge does.
func TestUnknownAttributesOfStrangers(t *testing.T) {
	s := newMemServer(t, func(c *Config) { c.MaxChallenges = 1 })
	g, l := newGate(s), newMemLink(transportUDP)
	setters := []stun.Setter{stun.TransactionID, stun.BindingRequest}
	for i := range 300 {
		setters = append(setters, stun.RawAttribute{Type: stun.AttrType(0x4000 + i/2)}) // each twice
	}
	request := stun.MustBuild(setters...)
	g.admitRaw(l, request.Raw)
	var m stun.Message
	var unknown stun.UnknownAttributes
	if _, err := m.Write(<-l.responses); err != nil || unknown.GetFrom(&m) != nil {
		t.Fatal("no 420 with unknown attributes")
	}
	if len(unknown) != 8 || unknown[0] != 0x4000 || unknown[7] != 0x4007 {
		t.Errorf("got %v, want the first eight", unknown)
	}

	exhaust(s)
	g.admitRaw(l, request.Raw)
	if n := len(l.answers()); n != 0 {
		t.Errorf("%d answers over the limit, want none", n)
	}
	g.admitRaw(l, stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	if n := len(l.answers()); n != 1 {
		t.Errorf("%d answers to a Binding that is understood, want one", n)
	}
	stream := newMemLink(transportTCP)
	g.admitRaw(stream, request.Raw)
	if n := len(stream.answers()); n != 1 {
		t.Errorf("%d answers on a connection, want one: its source is not forged", n)
	}
}

func BenchmarkUnknownAttributes(b *testing.B) {
	setters := []stun.Setter{stun.TransactionID, stun.BindingRequest}
	for i := range 350 { // as many as a message has room for
		setters = append(setters, stun.RawAttribute{Type: stun.AttrType(0x4000 + i)})
	}
	m := stun.MustBuild(setters...)
	for b.Loop() {
		unknownAttributes(m)
	}
}
