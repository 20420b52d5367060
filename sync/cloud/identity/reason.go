package identity

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
)

// Reason is why a request was refused: a metric label, and the code that the
// other side gets.
type Reason string

// Why a box may not join or renew.
const (
	ReasonMalformed    Reason = "malformed"
	ReasonOversize     Reason = "oversize"
	ReasonTooOften     Reason = "too_often"
	ReasonTokenUnknown Reason = "token_unknown"
	ReasonTokenMAC     Reason = "token_mac"
	ReasonTokenExpired Reason = "token_expired"
	ReasonTokenUsedUp  Reason = "token_used_up"
	ReasonCSR          Reason = "csr"       // its signature is wrong
	ReasonCSRKey       Reason = "csr_key"   // a kind of key that boxes may not have
	ReasonCSRNames     Reason = "csr_names" // it asks for names
	ReasonBoxElsewhere Reason = "box_elsewhere"
	ReasonDigest       Reason = "digest"   // the proof does not cover the body
	ReasonRegistry     Reason = "registry" // cannot be asked
	ReasonInternal     Reason = "internal"
)

// Why a proof is not taken.
const (
	ReasonNonceForged  Reason = "nonce_forged"
	ReasonNonceExpired Reason = "nonce_expired"
	ReasonChainUnknown Reason = "chain_unknown" // sent without, and this node has not seen it
	ReasonChain        Reason = "chain"
	ReasonSignature    Reason = "signature"
	ReasonReplayed     Reason = "replayed"
	ReasonCertExpired  Reason = "cert_expired" // may renew
	ReasonCertTooOld   Reason = "cert_too_old" // may not
	ReasonCertNotYet   Reason = "cert_not_yet"
	ReasonSiteUnknown  Reason = "site_unknown"
	ReasonBoxUnknown   Reason = "box_unknown"
	ReasonBoxRevoked   Reason = "box_revoked"
	ReasonKeyUnknown   Reason = "key_unknown"
	ReasonKeyEnded     Reason = "key_ended"
)

// Reasons are all of them, for metrics that show zeros.
var Reasons = []Reason{
	ReasonMalformed, ReasonOversize, ReasonTooOften, ReasonTokenUnknown, ReasonTokenMAC, ReasonTokenExpired, ReasonTokenUsedUp,
	ReasonCSR, ReasonCSRKey, ReasonCSRNames, ReasonBoxElsewhere, ReasonDigest, ReasonRegistry, ReasonInternal,
	ReasonNonceForged, ReasonNonceExpired, ReasonChainUnknown, ReasonChain, ReasonSignature, ReasonReplayed, ReasonCertExpired,
	ReasonCertTooOld, ReasonCertNotYet, ReasonSiteUnknown, ReasonBoxUnknown, ReasonBoxRevoked, ReasonKeyUnknown, ReasonKeyEnded,
}

// Usual reports whether boxes that do nothing wrong are refused for it: a box that
// was off for long, or whose answer came late, makes another proof.
func (r Reason) Usual() bool { return r == ReasonNonceExpired || r == ReasonChainUnknown }

// status is the HTTP status of a refusal.
func (r Reason) status() int {
	switch r {
	case ReasonMalformed, ReasonCSR, ReasonCSRKey, ReasonCSRNames, ReasonDigest:
		return http.StatusBadRequest
	case ReasonOversize:
		return http.StatusRequestEntityTooLarge
	case ReasonTooOften:
		return http.StatusTooManyRequests
	case ReasonBoxElsewhere:
		return http.StatusConflict
	case ReasonNonceForged, ReasonNonceExpired, ReasonChainUnknown, ReasonReplayed:
		return http.StatusUnauthorized // with a new nonce
	case ReasonRegistry:
		return http.StatusServiceUnavailable
	case ReasonInternal:
		return http.StatusInternalServerError
	}
	return http.StatusForbidden
}

// Refusal is why a box was refused.
type Refusal struct {
	Reason  Reason
	Message string // for people at the box
	err     error  // for the log only; may be nil
}

func (r *Refusal) Error() string { return r.Message }

// Unwrap gives what the box is not told.
func (r *Refusal) Unwrap() error { return r.err }

func refuse(reason Reason, format string, args ...any) error {
	return &Refusal{reason, fmt.Sprintf(format, args...), nil}
}

func internal(err error) error {
	return &Refusal{ReasonInternal, "the cloud has a fault of its own; its log says which", err}
}

// refusal is err as a Refusal. An error that is none is the registry's.
func refusal(err error) *Refusal {
	if r, ok := errors.AsType[*Refusal](err); ok {
		return r
	}
	return &Refusal{ReasonRegistry, "the cloud cannot look into its registry now; try again in a minute", err}
}

// Stats count since start.
type Stats struct {
	Challenges    uint64 // requests without proof, answered with a nonce
	Joined        uint64
	Renewed       uint64
	Authenticated uint64
	Refused       map[Reason]uint64 // every Reason is in it
}

type counters struct {
	challenges, joined, renewed, authenticated atomic.Uint64
	refused                                    map[Reason]*atomic.Uint64
}

func newCounters() *counters {
	c := &counters{refused: make(map[Reason]*atomic.Uint64, len(Reasons))}
	for _, r := range Reasons {
		c.refused[r] = new(atomic.Uint64)
	}
	return c
}

func (c *counters) stats() Stats {
	s := Stats{
		Challenges: c.challenges.Load(), Joined: c.joined.Load(), Renewed: c.renewed.Load(),
		Authenticated: c.authenticated.Load(), Refused: make(map[Reason]uint64, len(Reasons)),
	}
	for r, n := range c.refused {
		s.Refused[r] = n.Load()
	}
	return s
}

func writeJSON(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		status, body = http.StatusInternalServerError, nil
	}
	writeBody(w, status, body)
}

func writeBody(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the box asks again if it did not get it
}
