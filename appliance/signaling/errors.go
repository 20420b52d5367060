package signaling

import (
	"errors"
	"fmt"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
)

// Codes of Error frames. PROTOCOL.md §7 says when each is sent.
const (
	codeBadFrame        = "bad_frame"
	codeUnknownType     = "unknown_type"
	codeNotJoined       = "not_joined"
	codeRoomNotFound    = "room_not_found"
	codeRoomFull        = "room_full"
	codeForbidden       = "forbidden"
	codeTooManyRooms    = "too_many_rooms"
	codeVersionConflict = "version_conflict"
	codeStaleGeneration = "stale_generation"
	codeHeldFull        = "held_full"
	codeHeldExpired     = "held_expired"
	codeRecipientFull   = "recipient_full"
	codeRateLimited     = "rate_limited"
	codeLimit           = "limit"
	codeInternal        = "internal"
)

// Close codes. 4000-4499 ask for a reconnect, 4500-4999 do not.
const (
	closeNormal       = 1000
	closeUnsupported  = 1003
	closeInvalidUTF8  = 1007
	closeTooBig       = 1009
	closeRestart      = 1012
	closeOverload     = 1013
	closeInternal     = 4000
	closeHelloTimeout = 4001
	closeDead         = 4002
	closeSlow         = 4003
	closeRateLimited  = 4005
	closeSequenceGap  = 4006
	closeTokenExpired = 4007
	closeBadFrame     = 4500
	closeReplaced     = 4501
	closeUnauthorized = 4502
	closeForbidden    = 4503
	closeEnded        = 4504
)

// refusal is an Error frame in the making: one frame refused, its sender told.
type refusal struct {
	code, message string
	temporary     bool
	retryAfter    time.Duration
	version, gen  uint64
}

func (r *refusal) Error() string { return r.code + ": " + r.message }

func refuse(code, format string, args ...any) *refusal {
	return &refusal{code: code, message: fmt.Sprintf(format, args...)}
}

func refuseForNow(code string, after time.Duration, format string, args ...any) *refusal {
	return &refusal{code: code, message: fmt.Sprintf(format, args...), temporary: true, retryAfter: after}
}

// farewell is a Closing frame and a close code in the making.
type farewell struct {
	code       int
	name       string
	message    string
	temporary  bool
	retryAfter time.Duration
}

func (f *farewell) Error() string { return f.name + ": " + f.message }

// tokenCodes is the table from auth's errors to wire codes.
var tokenCodes = []struct {
	err  error
	code string
}{
	{auth.ErrExpired, "token_expired"},
	{auth.ErrNotYetValid, "token_not_yet_valid"},
	{auth.ErrAudience, "token_audience"},
	{auth.ErrIssuer, "token_issuer"},
	{auth.ErrRevoked, "token_revoked"},
	{auth.ErrSignature, "token_signature"},
	{auth.ErrAlgorithm, "token_signature"},
	{auth.ErrMalformed, "token_malformed"},
}

// tokenCode gives the wire code of a refused token.
func tokenCode(err error) string {
	for _, row := range tokenCodes {
		if errors.Is(err, row.err) {
			return row.code
		}
	}
	return codeInternal
}

// refusedToken is the farewell to a hello whose token does not do.
func refusedToken(err error) *farewell {
	code := tokenCode(err)
	switch {
	case errors.Is(err, auth.ErrClosed):
		return &farewell{closeForbidden, codeForbidden, "this box admits only devices with a token; put one in hello", false, 0}
	case errors.Is(err, auth.ErrNoKeys):
		return &farewell{closeOverload, codeInternal, err.Error(), true, 5 * time.Second}
	case code == "token_expired":
		return &farewell{closeTokenExpired, code, err.Error(), true, 0}
	case code == codeInternal:
		return &farewell{closeInternal, code, "the token could not be checked; the box's log says why", true, time.Second}
	}
	return &farewell{closeUnauthorized, code, err.Error(), false, 0}
}

// roomRefusal turns room's errors into wire codes.
func roomRefusal(name string, err error) error {
	var invalid *room.InvalidError
	switch {
	case errors.Is(err, room.ErrFull):
		return refuseForNow(codeRoomFull, time.Second, "room %q is full; ask for a larger capacity or another room", name)
	case errors.Is(err, room.ErrNoMember):
		return refuse(codeNotJoined, "no longer a member of room %q", name)
	case errors.Is(err, room.ErrNotFound):
		return refuse(codeRoomNotFound, "room %q does not exist", name)
	case errors.As(err, &invalid):
		return refuse(codeLimit, "%v", err)
	case errors.Is(err, room.ErrLimit):
		return refuseForNow(codeLimit, 5*time.Second, "%v", err)
	}
	return err
}
