package signaling

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"signalbox/appliance/auth"
)

// Reasons why a resume gave a new session instead.
const (
	resumeUnknown  = "unknown"
	resumeExpired  = "expired"
	resumeOverflow = "overflow"
	resumeToken    = "token"
	resumeIdentity = "identity"
)

// noHello says farewell to a socket whose hello has not come in time.
func (c *Conn) noHello(err error) {
	var timeout interface{ Timeout() bool }
	switch {
	case !errors.As(err, &timeout) || !timeout.Timeout():
	case c.srv.draining():
		c.close(restartSoon())
	default:
		c.close(&farewell{closeHelloTimeout, "hello_timeout", "no hello within " + c.srv.cfg.HelloTimeout.String(), true, 0})
	}
}

// greet carries out the first frame of a socket.
func (c *Conn) greet(b []byte) bool {
	var f inbound
	if err := f.parse(b); err != nil {
		c.close(malformed(err))
		return false
	}
	if f.kind != kindHello {
		c.close(&farewell{closeBadFrame, codeBadFrame, fmt.Sprintf("the first frame is hello, not %q", clip(f.typeName)), false, 0})
		return false
	}
	h, err := parseHello(b, &f)
	if err == nil {
		err = c.enter(h)
	}
	if err == nil {
		if c.srv.draining() {
			c.close(restartSoon())
		}
		return true
	}
	var bye *farewell
	if !errors.As(err, &bye) {
		c.srv.log.Error("hello not carried out", "remote", c.remote, "err", err)
		bye = &farewell{closeInternal, codeInternal, "the box could not do this; its log says why", true, time.Second}
	}
	if bye.code == closeUnauthorized {
		c.srv.sources.penalise(c.remote.Addr(), time.Now())
	}
	c.srv.log.Info("hello refused", "remote", c.remote, "reason", bye.name)
	c.close(bye)
	return false
}

func malformed(err error) *farewell {
	if errors.Is(err, errInvalidUTF8) {
		return &farewell{closeInvalidUTF8, "invalid_utf8", "frames are UTF-8", false, 0}
	}
	return &farewell{closeBadFrame, codeBadFrame, "not a JSON object: " + err.Error(), false, 0}
}

// clip shortens what a client sent before it is shown to people.
func clip(b []byte) []byte { return b[:min(len(b), 32)] }

func parseHello(b []byte, f *inbound) (Hello, error) {
	bad := func(format string, args ...any) (Hello, error) {
		return Hello{}, &farewell{closeBadFrame, codeBadFrame, fmt.Sprintf(format, args...), false, 0}
	}
	if f.fault != nil {
		return bad("%v", f.fault)
	}
	var h Hello
	if err := json.Unmarshal(b, &h); err != nil {
		return bad("hello: %v", err)
	}
	switch {
	case len(h.Client) > maxName || len(h.Name) > maxName:
		return bad("client and name may have %d bytes", maxName)
	case h.Resume != nil && h.Resume.Ack > maxInteger:
		return bad("resume.ack: got %d, want at most %d", h.Resume.Ack, uint64(maxInteger))
	}
	return h, nil
}

// visit is a hello that has been checked.
type visit struct {
	hello    Hello
	identity auth.Identity
	admitted bool   // identity comes from a token, or from open admission for a new session
	reason   string // why the resume it asked for is not given
	counter  uint64 // of the resume token it showed
	now      time.Time
}

// enter gives the socket its session, a resumed one or a new one, and queues
// the welcome as its first frame.
func (c *Conn) enter(h Hello) error {
	s := c.srv
	v := visit{hello: h, now: time.Now()}
	if err := s.identify(&v); err != nil {
		return err
	}
	if h.Resume != nil {
		sess := s.resumable(&v)
		if sess != nil && s.attach(c, sess, &v) {
			return nil
		}
		s.count(&s.resumeFailed)
		s.log.Info("session not resumed", "remote", c.remote, "reason", v.reason)
		if !v.admitted && v.identity.Subject == "" {
			return &farewell{closeTokenExpired, "token_expired", "the session cannot be resumed (" + v.reason + "); say hello with a token", true, 0}
		}
	}
	v.admitted = true
	sess, err := s.newSession(&v)
	if err != nil {
		return err
	}
	if !s.attach(c, sess, &v) {
		return sessionEnded()
	}
	return nil
}

func sessionEnded() *farewell {
	return &farewell{closeEnded, "ended", "this session was ended", false, 0}
}

// identify turns hello's token into an identity. Without a token it is the
// open identity where the box admits one, or nobody yet when a resume is asked.
func (s *Server) identify(v *visit) (err error) {
	if v.hello.Token != "" {
		if v.identity, err = s.cfg.Authority.Verify(v.hello.Token); err != nil {
			return refusedToken(err)
		}
		v.admitted = true
		return nil
	}
	v.identity, err = s.cfg.Authority.Open(v.hello.Name)
	if err != nil && v.hello.Resume == nil {
		return refusedToken(err)
	}
	return nil
}

// resumable finds the session a hello wants to continue, or notes why it cannot.
func (s *Server) resumable(v *visit) *Session {
	want := v.hello.Resume
	var ok bool
	if v.counter, ok = s.checkResumeToken(want.Session, want.Token); !ok {
		v.reason = resumeToken
		return nil
	}
	sess := s.lookup(want.Session)
	if sess == nil {
		v.reason = s.whyGone(want.Session)
		return nil
	}
	sess.mu.Lock()
	defer sess.mu.Unlock()
	switch {
	case sess.ended != "":
		v.reason = graveReason(sess.ended)
	case v.counter < sess.confirmed, want.Ack >= sess.log.next() && sess.recovered == nil:
		v.reason = resumeToken
	case v.admitted && v.identity.Subject != sess.identity.Subject,
		!v.admitted && sess.identity.Expired(v.now),
		s.cfg.Authority.IsRevoked(sess.identity):
		v.reason = resumeIdentity
	case want.Ack < sess.log.acked: // frames it says it does not have are gone
		v.reason = resumeOverflow
	default:
		return sess
	}
	return nil
}

// attach makes c the session's socket and queues welcome, replay and
// snapshots. It is false, with the reason, when the session is over.
func (s *Server) attach(c *Conn, sess *Session, v *visit) bool {
	var out batch
	resumed := v.hello.Resume != nil && v.hello.Resume.Session == sess.id
	_ = c.nc.SetReadDeadline(time.Time{}) // before others can set one to end it
	sess.mu.Lock()
	if sess.ended != "" {
		v.reason = graveReason(sess.ended)
		sess.mu.Unlock()
		return false
	}
	old := sess.conn
	suspended := resumed && old == nil
	moved := resumed && sess.addr.IsValid() && sess.addr != c.remote.Addr()
	if v.admitted {
		sess.identity = v.identity
	}
	sess.expiring = false // the last word on it may have been lost with the old socket
	if v.hello.Name != "" {
		sess.name = v.hello.Name
	}
	var due []receipt
	if resumed {
		due = sess.caughtUpLocked(v.hello.Resume.Ack)
	}
	sess.issued = max(sess.issued, v.counter) + 1 // the journal may be behind
	sess.addr, sess.recovered, sess.probeUntil = c.remote.Addr(), nil, time.Time{}
	sess.conn, c.sess, c.token, c.heard = c, sess, sess.issued, v.now
	c.cursor, c.acked = sess.log.acked+1, sess.committed
	if !resumed {
		c.greeted = v.now
	}
	ice := s.cfg.ICE(c.local.Addr(), sess.identity)
	sess.iceRenewAt = renewAt(v.now, ice)
	// First of all frames, whatever the first seq is.
	c.soft = append(c.soft, softItem{op: opText, after: sess.log.acked, body: body(s.welcome(sess, v, ice, resumed))})
	sess.markDirtyLocked(true)
	subject := sess.identity.Subject
	sess.mu.Unlock()

	if old != nil {
		old.close(&farewell{closeReplaced, "replaced", "a newer socket carries this session", false, 0})
	}
	s.wheel.schedule(sess, v.now.Add(min(s.cfg.PingEvery, time.Second))) // and from then on as it says itself
	for _, r := range due {
		s.settle(r, statusDelivered, &out)
	}
	if resumed {
		s.count(&s.resumed)
		s.cameBack(sess, suspended, moved, &out)
	}
	s.cfg.Observer.Seen(subject)
	s.log.Info("session attached", "session", sess.member, "user", subject, "remote", c.remote, "client", v.hello.Client, "resumed", resumed)
	out.add(c)
	out.flush()
	if s.cfg.Authority.IsRevoked(v.identity) { // since it was verified
		s.end(sess, endEnded)
	}
	return true
}

// caughtUpLocked takes the ack of a resume. After a crash the client may have
// received frames that the journal never saw, under numbers that frames which
// came since have been given again; those are numbered anew behind what it has.
func (s *Session) caughtUpLocked(ack uint64) []receipt {
	if s.recovered == nil || ack <= *s.recovered {
		return s.ackLocked(ack)
	}
	due := s.ackLocked(*s.recovered)
	s.log.rebase(ack)
	s.renumbered = true
	return due
}

// welcome builds the Welcome frame. Its ack is what is on disk, not what has
// been accepted: a client drops what is acknowledged, and the box may crash
// before the rest is safe. What the client sends twice for it is passed over.
// Session.mu is held.
func (s *Server) welcome(sess *Session, v *visit, ice ICE, resumed bool) Welcome {
	return Welcome{
		Type: "welcome", Session: sess.id, Member: sess.member, Resumed: resumed, Reason: v.reason,
		Resume: s.resumeToken(sess.id, sess.issued), Epoch: s.cfg.Epoch, Ack: sess.committed, Time: v.now.UnixMilli(),
		PingMS: s.cfg.PingEvery.Milliseconds(), DeadMS: s.cfg.deadAfter().Milliseconds(), ResumeMS: s.cfg.ResumeWindow.Milliseconds(),
		Identity: WelcomeIdentity{
			Subject: sess.identity.Subject, Rooms: nonNil(sess.identity.Rooms),
			Rights: sess.identity.Rights.Names(), Expires: unixMilli(sess.identity.Expires),
		},
		Limits: WelcomeLimits{
			FrameBytes: s.cfg.FrameBytes, UnackedFrames: s.cfg.UnackedFrames, UnackedBytes: s.cfg.UnackedBytes, Rooms: s.cfg.RoomsPerSession,
		},
		ICE: ice,
	}
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// unixMilli is 0 for the zero time, which the wire leaves out.
func unixMilli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// renewAt is when ICE credentials are half used up; zero: never.
// It is a reading of the wall clock, which is what the relay goes by: a clock
// that is set right after a boot without a battery makes credentials old.
func renewAt(now time.Time, ice ICE) time.Time {
	if ice.Expires == 0 {
		return time.Time{}
	}
	now = now.Round(0)
	return now.Add(time.UnixMilli(ice.Expires).Sub(now) / 2)
}
