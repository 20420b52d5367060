package dashboard

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"signalbox/internal/jsonapi"
	"signalbox/sync/cloud/people"
)

var (
	// ErrNotFound is returned by a Registry for what it does not have.
	ErrNotFound = errors.New("not known")
	// ErrExists is returned by a Registry for what it has already.
	ErrExists = errors.New("taken")
	// ErrConflict is returned by a Registry when somebody else was faster.
	ErrConflict = errors.New("changed meanwhile")
)

// faultOf finds the answer to an error of the parts behind the API. nil means
// that the error is none a caller could have caused.
func (d *Dashboard) faultOf(err error) *jsonapi.Fault {
	if slow, ok := errors.AsType[*people.SlowError](err); ok {
		return jsonapi.Later(http.StatusTooManyRequests, "rate_limited", slow.Retry, "%v", err)
	}
	switch {
	case errors.Is(err, people.ErrInvalid):
		return jsonapi.Wrong("", "%v", err)
	case errors.Is(err, people.ErrRefused):
		return jsonapi.Refuse(http.StatusUnauthorized, "unauthorized", "%v", err)
	case errors.Is(err, people.ErrUnknown) || errors.Is(err, ErrNotFound):
		return jsonapi.Refuse(http.StatusNotFound, "not_found", "%v", err)
	case errors.Is(err, people.ErrTaken) || errors.Is(err, ErrExists):
		return jsonapi.Refuse(http.StatusConflict, "taken", "%v", err)
	case errors.Is(err, people.ErrLast):
		return jsonapi.Refuse(http.StatusConflict, "last_administrator", "%v", err)
	case errors.Is(err, ErrConflict):
		return jsonapi.Later(http.StatusConflict, "changed", time.Second, "%v; look again and repeat it", err)
	case unreachable(err):
		return jsonapi.Later(http.StatusServiceUnavailable, "unavailable", 2*time.Second,
			"the broker does not answer; look whether it happened before you repeat it")
	}
	return nil
}

func unreachable(err error) bool {
	for _, known := range []error{
		context.DeadlineExceeded, context.Canceled, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrConnectionClosed,
		nats.ErrDisconnected, nats.ErrConnectionReconnecting, jetstream.ErrNoStreamResponse, jetstream.ErrJetStreamNotEnabled,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

func siteNotFound(site string) *jsonapi.Fault {
	return jsonapi.Refuse(http.StatusNotFound, "site_not_found", "there is no site %.80q; see GET /v1/overview", site)
}

func boxNotFound(site, box string) *jsonapi.Fault {
	return jsonapi.Refuse(http.StatusNotFound, "box_not_found", "site %s has no box %.80q", site, box)
}

// starting is the answer while the board is not there yet.
func starting() *jsonapi.Fault {
	return jsonapi.Later(http.StatusServiceUnavailable, "starting", time.Second, "this node is starting; try again in a second")
}
