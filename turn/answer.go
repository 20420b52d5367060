package turn

import (
	"time"

	"github.com/pion/stun/v2"
)

// maxUsername is the most that USERNAME may hold (RFC 8489 §14.3).
const maxUsername = 508

// answerBinding answers a STUN Binding request (RFC 8489 §2). It needs no
// credentials, and its answer is little larger than the request; that of an
// error is, and is limited as a challenge is.
func (g *gate) answerBinding() {
	from := g.request.from
	if g.request.unknown = unknownAttributes(&g.message); len(g.request.unknown) > 0 {
		if g.mayReflect() {
			g.refuse(stun.CodeUnknownAttribute)
		}
		return
	}
	setters := []stun.Setter{
		stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())},
	}
	if g.message.Contains(stun.AttrFingerprint) {
		setters = append(setters, stun.Fingerprint)
	}
	g.server.counters.bindings.Add(1)
	g.begin(g.message.TransactionID, stun.BindingSuccess)
	g.send(setters...)
}

// authenticate proves that the request at hand comes from the user it names
// (RFC 8489 §9.2.4). On success the request has a key.
func (g *gate) authenticate(now time.Time) refusal {
	r, m := &g.request, &g.message
	if !m.Contains(stun.AttrMessageIntegrity) {
		return stun.CodeUnauthorized
	}
	var username stun.Username
	var realm stun.Realm
	var nonce stun.Nonce
	if username.GetFrom(m) != nil || realm.GetFrom(m) != nil || nonce.GetFrom(m) != nil || len(username) > maxUsername {
		return stun.CodeBadRequest
	}
	var fresh bool
	if r.reached, fresh = g.server.nonces.check(nonce, r.from, now); !fresh {
		return stun.CodeStaleNonce
	}
	var held *identity
	if r.allocation != nil && !g.server.config.StrictExpiry {
		held = r.allocation.owner.Load()
	}
	id, ok := g.server.keys.prove(username.String(), held, now,
		func(key []byte) bool { return stun.MessageIntegrity(key).Check(m) == nil })
	if !ok || id.expired(now) && !g.mayOutlive(id.user) {
		return stun.CodeUnauthorized
	}
	r.identity, r.user, r.key = id, id.user, id.key
	if r.allocation != nil {
		r.allocation.adopt(id)
	}
	return 0
}

// mayOutlive says whether user may go on with an expired credential: a call
// that was allowed to start is not cut in the middle.
func (g *gate) mayOutlive(user string) bool {
	r := &g.request
	return !g.server.config.StrictExpiry && r.method != stun.MethodAllocate &&
		r.allocation != nil && r.allocation.user == user
}

// challenge refuses a request that is not authenticated. Those that are not
// signed have been counted before they got here. One with a nonce that has
// become too old is not counted: it comes from where it says, and who forges its
// source for other requests must not be able to cut it off.
func (g *gate) challenge(code refusal) {
	stale := code == stun.CodeStaleNonce && g.request.reached
	signed := g.message.Contains(stun.AttrMessageIntegrity)
	if !stale && signed && !g.mayReflect() {
		return
	}
	if signed && code == stun.CodeUnauthorized {
		g.server.counters.refusedCredentials.Add(1)
	}
	g.refuse(code)
}

// mayReflect says whether a request whose source may be forged, as any over UDP,
// may be answered now with more than it has brought. It counts a drop if not.
func (g *gate) mayReflect() bool {
	if g.request.link.transport() != transportUDP || g.server.challenges.allow(g.request.from.Addr(), time.Now()) {
		return true
	}
	g.server.drop(dropChallengeRate)
	return false
}

// refuse answers the request at hand with an error, signed if the client has
// proven who it is, and forgets what was prepared for it.
func (g *gate) refuse(code refusal) {
	r := &g.request
	setters := []stun.Setter{code}
	if r.because != nil {
		setters[0] = r.because
	}
	switch code {
	case stun.CodeUnauthorized, stun.CodeStaleNonce:
		setters = append(setters, stun.NewRealm(g.server.config.Realm),
			stun.NewNonce(g.server.nonces.issue(r.from, time.Now())))
	case stun.CodeUnknownAttribute:
		setters = append(setters, r.unknown)
	}
	if r.key != nil {
		setters = append(setters, stun.MessageIntegrity(r.key))
	}
	if r.fresh {
		_ = r.allocation.conn.Close() // never fails
	}
	g.server.counters.refuse(code)
	r.state = requestNone
	g.begin(r.id, stun.NewType(r.method, stun.ClassErrorResponse))
	g.send(setters...)
}

// send ends what begin began and writes it to the client of the request at hand.
func (g *gate) send(setters ...stun.Setter) {
	for _, setter := range setters {
		if err := setter.AddTo(&g.out); err != nil {
			g.server.failures.Warn("response not built", "remote", g.request.from, "err", err)
			return
		}
	}
	g.request.link.respond(g.out.Raw, g.request.from)
}
