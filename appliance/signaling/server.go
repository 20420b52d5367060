// Package signaling is the WebSocket endpoint where devices meet: sessions
// that survive their sockets and the box's own crash, rooms, and the exchange
// of WebRTC descriptions and candidates. PROTOCOL.md beside this file is the
// contract with clients.
package signaling

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"signalbox/appliance/room"
)

// Server is the signaling endpoint. Its methods may be called concurrently.
type Server struct {
	cfg     Config
	log     *slog.Logger
	wheel   *wheel
	journal *journal
	sources *sources
	hands   hands
	trim    *trim
	pings   pings // of the wheel's goroutine
	keys    sentKeys

	sessionsMu sync.RWMutex
	sessions   map[string]*Session
	gone       graveyard      // why recent sessions are no more
	subjects   map[string]int // sessions of each subject

	// gate is held for reading while a frame is carried out, and for writing
	// while the journal takes its cut: so a cut holds all or nothing of what a
	// frame did to several sessions. It comes before every other lock.
	gate sync.RWMutex

	roomsMu sync.Mutex // guards state, stored and halls
	state   *room.State
	stored  map[string]bool // rooms that are on disk
	storeMu sync.Mutex      // held while a room is written; taken before roomsMu
	halls   map[string]*hall

	stopMu   sync.Mutex
	stopping bool
	greeting map[*Conn]bool // sockets that have not said hello
	open     atomic.Int64   // sockets
	logBytes atomic.Int64   // bodies in all logs
	readers  sync.WaitGroup // their reader goroutines
	writers  sync.WaitGroup // goroutines lent to slow sockets, and chores
	stats
}

// New checks cfg, and restores rooms and sessions from its stores.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Authority == nil || cfg.ICE == nil || len(cfg.ResumeKey) < 32 || cfg.Box == "" {
		return nil, fmt.Errorf("signaling: Authority, ICE, Box and a ResumeKey of 32 bytes are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Observer == nil {
		cfg.Observer = nobody{}
	}
	s := &Server{
		cfg: cfg, log: cfg.Logger, wheel: newWheel(), trim: newTrim(), sources: newSources(cfg.ConnectRate),
		greeting: make(map[*Conn]bool),
		sessions: make(map[string]*Session), subjects: make(map[string]int), halls: make(map[string]*hall), stored: make(map[string]bool),
		state: room.New(room.Origin{Box: cfg.Box, Incarnation: cfg.Epoch}, cfg.roomLimits()),
	}
	s.journal = newJournal(s)
	s.writers.Add(1) // Run's own: so that adding never races with waiting
	if err := s.restoreRooms(); err != nil {
		return nil, fmt.Errorf("restore rooms: %w", err)
	}
	if err := s.restoreSessions(); err != nil {
		return nil, fmt.Errorf("restore sessions: %w", err)
	}
	return s, nil
}

// roomLimits are the bounds of room state, with the section's capacity.
func (c Config) roomLimits() room.Limits {
	l := c.Limits
	l.Capacity = c.RoomCapacity
	return l
}

// Run keeps time and the journal until ctx is cancelled. Then it tells every
// socket to come back after a time of its own (close 1012), waits for them to
// end, and commits the journal a last time.
func (s *Server) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var clock, journal sync.WaitGroup
	clock.Go(func() { s.wheel.run(ctx, s.tick) })
	clock.Go(func() { s.trim.run(ctx, returnMemory) })
	journal.Go(func() { s.journal.run(work) })
	<-ctx.Done()
	clock.Wait()
	s.drain()
	s.readers.Wait()
	s.hands.dismiss()
	s.writers.Done() // the one New added
	s.writers.Wait()
	stop()
	journal.Wait()
	return nil
}

// drainSpread is the least time over which clients come back after a restart.
const drainSpread = 2 * time.Second

// drain stops admitting and closes every socket, spreading their return over
// two seconds and one more for each five hundred of them: client jitter alone
// does not keep a thousand devices from coming back in the same instant.
func (s *Server) drain() {
	s.stopMu.Lock()
	s.stopping = true
	for c := range s.greeting { // its reader says farewell
		_ = c.nc.SetReadDeadline(time.Now())
	}
	s.stopMu.Unlock()
	conns := s.conns()
	spread := drainSpread + time.Duration(len(conns))*2*time.Millisecond
	for i, c := range conns {
		c.close(restarting(spread * time.Duration(i+1) / time.Duration(len(conns))))
	}
}

func restarting(after time.Duration) *farewell {
	return &farewell{closeRestart, "restart", "the box restarts; reconnect and resume", true, after}
}

// restartSoon is restarting for a socket that drain does not know.
func restartSoon() *farewell { return restarting(mathrand.N(drainSpread) + 1) }

// draining tells whether drain has begun. Who asks after giving a session its
// socket is told, or drain sees that socket.
func (s *Server) draining() bool {
	s.stopMu.Lock()
	defer s.stopMu.Unlock()
	return s.stopping
}

// greets notes whether c is a socket that has not said hello, for drain to end.
func (s *Server) greets(c *Conn, yes bool) {
	s.stopMu.Lock()
	defer s.stopMu.Unlock()
	switch {
	case !yes:
		delete(s.greeting, c)
	case s.stopping:
		_ = c.nc.SetReadDeadline(time.Now())
	default:
		s.greeting[c] = true
	}
}

// conns lists the sockets that carry a session.
func (s *Server) conns() []*Conn {
	s.sessionsMu.RLock()
	defer s.sessionsMu.RUnlock()
	conns := make([]*Conn, 0, len(s.sessions))
	for _, sess := range s.sessions {
		sess.mu.Lock()
		if sess.conn != nil {
			conns = append(conns, sess.conn)
		}
		sess.mu.Unlock()
	}
	return conns
}

// later runs a chore on a goroutine of the server's, for work that must not be
// done under the locks its caller may hold.
func (s *Server) later(chore func()) { s.writers.Go(chore) }

// newSession makes a session for an identity.
func (s *Server) newSession(v *visit) (*Session, error) {
	sess := &Session{
		srv: s, id: "s_" + randomID(16), member: "m_" + randomID(8), identity: v.identity,
		limits: s.cfg.newBuckets(v.now),
	}
	s.sessionsMu.Lock()
	defer s.sessionsMu.Unlock()
	full := ""
	switch subject := v.identity.Subject; {
	case len(s.sessions) >= 2*s.cfg.MaxSessions:
		full = "the box holds as many sessions as it may"
	case s.subjects[subject] >= s.cfg.SessionsPerSubject:
		full = "there are " + strconv.Itoa(s.subjects[subject]) + " sessions of this subject"
	default:
		s.sessions[sess.id] = sess
		s.subjects[subject]++
		s.count(&s.opened)
		return sess, nil
	}
	s.count(&s.drops.overload)
	return nil, &farewell{closeOverload, "overload", full + "; try again later", true, 5 * time.Second}
}

// bury forgets a session that has ended, but for the reason.
func (s *Server) bury(sess *Session, subject, reason string) {
	s.sessionsMu.Lock()
	defer s.sessionsMu.Unlock()
	if s.sessions[sess.id] != sess {
		return
	}
	delete(s.sessions, sess.id)
	if s.subjects[subject]--; s.subjects[subject] == 0 {
		delete(s.subjects, subject)
	}
	s.gone.bury(sess.id, graveReason(reason))
}

// lookup finds a session, nil when there is none.
func (s *Server) lookup(id string) *Session {
	s.sessionsMu.RLock()
	defer s.sessionsMu.RUnlock()
	return s.sessions[id]
}

// whyGone says why a session is no more.
func (s *Server) whyGone(id string) string {
	s.sessionsMu.RLock()
	defer s.sessionsMu.RUnlock()
	return s.gone.why(id)
}

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func randomID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return idEncoding.EncodeToString(b)
}

// resumeToken is a counter and a MAC over it and the session. Nothing of it
// has to be stored but the highest counter the client is known to have.
func (s *Server) resumeToken(session string, counter uint64) string {
	b := binary.BigEndian.AppendUint64(nil, counter)
	return base64.RawURLEncoding.EncodeToString(append(b, s.resumeMAC(session, b)...))
}

func (s *Server) resumeMAC(session string, counter []byte) []byte {
	mac := hmac.New(sha256.New, s.cfg.ResumeKey)
	mac.Write([]byte(session))
	mac.Write(counter)
	return mac.Sum(nil)[:16]
}

// checkResumeToken reads what resumeToken made.
func (s *Server) checkResumeToken(session, token string) (counter uint64, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 24 || !hmac.Equal(b[8:], s.resumeMAC(session, b[:8])) {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

func itoa(n uint64) string { return strconv.FormatUint(n, 10) }

// plainID reports whether a name needs no escaping in JSON.
func plainID(id string) bool {
	return !strings.ContainsFunc(id, func(r rune) bool { return r < 0x21 || r > 0x7e || r == '"' || r == '\\' })
}
