package turn

import (
	"time"

	"github.com/pion/stun/v2"
)

// maxUsername is the most that USERNAME may hold (RFC 8489 §14.3).
const maxUsername = 508

// answerBinding answers a STUN Binding request (RFC 8489 §2). It needs no
// credentials, and its answer is little larger than the request.
func (g *gate) answerBinding() {
	from := g.request.from
	if g.request.unknown = unknownAttributes(&g.message); len(g.request.unknown) > 0 {
		g.challenge(stun.CodeUnknownAttribute)
		return
	}
	setters := []stun.Setter{
		stun.NewTransactionIDSetter(g.message.TransactionID), stun.BindingSuccess,
		stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())},
	}
	if g.message.Contains(stun.AttrFingerprint) {
		setters = append(setters, stun.Fingerprint)
	}
	g.server.counters.bindings.Add(1)
	g.send(setters)
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
	if r.reachable, fresh = g.server.nonces.check(nonce.String(), r.from, now); !fresh {
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
	r.identity, r.username, r.user, r.key = id, id.username, id.user, id.key
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

// challenge refuses a request that is not authenticated. Over UDP its source
// may be forged, so the answers are limited per source. Those to requests that
// are not signed have been counted before they got here. A client that shows a
// nonce of ours is where it seems to be: nobody else can use up its answers. It
// has a limit only for guessing.
func (g *gate) challenge(code refusal) {
	r := &g.request
	limit := g.server.challenges
	counted := r.method != stun.MethodBinding && !g.message.Contains(stun.AttrMessageIntegrity)
	switch {
	case r.reachable && code == stun.CodeUnauthorized:
		limit = g.server.guesses
	case r.reachable || counted || r.link.transport() != transportUDP:
		limit = nil
	}
	if limit != nil && !limit.allow(r.from.Addr(), time.Now()) {
		g.server.drop(dropChallengeRate)
		return
	}
	g.refuse(code)
}

// refuse answers the request at hand with an error, signed if the client has
// proven who it is, and forgets what was prepared for it.
func (g *gate) refuse(code refusal) {
	r := &g.request
	setters := []stun.Setter{
		stun.NewTransactionIDSetter(r.id), stun.NewType(r.method, stun.ClassErrorResponse), code,
	}
	if r.because != nil {
		setters[2] = r.because
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
	g.send(setters)
}

// send writes a response to the client of the request at hand.
func (g *gate) send(setters []stun.Setter) {
	m, err := stun.Build(setters...)
	if err != nil {
		g.server.failures.Warn("response not built", "remote", g.request.from, "err", err)
		return
	}
	g.request.link.respond(m.Raw, g.request.from)
}
