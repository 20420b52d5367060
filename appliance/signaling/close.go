package signaling

import (
	"errors"
	"time"
)

// lingerTime is how long a socket may take to read our close frame and answer.
const lingerTime = time.Second

// nameDead is the farewell of a socket from which nothing is heard.
const nameDead = "dead"

// appendFarewell appends the Closing frame and the close frame.
func appendFarewell(b []byte, f *farewell) []byte {
	b = appendFrame(b, 0, 0, body(Closing{
		Type: "closing", Code: f.code, Error: f.name, Message: f.message,
		Temporary: f.temporary, RetryAfterMS: f.retryAfter.Milliseconds(),
	}))
	return appendClose(b, f.code, f.name)
}

// close says farewell and ends the socket once that is written. The session
// goes on.
func (c *Conn) close(f *farewell) {
	if c.sess == nil { // before welcome only the reader writes
		c.srv.closed(f)
		_ = c.nc.SetWriteDeadline(time.Now().Add(lingerTime))
		_, _ = c.nc.Write(appendFarewell(nil, f))
		return
	}
	c.sess.mu.Lock()
	c.closeLocked(f)
	c.sess.mu.Unlock()
	c.flush()
}

// closeLocked is close with Session.mu held; the caller flushes.
func (c *Conn) closeLocked(f *farewell) {
	if c.dead || c.farewell != nil {
		return
	}
	c.srv.closed(f)
	if c.reason == "" {
		c.reason = f.name
	}
	c.farewell = appendFarewell(nil, f)
	c.soft, c.softAt, c.softBytes = nil, nil, 0 // the index with what it points into
	if c.flushing {                             // a stuck write must not keep the socket for ever
		_ = c.nc.SetReadDeadline(time.Now().Add(c.srv.cfg.WriteTimeout + lingerTime))
	}
}

// lingerLocked gives the peer a moment to take the close frame; then the
// reader's deadline ends the socket. A peer that was silent for so long that it
// counts as dead gets none: others wait to see it suspended.
func (c *Conn) lingerLocked() {
	linger := lingerTime
	if c.reason == nameDead {
		linger = 0
	}
	_ = c.nc.SetReadDeadline(time.Now().Add(linger))
}

// fail ends a socket that cannot be written any more.
func (c *Conn) fail() {
	c.sess.mu.Lock()
	c.dead = true
	c.sess.mu.Unlock()
	_ = c.nc.Close()
}

// refuseOrClose answers what went wrong with a frame: a refusal goes to its
// sender and the session goes on, a farewell ends the socket. It reports
// whether to read on.
func (c *Conn) refuseOrClose(f *inbound, err error, out *batch) bool {
	if bye, ok := errors.AsType[*farewell](err); ok {
		c.close(bye)
		return false
	}
	no, ok := errors.AsType[*refusal](err)
	if !ok {
		c.srv.log.Error("frame not carried out", "session", c.sess.member, "reason", f.kind.String(), "err", err)
		no = refuseForNow(codeInternal, time.Second, "the box could not do this; its log says why")
	}
	c.srv.refused(no.code)
	e := Error{
		Type: "error", ID: f.id, Re: f.seq, Code: no.code, Message: no.message, Temporary: no.temporary,
		RetryAfterMS: no.retryAfter.Milliseconds(), Version: no.version, Gen: no.gen,
	}
	if f.kind.sequenced() || f.kind == kindUnknown && f.has&hasSeq != 0 {
		c.sess.must(entry{body: body(e)}, out)
	} else {
		c.sess.soft("", body(e), out)
	}
	return true
}
