package discovery

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"
)

const (
	// multicastPace is the shortest time between two multicasts of a record on
	// one interface, and probePace when another host is about to take the name
	// (RFC 6762 §6).
	multicastPace = time.Second
	probePace     = 250 * time.Millisecond
	// goodbyePause lies between the two goodbyes. Multicast over Wi-Fi is not
	// repeated by the radio, and a box whose goodbye is lost stays listed for
	// most of an hour.
	goodbyePause = 50 * time.Millisecond
)

// companion speaks for the host name on one interface, beside a zeroconf server
// that speaks for the service: A, AAAA and NSEC by multicast, unicast on request
// and for plain resolvers, announced again when addresses change. It answers
// probes for the name, so a newcomer that probes takes another one. It does not
// probe itself or give way; that would go in front of host.
type companion struct {
	log      *slog.Logger
	speakers []*speaker
	host     atomic.Pointer[host]
	closing  atomic.Bool
	failure  atomic.Pointer[error]
	running  sync.WaitGroup
}

// accompany starts answering on the interface for the host name.
func accompany(iface Interface, hostname string, log *slog.Logger) (*companion, error) {
	c := &companion{log: log}
	c.host.Store(&host{hostname, iface})
	var errs []error
	for _, f := range iface.families() {
		conn, err := listen(iface.net, f)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.speakers = append(c.speakers, &speaker{companion: c, conn: conn, host: c.host.Load()})
	}
	// IPv6 may be shut off for sockets while the interface still has an address.
	if len(c.speakers) == 0 {
		return nil, errors.Join(errs...)
	}
	for _, s := range c.speakers {
		c.running.Go(func() {
			if err := s.run(); err != nil {
				c.failure.CompareAndSwap(nil, &err)
			}
		})
	}
	return c, nil
}

// update takes over the interface's new addresses and announces them.
func (c *companion) update(iface Interface) {
	c.host.Store(&host{c.host.Load().name, iface})
	c.wake()
}

// err is why the companion can no longer receive, nil while it can.
func (c *companion) err() error {
	if err := c.failure.Load(); err != nil {
		return *err
	}
	return nil
}

// close stops answering, says goodbye to the records given and to those of the
// host name, and closes the sockets. With nil it leaves without a word, for
// another companion that takes over.
func (c *companion) close(goodbye []dns.RR) {
	c.closing.Store(true)
	c.wake()
	c.running.Wait()
	if goodbye != nil {
		c.farewell(append(goodbye, c.host.Load().goodbye()...))
	}
	for _, s := range c.speakers {
		s.conn.close()
	}
}

func (c *companion) farewell(records []dns.RR) {
	msg := &dns.Msg{MsgHdr: dns.MsgHdr{Response: true, Authoritative: true}, Compress: true, Answer: records}
	for i := range 2 {
		if i > 0 {
			time.Sleep(goodbyePause)
		}
		for _, s := range c.speakers {
			s.send(msg, netip.AddrPort{})
		}
	}
}

func (c *companion) wake() {
	for _, s := range c.speakers {
		s.conn.wake()
	}
}

// speaker is one socket of a companion. Its fields belong to the goroutine in
// run, and to close once that has ended.
type speaker struct {
	*companion
	conn *conn
	host *host // as last announced

	last    time.Time // of the last multicast; every one carries all records
	pending records   // to be multicast at due
	due     time.Time // zero: nothing pending
	again   bool      // the announcement at due is to be repeated
}

// run answers until the companion closes. The deadline of a read is the time of
// the next multicast, so that one goroutine does both; it is set before the
// checks below it, and whoever wants attention sets it after changing what they
// look at, so no call is missed.
func (s *speaker) run() error {
	buf := make([]byte, maxPacket)
	for {
		if err := s.conn.udp.SetReadDeadline(s.due); err != nil {
			return err
		}
		if s.closing.Load() {
			return nil
		}
		if now := s.companion.host.Load(); now != s.host {
			s.host = now
			s.pending, s.due, s.again = now.addressTypes(), time.Now(), true
			s.conn.wake()
		}
		p, err := s.conn.read(buf)
		switch {
		case err == nil:
			s.handle(p, time.Now())
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		s.speak(time.Now())
	}
}

// handle answers one packet.
func (s *speaker) handle(p packet, now time.Time) {
	const responseBit = 0x80 // in the third byte; most of what arrives are responses
	var query dns.Msg
	if len(p.data) < 12 || p.data[2]&responseBit != 0 || query.Unpack(p.data) != nil {
		return
	}
	fresh := !s.last.IsZero() && now.Sub(s.last) < hostTTL/4
	unicast, multicast := s.host.reply(&query, asker{p.from, !p.multicast}, fresh)
	if unicast != nil {
		s.send(unicast, p.from)
	}
	if multicast == 0 {
		return
	}
	pace := multicastPace
	if len(query.Ns) > 0 {
		pace = probePace
	}
	due := s.last.Add(pace)
	if due.Before(now) {
		due = now
	}
	if s.due.IsZero() || due.Before(s.due) {
		s.due = due
	}
	s.pending |= multicast
}

// speak multicasts what is due.
func (s *speaker) speak(now time.Time) {
	if s.due.IsZero() || now.Before(s.due) {
		return
	}
	if s.pending != 0 {
		s.send(s.host.response(s.pending, hostTTL, flushBit), netip.AddrPort{})
		s.last = now
	}
	if s.again {
		s.again, s.due = false, now.Add(multicastPace)
		return
	}
	s.pending, s.due = 0, time.Time{}
}

// send writes one message. An interface that cannot send, for want of an
// address or a cable, is the Responder's business at its next look.
func (s *speaker) send(msg *dns.Msg, to netip.AddrPort) {
	data, err := msg.Pack()
	if err == nil {
		err = s.conn.send(data, to)
	}
	if err != nil {
		s.log.Debug("multicast dns send failed", "interface", s.conn.ifi.Name, "remote", to, "err", err)
	}
}
