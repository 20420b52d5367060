package auth

import (
	"context"
	"time"
)

// Grant is what a token is made from.
type Grant struct {
	// Subject names the device or person. In an invite one * in it stands for
	// random characters, so that every redeemer gets a name of its own.
	Subject string        `json:"subject"`
	Rooms   []string      `json:"rooms"` // patterns
	Rights  Rights        `json:"rights"`
	TTL     time.Duration `json:"ttl"` // 0: Config.TokenTTL
}

// Kinds of invite.
const (
	KindDevice = "device"
	KindAdmin  = "admin" // the setup invite: makes the first administrator
	// KindClaimed marks that the box has had its first administrator. It is a
	// record beside the invites, has no hash and cannot be taken.
	KindClaimed = "claimed"
)

// Invite is a promise of a token to whoever brings the code. Only the code's
// SHA-256 is kept.
type Invite struct {
	ID      string    `json:"id"`
	Hash    string    `json:"hash"` // of the code: 64 hex digits, the key TakeInvite looks up
	Grant   Grant     `json:"grant"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Uses    int       `json:"uses"` // left; 1 is one-time
	Kind    string    `json:"kind"`
	Note    string    `json:"note,omitempty"`
}

// InviteStore keeps invites durably. Its methods may be called concurrently.
type InviteStore interface {
	// PutInvite stores the invite under its ID, replacing one of the same ID.
	PutInvite(ctx context.Context, invite Invite) error
	// TakeInvite uses up one use of the invite with that hash in one step, so
	// that of two who bring the same one-time code one gets ErrInviteUnknown.
	// It calls Invite.Take, stores what that leaves (or deletes the invite when
	// no use is left) before it returns, and returns what Take returned.
	// An expired invite gives ErrInviteExpired.
	TakeInvite(ctx context.Context, hash string, now time.Time) (Invite, error)
	Invites() ([]Invite, error)
	// DeleteInvite removes the invite; one that is not there is no error.
	DeleteInvite(ctx context.Context, id string) error
}

// InviteOptions describe a new invite.
type InviteOptions struct {
	Grant Grant
	TTL   time.Duration // how long the code is good; 0: 24 hours
	Uses  int           // 0: 1
	Note  string        // for people: what it was made for
}

// Take uses up one use at the given time: what a store does inside its own
// transaction. The invite it returns has the uses that are left.
func (i Invite) Take(now time.Time) (Invite, error) {
	switch {
	case i.Uses < 1 || i.Hash == "":
		return Invite{}, ErrInviteUnknown
	case !now.Before(i.Expires):
		return Invite{}, ErrInviteExpired
	}
	i.Uses--
	return i, nil
}
