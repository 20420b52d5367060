package turn

import (
	"testing"
	"time"

	"github.com/pion/stun/v2"
)

// exhaust uses up what a source may have of answers that it could reflect.
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
	s := newMemServer(t)
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
	g.admitRaw(l, withNonce(newNonces().issue(memClient, time.Now())))
	if n := len(l.answers()); n != 0 {
		t.Errorf("%d answers to a forged nonce, want none", n)
	}
	if n := s.Stats().Dropped["challenge_rate"]; n != 1 {
		t.Errorf("%d requests counted as dropped, want 1", n)
	}
}
