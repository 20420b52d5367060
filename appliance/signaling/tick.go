package signaling

import (
	"time"

	"signalbox/appliance/auth"
)

// expiringLead is how long before its end a client is asked for a fresh token.
const expiringLead = 5 * time.Minute

// tick does what is due for one session and schedules the next look.
func (s *Server) tick(sess *Session, now time.Time) {
	var out batch
	sess.mu.Lock()
	if sess.ended != "" {
		sess.mu.Unlock()
		return
	}
	c := sess.conn
	if c == nil {
		due := sess.detached.Add(s.cfg.ResumeWindow)
		sess.mu.Unlock()
		if !now.Before(due) {
			s.count(&s.expired)
			s.later(func() { s.end(sess, endExpired) })
			return
		}
		s.expireHeld(sess, now, &out)
		s.wheel.schedule(sess, due)
		out.flush()
		return
	}
	if c.dead || c.farewell != nil { // its reader is about to detach it
		sess.mu.Unlock()
		s.wheel.schedule(sess, now.Add(time.Second))
		return
	}
	silence := now.Sub(c.heard)
	next := c.heard.Add(s.cfg.deadAfter())
	switch {
	case silence >= s.cfg.deadAfter(), !sess.probeUntil.IsZero() && now.After(sess.probeUntil):
		s.count(&s.drops.dead)
		c.closeLocked(&farewell{closeDead, nameDead, "nothing was heard for " + silence.Round(time.Second).String(), true, 0})
		out.add(c)
	case silence >= s.cfg.PingEvery-wheelTick && now.Sub(c.pinged) >= s.cfg.PingEvery-wheelTick:
		c.pingLocked(now, s.pings.at(now), &out)
		next = now.Add(s.cfg.PingEvery)
	case silence < s.cfg.PingEvery:
		next = c.heard.Add(s.cfg.PingEvery)
	}
	if !sess.probeUntil.IsZero() {
		next = sess.probeUntil
	}
	next = earlier(next, s.identityDueLocked(sess, c, now, &out))
	next = earlier(next, s.iceDueLocked(sess, c, now, &out))
	sess.mu.Unlock()
	s.expireHeld(sess, now, &out)
	s.wheel.schedule(sess, next)
	out.flush()
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

func (c *Conn) pingLocked(now time.Time, ping []byte, out *batch) {
	c.pinged = now
	c.softLocked("\x00ping", ping)
	out.add(c)
}

// pings makes the ping that goes to all sockets due in one tick of the wheel.
type pings struct {
	now  time.Time
	body []byte
}

func (p *pings) at(now time.Time) []byte {
	if !p.now.Equal(now) {
		p.now, p.body = now, pingBody(now)
	}
	return p.body
}

func pingBody(now time.Time) []byte { return body(Ping{Type: "ping", T: now.UnixMilli()}) }

// identityDueLocked asks for a fresh token in time and ends the socket without.
func (s *Server) identityDueLocked(sess *Session, c *Conn, now time.Time, out *batch) time.Time {
	expires := sess.identity.Expires
	if expires.IsZero() {
		return time.Time{}
	}
	ask := expires.Add(-expiringLead)
	if issued := sess.identity.Issued; !issued.IsZero() && issued.Before(expires) {
		ask = expires.Add(-min(expiringLead, expires.Sub(issued)/4))
	}
	switch {
	case sess.identity.Expired(now):
		c.closeLocked(&farewell{closeTokenExpired, "token_expired", "the token expired; say hello with a fresh one", true, 0})
		out.add(c)
		return time.Time{}
	case sess.expiring:
		return expires.Add(auth.Leeway)
	case now.Before(ask):
		return ask
	}
	sess.expiring = true
	c.softLocked("\x00expiring", body(Expiring{Type: "auth.expiring", Expires: unixMilli(expires)}))
	out.add(c)
	return expires.Add(auth.Leeway)
}

// iceDueLocked renews the ICE servers at half of their credentials' life.
func (s *Server) iceDueLocked(sess *Session, c *Conn, now time.Time, out *batch) time.Time {
	if sess.iceRenewAt.IsZero() {
		return time.Time{}
	}
	if !now.Before(sess.iceRenewAt) {
		ice := s.cfg.ICE(c.local.Addr(), sess.identity)
		sess.iceRenewAt = renewAt(now, ice)
		c.softLocked("\x00ice", body(ICEUpdate{Type: "ice", Servers: ice.Servers, Expires: ice.Expires}))
		out.add(c)
	}
	return sess.iceRenewAt
}

// refresh carries out a refresh frame: a fresh token for the same subject.
func (s *Server) refresh(c *Conn, f *inbound, out *batch) error {
	id, err := s.cfg.Authority.Verify(string(f.token))
	if err != nil {
		return refuse(tokenCode(err), "%v", err)
	}
	sess := c.sess
	sess.mu.Lock()
	if id.Subject != sess.identity.Subject {
		sess.mu.Unlock()
		return refuse("token_subject", "the token is for %q, this session is %q", id.Subject, sess.identity.Subject)
	}
	sess.identity, sess.expiring = id, false
	sess.markDirtyLocked(true)
	sess.mu.Unlock()
	sess.soft("", body(Refreshed{Type: "refreshed", ID: f.id, Expires: unixMilli(id.Expires)}), out)
	return nil
}

// probeTime is how long a client that changed its network has to show life.
const probeTime = 2 * time.Second

// networkChanged probes the socket at once and hints restarts to the pairs.
func (s *Server) networkChanged(c *Conn, out *batch) error {
	sess, now := c.sess, time.Now()
	sess.mu.Lock()
	sess.probeUntil = now.Add(probeTime)
	c.pingLocked(now, pingBody(now), out)
	sess.mu.Unlock()
	s.wheel.schedule(sess, now.Add(probeTime))
	s.hintRestart(sess, "network_changed", out)
	return nil
}

// EndRevoked ends every session whose identity the authority has revoked.
func (s *Server) EndRevoked() {
	for _, sess := range s.allSessions() {
		sess.mu.Lock()
		id := sess.identity
		sess.mu.Unlock()
		if s.cfg.Authority.IsRevoked(id) {
			s.end(sess, endEnded)
		}
	}
}
