package identity

import (
	"crypto"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"

	"signalbox/sync/wire"
)

// clockSkew is how far the clock of the node that issued a certificate may be
// ahead of this one's, beyond what issuing dates back.
const clockSkew = 5 * time.Minute

// Caller is who a request is from.
type Caller struct {
	Box   wire.BoxID
	Until time.Time // its certificate ends; sessions end then
	// Refused is why it was not let in: all that is known of a caller whom Identify
	// refuses. Empty for one that has shown no proof yet.
	Refused Reason

	g     *Registrar
	proof *wire.Proof
	key   uint64
	from  time.Time
}

// Authenticate is Identify for requests whose body and answer need no cover:
// WebSockets. The header of w has the cloud's own proof then; who hijacks the
// connection has to send w.Header() himself.
func (g *Registrar) Authenticate(w http.ResponseWriter, r *http.Request) (box wire.BoxID, until time.Time, ok bool) {
	c, ok := g.Identify(w, r)
	if !ok || !c.Prove(w, nil) {
		return wire.BoxID{}, time.Time{}, false
	}
	return c.Box, c.Until, true
}

// Identify tells who a request is from. When ok is false it has answered: with a
// nonce to make a proof with, or with why there is no use in trying; then of c
// only Refused is set.
func (g *Registrar) Identify(w http.ResponseWriter, r *http.Request) (c *Caller, ok bool) {
	if c, ok = g.identify(w, r, false); ok {
		g.count.authenticated.Add(1)
	}
	return c, ok
}

// Covers tells whether the box's proof covers this body of its request.
func (c *Caller) Covers(body []byte) bool { return c.proof.Covers(body) }

// Prove sets the header by which the box knows the cloud; body is the answer's,
// nil leaves that uncovered. When it returns false it has answered.
func (c *Caller) Prove(w http.ResponseWriter, body []byte) bool {
	now := c.g.cfg.now()
	key, chain, err := c.g.cfg.Authority.cloudKey(now)
	var proof *wire.CloudProof
	if err == nil {
		proof, err = wire.NewCloudProof(key, chain, now, c.proof, body)
	}
	if err != nil {
		c.g.refuse(w, &Refusal{ReasonInternal, "the cloud cannot prove itself; its log says why", err})
		return false
	}
	w.Header().Set(wire.CloudProofHeader, proof.Header())
	return true
}

// serveSelf tells a box that its certificate works.
func (g *Registrar) serveSelf(w http.ResponseWriter, r *http.Request) {
	c, ok := g.Identify(w, r)
	if !ok {
		return
	}
	c.answer(w, wire.Self{Box: c.Box.String(), Until: c.Until})
}

// answer sends a document that the cloud's proof covers, and reports whether it did.
func (c *Caller) answer(w http.ResponseWriter, document any) bool {
	body, err := json.Marshal(document)
	if err != nil {
		c.g.refuse(w, &Refusal{ReasonInternal, "the cloud cannot write its answer; its log says why", err})
		return false
	}
	if !c.Prove(w, body) {
		return false
	}
	writeBody(w, http.StatusOK, body)
	return true
}

// identify checks the proof of a request and answers it unless ok. lapsed lets in
// those whose certificate ended no longer than RenewFor ago.
func (g *Registrar) identify(w http.ResponseWriter, r *http.Request, lapsed bool) (c *Caller, ok bool) {
	header := r.Header.Get("Authorization")
	if scheme, _, _ := strings.Cut(header, " "); !strings.EqualFold(scheme, wire.ProofScheme) {
		g.count.challenges.Add(1)
		w.Header().Set("WWW-Authenticate", wire.Challenge(newNonce(g.nonceKey, g.cfg.now())))
		writeJSON(w, http.StatusUnauthorized, wire.Failure{Code: "challenge", Message: "show who you are"})
		return &Caller{}, false
	}
	c, err := g.check(header, r)
	if err == nil {
		err = g.enrolled(c, lapsed)
	}
	if err != nil {
		box := ""
		if c != nil {
			box = c.Box.String()
		}
		why := refusal(err)
		g.refuse(w, why, "box", box, "remote", r.RemoteAddr)
		return &Caller{Refused: why.Reason}, false
	}
	return c, true
}

// check checks all of a proof that follows from itself.
func (g *Registrar) check(header string, r *http.Request) (*Caller, error) {
	if len(header) > wire.MaxProofBytes {
		return nil, refuse(ReasonOversize, "the proof has %d bytes, want at most %d", len(header), wire.MaxProofBytes)
	}
	proof, err := wire.ParseProof(header)
	if err != nil {
		return nil, refuse(ReasonMalformed, "%v", err)
	}
	now := g.cfg.now()
	if reason := checkNonce(g.nonceKey, proof.Nonce, now); reason != "" {
		return nil, refuse(reason, "the nonce is not one of this cloud's of the last minute")
	}
	held, err := g.holder(proof, now)
	if err != nil {
		return nil, err
	}
	c := &Caller{Box: held.box, Until: held.until, g: g, proof: proof, from: held.from}
	if !proof.Verify(held.public, r.Method, wire.Target(r.URL)) {
		return c, refuse(ReasonSignature, "the proof is not signed by the certificate's key, or is of another request")
	}
	if !g.replays.first(proof.Signature, now) {
		return c, refuse(ReasonReplayed, "the proof has been used already")
	}
	c.key, err = wire.KeyID(held.public)
	return c, err
}

// holder is whom the proof's certificate is of.
func (g *Registrar) holder(proof *wire.Proof, now time.Time) (holder, error) {
	leaf := [32]byte(proof.Leaf)
	if len(proof.Chain) == 0 {
		held, ok := g.seen.get(leaf)
		if !ok {
			return holder{}, refuse(ReasonChainUnknown, "send the certificate itself")
		}
		return held, nil
	}
	chain, err := wire.ParseChain(proof.Chain)
	if err != nil {
		return holder{}, refuse(ReasonMalformed, "%v", err)
	}
	// At the end of one that has ended: what then may be done is decided later.
	path, until, err := g.cfg.Authority.verify(chain, within(now, chain[0]))
	if err != nil {
		return holder{}, refuse(ReasonChain, "the certificate is not from this cloud's authority; is the box meant for another cloud? (%v)", err)
	}
	box, err := wire.ParsePath(path)
	if err != nil {
		return holder{}, refuse(ReasonChain, "the certificate is not a box's: %v", err)
	}
	held := holder{box: box, public: chain[0].PublicKey, from: chain[0].NotBefore, until: until}
	g.seen.put(leaf, held)
	return held, nil
}

// enrolled checks time and registry.
func (g *Registrar) enrolled(c *Caller, lapsed bool) error {
	now := g.cfg.now()
	switch {
	case now.Add(clockSkew).Before(c.from):
		return refuse(ReasonCertNotYet, "the certificate begins at %s, and this cloud node's clock shows %s", stamp(c.from), stamp(now))
	case now.After(c.Until.Add(RenewFor)):
		return refuse(ReasonCertTooOld, "the certificate ended on %s, more than %d days ago; join the box again with a new token",
			stamp(c.Until), RenewFor/(24*time.Hour))
	case now.After(c.Until) && !lapsed:
		return refuse(ReasonCertExpired, "the certificate ended on %s; renew it first", stamp(c.Until))
	case !g.cfg.Registry.HasSite(c.Box.Tenant, c.Box.Site):
		return refuse(ReasonSiteUnknown, "there is no site %q; it was removed", c.Box.Site)
	}
	box, ok := g.cfg.Registry.Box(c.Box)
	if !ok {
		return refuse(ReasonBoxUnknown, "box %s is not in the registry of site %q; join it again with a new token", c.Box.Box, c.Box.Site)
	}
	return checkBox(c, &box)
}

// checkBox checks that the box may come with this key.
func checkBox(c *Caller, box *Box) error {
	if !box.Revoked.IsZero() {
		c.g.tried.note(c.Box, c.g.cfg.now())
		return refuse(ReasonBoxRevoked, "box %s of site %q was revoked on %s", c.Box.Box, c.Box.Site, stamp(box.Revoked))
	}
	key, ok := box.Key(c.key)
	switch {
	case !ok:
		return refuse(ReasonKeyUnknown, "this key of box %s is not in the registry; join it again with a new token", c.Box.Box)
	case key.Until.IsZero():
		return nil
	case key.Why == KeyReplaced:
		return refuse(ReasonKeyEnded, "this key of box %s was replaced by a newer one on %s; if an older copy of its state came back, join it again with a new token",
			c.Box.Box, stamp(key.Until))
	}
	return refuse(ReasonKeyEnded, "this key of box %s ended on %s (%s); join it again with a new token", c.Box.Box, stamp(key.Until), key.Why)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// holder is what a certificate that was verified says.
type holder struct {
	box         wire.BoxID
	public      crypto.PublicKey
	from, until time.Time
}

// maxChains bounds each of the two generations of certificates that are
// remembered, so that boxes need not send them each time.
const maxChains = 1 << 13

// chains remembers certificates by hash. The zero value is ready.
type chains struct {
	mu         sync.Mutex
	now, older map[[32]byte]holder
}

func (c *chains) get(leaf [32]byte) (holder, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	held, ok := c.now[leaf]
	if !ok {
		if held, ok = c.older[leaf]; ok {
			c.putLocked(leaf, held)
		}
	}
	return held, ok
}

func (c *chains) put(leaf [32]byte, held holder) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(leaf, held)
}

func (c *chains) putLocked(leaf [32]byte, held holder) {
	if c.now == nil || len(c.now) >= maxChains {
		c.now, c.older = make(map[[32]byte]holder), c.now
	}
	c.now[leaf] = held
}
