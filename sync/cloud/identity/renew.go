package identity

import (
	"context"
	"crypto/x509"
	"net/http"
	"time"

	"signalbox/sync/wire"
)

// serveRenew exchanges a box's certificate for a new one.
func (g *Registrar) serveRenew(w http.ResponseWriter, r *http.Request) {
	c, ok := g.identify(w, r, true)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), registryTimeout)
	defer cancel()
	answer, err := g.renew(ctx, c, w, r)
	if err != nil {
		g.refuse(w, refusal(err), "box", c.Box.String(), "remote", r.RemoteAddr)
		return
	}
	if c.answer(w, answer) {
		g.count.renewed.Add(1)
	}
}

func (g *Registrar) renew(ctx context.Context, c *Caller, w http.ResponseWriter, r *http.Request) (*wire.RenewAnswer, error) {
	body, err := g.readBody(w, r)
	if err != nil {
		return nil, err
	}
	if !c.Covers(body) {
		return nil, refuse(ReasonDigest, "the proof does not cover the request's body: it was changed on its way")
	}
	req, err := wire.ParseRenewRequest(body)
	if err != nil {
		return nil, refuse(ReasonMalformed, "%v", err)
	}
	a, now := g.cfg.Authority, g.cfg.now()
	csr, err := parseCSR(req.CSR, "spiffe://"+a.Domain()+c.Box.Path())
	if err != nil {
		return nil, err
	}
	chain, err := a.issueBox(c.Box, csr.public, now)
	if err != nil {
		return nil, internal(err)
	}
	err = g.cfg.Registry.ChangeBox(ctx, c.Box, func(b *Box) error {
		if err := checkBox(c, b); err != nil {
			return err // since we looked first
		}
		return noteRenewal(b, c.key, csr, req, chain[0], now)
	})
	if err != nil {
		return nil, err
	}
	return &wire.RenewAnswer{Chain: rawOf(chain), Roots: a.rootsDER()}, nil
}

// noteRenewal notes a new certificate. The key that asks for it has just been
// proven to work: those before it end, and so does one that was given later and
// never used.
func noteRenewal(b *Box, by uint64, csr request, req *wire.RenewRequest, cert *x509.Certificate, now time.Time) error {
	for i := range b.Keys {
		if k := &b.Keys[i]; k.ID != by && k.ID != csr.id && k.Until.IsZero() {
			k.Until, k.Why = now, KeyReplaced
		}
	}
	b.Name, b.Version = req.Name, req.Version
	return certify(b, csr, cert, now)
}
