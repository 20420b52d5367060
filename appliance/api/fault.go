package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"signalbox/appliance/auth"
	"signalbox/appliance/room"
	"signalbox/internal/jsonapi"
)

func roomNotFound(name string) *jsonapi.Fault {
	return jsonapi.Refuse(http.StatusNotFound, "room_not_found", "there is no room %q; see GET /v1/rooms", name)
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
func tokenFault(err error) *jsonapi.Fault {
	for _, known := range tokenCodes {
		if errors.Is(err, known.err) {
			return jsonapi.Refuse(http.StatusUnauthorized, known.code, "%v", err)
		}
	}
	if errors.Is(err, auth.ErrNoKeys) {
		return jsonapi.Later(http.StatusServiceUnavailable, "unavailable", 10*time.Second, "%v", err)
	}
	return nil
}

// faultOf finds the answer to an error of the parts behind the API. nil means
// that the error is none a caller could have caused.
func (a *API) faultOf(err error) *jsonapi.Fault {
	if invalid, ok := errors.AsType[*room.InvalidError](err); ok {
		return jsonapi.Wrong(invalid.Field, "%v", invalid)
	}
	switch {
	case a.cfg.StoreFull != nil && errors.Is(err, a.cfg.StoreFull):
		return jsonapi.Refuse(http.StatusInsufficientStorage, "store_full", "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		return jsonapi.Later(http.StatusServiceUnavailable, "unavailable", 5*time.Second,
			"the disk did not take the change within %v; look whether it happened before you repeat it", changeTimeout)
	case errors.Is(err, room.ErrLimit):
		return jsonapi.Refuse(http.StatusConflict, "limit", "%v; delete rooms that are no longer needed", err)
	case errors.Is(err, auth.ErrInviteUnknown):
		return jsonapi.Refuse(http.StatusNotFound, "invite_unknown",
			"this code is not known: mistyped, used up or taken back; ask for a new invite")
	case errors.Is(err, auth.ErrInviteExpired):
		return jsonapi.Refuse(http.StatusGone, "invite_expired", "this invite has expired; ask for a new one")
	case errors.Is(err, auth.ErrNotRevoked):
		return jsonapi.Refuse(http.StatusNotFound, "not_revoked", "%v; look at the spelling", err)
	case errors.Is(err, auth.ErrRevocationsFull):
		return jsonapi.Refuse(http.StatusConflict, "limit", "%v; lift revocations that are no longer needed", err)
	}
	return tokenFault(err)
}
