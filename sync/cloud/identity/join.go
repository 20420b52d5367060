package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"signalbox/sync/wire"
)

// serveJoin answers a box that comes with a token.
func (g *Registrar) serveJoin(w http.ResponseWriter, r *http.Request) {
	from, now := g.cfg.Source(r), g.cfg.now()
	if wait := g.sources.wait(from, now); wait > 0 {
		g.tooOften(w, wait, r)
		return
	}
	var req *wire.JoinRequest
	body, err := g.readBody(w, r)
	if err == nil {
		if req, err = wire.ParseJoinRequest(body); err != nil {
			err = refuse(ReasonMalformed, "%v", err)
		}
	}
	if err != nil {
		g.sources.fail(from, now)
		g.refuse(w, refusal(err), "remote", r.RemoteAddr)
		return
	}
	if wait := g.tokens.wait(req.Token, now); wait > 0 {
		g.tooOften(w, wait, r)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), registryTimeout)
	defer cancel()
	answer, err := g.join(ctx, req, now)
	if err != nil {
		why := refusal(err)
		g.noteFailure(why.Reason, from, req.Token, now)
		g.refuse(w, why, "box", req.Box, "remote", r.RemoteAddr)
		return
	}
	g.count.joined.Add(1)
	g.cfg.Logger.Info("box joined", "site", answer.Box, "remote", r.RemoteAddr)
	writeJSON(w, http.StatusOK, answer)
}

func (g *Registrar) tooOften(w http.ResponseWriter, wait time.Duration, r *http.Request) {
	seconds := int(math.Ceil(wait.Seconds()))
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
	g.refuse(w, tooOften(seconds), "remote", r.RemoteAddr)
}

func tooOften(seconds int) *Refusal {
	return &Refusal{ReasonTooOften, fmt.Sprintf("too many attempts failed; try again in %d seconds", seconds), nil}
}

// noteFailure makes those who guess wait. A fault of the cloud's own is nobody's guess.
func (g *Registrar) noteFailure(reason Reason, from, token string, now time.Time) {
	switch reason {
	case ReasonRegistry, ReasonInternal:
		return
	case ReasonTokenMAC:
		g.tokens.fail(token, now)
	}
	g.sources.fail(from, now)
}

// join gives a box its identity. The token is used up first: of two boxes that
// race for its last use the registry lets one through. A box whose answer was
// lost comes again with the same key and gets another.
func (g *Registrar) join(ctx context.Context, req *wire.JoinRequest, now time.Time) (*wire.JoinAnswer, error) {
	csr, err := parseCSR(req.CSR, "")
	if err != nil {
		return nil, err
	}
	var token Token
	err = g.cfg.Registry.ChangeToken(ctx, req.Token, func(t *Token) error {
		if !req.Sealed(t.Key) {
			return refuse(ReasonTokenMAC, "the token is not the one of that name, or the request was changed on its way")
		}
		if err := g.mayJoin(wire.BoxID{Tenant: t.Tenant, Site: t.Site, Box: req.Box}); err != nil {
			return err
		}
		if err := use(t, req, csr.id, now); err != nil {
			return err
		}
		token = *t
		return nil
	})
	if errors.Is(err, ErrNotFound) {
		return nil, refuse(ReasonTokenUnknown, "there is no such token; make a new one")
	}
	if err != nil {
		return nil, err
	}
	box := wire.BoxID{Tenant: token.Tenant, Site: token.Site, Box: req.Box}
	chain, err := g.cfg.Authority.issueBox(box, csr.public, now)
	if err != nil {
		return nil, internal(err)
	}
	err = g.cfg.Registry.ChangeBox(ctx, box, func(b *Box) error {
		return noteJoin(b, req, csr, chain[0], now)
	})
	if err != nil {
		return nil, err
	}
	answer := &wire.JoinAnswer{
		Box: box.String(), Domain: g.cfg.Authority.Domain(), Chain: rawOf(chain), Roots: g.cfg.Authority.rootsDER(), Now: now,
	}
	answer.Seal(token.Key, req)
	return answer, nil
}

// mayJoin checks a box's place: a box is of one site.
func (g *Registrar) mayJoin(box wire.BoxID) error {
	if !g.cfg.Registry.HasSite(box.Tenant, box.Site) {
		return refuse(ReasonSiteUnknown, "the site %q of the token was removed", box.Site)
	}
	elsewhere := slices.IndexFunc(g.cfg.Registry.Places(box.Box), func(at wire.BoxID) bool {
		known, ok := g.cfg.Registry.Box(at)
		return ok && at != box && known.Revoked.IsZero()
	})
	if elsewhere >= 0 {
		return refuse(ReasonBoxElsewhere, "box %s belongs to another site; revoke it there first", box.Box)
	}
	return nil
}

// noteJoin notes that a box joined. One that joined before gets a new key and
// its older ones end; one that was revoked has to be readmitted first.
func noteJoin(b *Box, req *wire.JoinRequest, csr request, cert *x509.Certificate, now time.Time) error {
	if !b.Revoked.IsZero() {
		return refuse(ReasonBoxRevoked, "box %s was revoked on %s by %s; readmit it first", req.Box, stamp(b.Revoked), b.RevokedBy)
	}
	if _, again := b.Key(csr.id); !again {
		b.EndKeys(csr.id, now, KeyRejoined)
	}
	if err := certify(b, csr, cert, now); err != nil {
		return err
	}
	b.Name, b.Version, b.Token, b.Joined = req.Name, req.Version, req.Token, now
	return nil
}

// Revoke takes a box out: it may not come again, nor renew, with any of its
// keys. What it sent before stays good.
func (g *Registrar) Revoke(ctx context.Context, box wire.BoxID, by string) error {
	return g.changeKnown(ctx, box, func(b *Box) {
		if b.Revoked.IsZero() {
			b.Revoked, b.RevokedBy = g.cfg.now(), by
			b.EndKeys(0, b.Revoked, KeyRevoked)
		}
	})
}

// Readmit lets a revoked box join again, with a new token and a new key.
func (g *Registrar) Readmit(ctx context.Context, box wire.BoxID) error {
	return g.changeKnown(ctx, box, func(b *Box) { b.Revoked, b.RevokedBy = time.Time{}, "" })
}

func (g *Registrar) changeKnown(ctx context.Context, box wire.BoxID, change func(*Box)) error {
	return g.cfg.Registry.ChangeBox(ctx, box, func(b *Box) error {
		if len(b.Keys) == 0 {
			return ErrNotFound
		}
		change(b)
		return nil
	})
}
