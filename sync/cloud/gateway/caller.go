package gateway

import (
	"net/http"
	"time"

	"signalbox/sync/cloud/identity"
	"signalbox/sync/wire"
)

// Caller is a box that has shown who it is.
type Caller struct {
	Box   wire.BoxID
	Until time.Time // its certificate ends
	Proof Proof
	// Usual is set for one that was refused as boxes are that do nothing wrong:
	// it makes another proof.
	Usual bool
}

// Proof is what a box has shown, and what the cloud shows in return.
type Proof interface {
	// Covers tells whether the box has signed this body of its request.
	Covers(body []byte) bool
	// Prove sets the header by which the box knows the cloud; body is the answer's,
	// nil leaves that uncovered. When it returns false it has answered.
	Prove(w http.ResponseWriter, body []byte) bool
}

// Authenticator tells which box makes a request. When ok is false it has answered
// the request.
type Authenticator interface {
	Identify(w http.ResponseWriter, r *http.Request) (c Caller, ok bool)
}

// Registrar is the Authenticator of a cloud.
type Registrar struct{ *identity.Registrar }

// Identify implements Authenticator.
func (g Registrar) Identify(w http.ResponseWriter, r *http.Request) (Caller, bool) {
	c, ok := g.Registrar.Identify(w, r)
	if !ok {
		return Caller{Usual: c.Refused.Usual()}, false
	}
	return Caller{Box: c.Box, Until: c.Until, Proof: c}, true
}
