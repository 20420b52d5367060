package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
)

// fault is a refusal with its HTTP status: what handlers return as errors.
type fault struct {
	status int
	body   Error
	allow  []string // methods, on 405
}

func (f *fault) Error() string { return f.body.Message }

// refuse makes a fault that the same request will meet again.
func refuse(status int, code, format string, args ...any) *fault {
	return &fault{status: status, body: Error{Code: code, Message: fmt.Sprintf(format, args...)}}
}

// wrong is a refusal because of one field of the request.
func wrong(field, format string, args ...any) *fault {
	f := refuse(http.StatusBadRequest, "bad_request", format, args...)
	f.body.Field = field
	return f
}

// later is a refusal that ends by itself.
func later(status int, code string, after time.Duration, format string, args ...any) *fault {
	f := refuse(status, code, format, args...)
	f.body.Temporary = true
	f.body.RetryAfterMS = after.Milliseconds()
	return f
}

func roomNotFound(name string) *fault {
	return refuse(http.StatusNotFound, "room_not_found", "there is no room %q; see GET /v1/rooms", name)
}

// tokenCodes are the wire codes for a token that was refused, the same as in
// the signaling protocol.
var tokenCodes = []struct {
	err  error
	code string
}{
	{auth.ErrMalformed, "token_malformed"},
	{auth.ErrAlgorithm, "token_signature"},
	{auth.ErrSignature, "token_signature"},
	{auth.ErrExpired, "token_expired"},
	{auth.ErrNotYetValid, "token_not_yet_valid"},
	{auth.ErrAudience, "token_audience"},
	{auth.ErrIssuer, "token_issuer"},
	{auth.ErrRevoked, "token_revoked"},
}

// tokenFault is the refusal for an error of Tokens.Verify.
func tokenFault(err error) *fault {
	for _, known := range tokenCodes {
		if errors.Is(err, known.err) {
			return refuse(http.StatusUnauthorized, known.code, "%v", err)
		}
	}
	if errors.Is(err, auth.ErrNoKeys) {
		return later(http.StatusServiceUnavailable, "unavailable", 10*time.Second, "%v", err)
	}
	return nil
}

// faultOf finds the answer to an error of the parts behind the API. nil means
// that the error is none a caller could have caused.
func (a *API) faultOf(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	if invalid, ok := errors.AsType[*room.InvalidError](err); ok {
		return wrong(invalid.Field, "%v", invalid)
	}
	switch {
	case a.cfg.StoreFull != nil && errors.Is(err, a.cfg.StoreFull):
		return refuse(http.StatusInsufficientStorage, "store_full", "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return later(http.StatusServiceUnavailable, "unavailable", 5*time.Second,
			"the disk did not take the change within %v; look whether it happened before you repeat it", changeTimeout)
	case errors.Is(err, room.ErrLimit):
		return refuse(http.StatusConflict, "limit", "%v; delete rooms that are no longer needed", err)
	case errors.Is(err, auth.ErrInviteUnknown):
		return refuse(http.StatusNotFound, "invite_unknown",
			"this code is not known: mistyped, used up or taken back; ask for a new invite")
	case errors.Is(err, auth.ErrInviteExpired):
		return refuse(http.StatusGone, "invite_expired", "this invite has expired; ask for a new one")
	case errors.Is(err, auth.ErrRevocationsFull):
		return refuse(http.StatusConflict, "limit", "%v; lift revocations that are no longer needed", err)
	}
	return tokenFault(err)
}
