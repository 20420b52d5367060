package signaling

import "context"

// Pulse goes the way of a frame without being one: through the gate, the room
// state and the sessions, and once around through the clock of the sessions. It
// returns when all of that has answered; a lock that is never given back keeps
// it for ever. Call it while Run runs.
func (s *Server) Pulse(ctx context.Context) error {
	s.gate.RLock()
	s.roomsMu.Lock()
	_ = s.state.Len()
	s.roomsMu.Unlock()
	s.gate.RUnlock()
	_ = s.lookup("")
	return s.wheel.pulse(ctx)
}
