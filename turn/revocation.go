package turn

import (
	"fmt"
	"time"
)

// MaxRevocations bounds the list of SetRevoked.
const MaxRevocations = 1 << 15

// Revocation takes credentials back: those of Subject that were made up to and
// in the second of Before, or those of one Grant (see Server.Issue). What
// does not tell when it was made, a plain credential or a static user's, is void
// for as long as the revocation of the subject stands.
type Revocation struct {
	Subject string
	Before  time.Time // of Subject
	Grant   string
}

// revoked is the list in force, in a form that is read without a lock. It does
// not change.
type revoked struct {
	before map[string]int64 // the last second that is void, by subject
	grants map[string]bool
}

func newRevoked(list []Revocation) (*revoked, error) {
	if len(list) > MaxRevocations {
		return nil, fmt.Errorf("got %d revocations, want at most %d", len(list), MaxRevocations)
	}
	r := &revoked{before: make(map[string]int64), grants: make(map[string]bool)}
	for _, one := range list {
		if one.Grant != "" {
			r.grants[one.Grant] = true
		}
		if one.Subject != "" {
			r.before[one.Subject] = max(one.Before.Unix(), r.before[one.Subject])
		}
	}
	return r, nil
}

// covers says whether what proved id is void.
func (r *revoked) covers(id *identity) bool {
	if id.grant != "" && r.grants[id.grant] {
		return true
	}
	before, ok := r.before[id.user]
	return ok && id.issued <= before // 0 when it is not known
}

// after is when a credential for subject may say it was made: now, or the first
// second that the revocation of the subject leaves free. The clock may have
// been set back since, and a second is coarse.
func (r *revoked) after(subject string, now time.Time) time.Time {
	if before, ok := r.before[subject]; ok && now.Unix() <= before {
		return time.Unix(before+1, 0)
	}
	return now
}

// SetRevoked replaces the list of what is revoked. Credentials that it covers
// are refused with 401 from here on, and the live allocations made with them
// end before it returns. With more than MaxRevocations nothing changes, and the
// error says so. It may be called at any time from any goroutine.
func (s *Server) SetRevoked(list []Revocation) error {
	next, err := newRevoked(list)
	if err != nil {
		return err
	}
	s.keys.revoked.Store(next)
	for _, a := range s.registry.live() {
		// One that pion does not have yet is left to begun, which asks again.
		if s.isRevoked(a) && s.end(a) {
			s.log.Info("allocation of a revoked user ended", "component", "turn", "alloc", a.id, "user", a.user)
		}
	}
	return nil
}

// isRevoked says whether the owner of an allocation is revoked by now.
func (s *Server) isRevoked(a *allocation) bool { return s.keys.revoked.Load().covers(a.owner.Load()) }
