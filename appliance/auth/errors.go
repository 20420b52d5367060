package auth

import "errors"

// Why a token is refused. Verify wraps exactly one of these, with the detail.
var (
	// ErrMalformed: not a token at all, too large, or claims of the wrong shape.
	ErrMalformed = errors.New("token is malformed")
	// ErrAlgorithm: signed in a way its issuer's keys do not sign.
	ErrAlgorithm = errors.New("token algorithm is not accepted")
	// ErrIssuer: from nobody this box was told to believe.
	ErrIssuer = errors.New("token issuer is not known")
	// ErrSignature: forged, damaged, or signed by a key that is gone.
	ErrSignature = errors.New("token signature does not verify")
	// ErrExpired: was good once.
	ErrExpired = errors.New("token has expired")
	// ErrNotYetValid: will be good later, or one of the clocks is wrong.
	ErrNotYetValid = errors.New("token is not valid yet")
	// ErrAudience: meant for another box or service.
	ErrAudience = errors.New("token is for another audience")
	// ErrRevoked: taken back by an administrator.
	ErrRevoked = errors.New("token has been revoked")
	// ErrNoKeys: the issuer is known but its key file cannot be read now. The
	// fault is on the box, so the client may try the same token again later.
	ErrNoKeys = errors.New("issuer keys are not available")
)

var (
	// ErrClosed: Open was called while admission wants a token.
	ErrClosed = errors.New("a token is required")
	// ErrInviteUnknown: no such invite, or none any more: mistyped, used up and
	// taken back look the same from outside.
	ErrInviteUnknown = errors.New("invite is not known")
	// ErrInviteExpired: a right code that came too late.
	ErrInviteExpired = errors.New("invite has expired")
	// ErrRevocationsFull: the revocation list is at MaxRevocations.
	ErrRevocationsFull = errors.New("revocation list is full")
)

// reasons are fixed words for logs and metric labels.
var reasons = []struct {
	err  error
	word string
}{
	{ErrMalformed, "malformed"},
	{ErrAlgorithm, "algorithm"},
	{ErrIssuer, "issuer"},
	{ErrSignature, "signature"},
	{ErrExpired, "expired"},
	{ErrNotYetValid, "not_yet_valid"},
	{ErrAudience, "audience"},
	{ErrRevoked, "revoked"},
	{ErrNoKeys, "no_keys"},
	{ErrClosed, "token_required"},
	{ErrInviteUnknown, "invite_unknown"},
	{ErrInviteExpired, "invite_expired"},
	{ErrRevocationsFull, "revocations_full"},
}

// Reason is a short fixed word for err, safe as a metric label; "other" when
// err is none of this package's.
func Reason(err error) string {
	for _, r := range reasons {
		if errors.Is(err, r.err) {
			return r.word
		}
	}
	return "other"
}
