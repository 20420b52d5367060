package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gorilla/websocket"

	"signalbox/sync/wire"
)

// problem is why the box does not reach the cloud: what is wrong and what
// somebody can do about it. Both are for people.
type problem struct {
	what, todo string
	err        error         // nil: nothing more to tell
	after      time.Duration // not before, when the cloud says so
	blocked    bool          // WebSockets may be what does not come through
}

func (p *problem) Error() string {
	text := p.what
	if p.err != nil {
		text += ": " + p.err.Error()
	}
	if p.todo != "" {
		text += "; " + p.todo
	}
	return text
}

func (p *problem) Unwrap() error { return p.err }

// errNotTheCloud is what an answer without the cloud's signature gives.
var errNotTheCloud = errors.New("whoever answers at this address does not have the cloud's key")

// fault says what a failed attempt to connect means.
func (d *dialer) fault(err error) error {
	if _, told := errors.AsType[*problem](err); told || errors.Is(err, context.Canceled) {
		return err
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		err = failed.Err
	}
	err = d.identity.Explain(err)
	var dns *net.DNSError
	var trust *tls.CertificateVerificationError
	var timeout net.Error
	text := err.Error()
	switch {
	case strings.Contains(text, "Proxy Authentication Required"):
		return &problem{what: "the proxy wants a user and a password", todo: "write HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT into the environment of the service"}
	case strings.Contains(text, "proxy: unknown scheme"):
		return &problem{what: "the address of the proxy is of a kind that is not supported", todo: "write HTTPS_PROXY=http://HOST:PORT"}
	case errors.As(err, &dns):
		return &problem{what: "the name " + dns.Name + " is not found", todo: "check the name server of the box, or upstream.url"}
	case errors.As(err, &trust):
		return &problem{what: "the certificate at this address is not to be trusted", err: err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &problem{what: "nothing listens at this address", todo: "check that the cloud node runs, or upstream.url"}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return &problem{what: "there is no route to this address", todo: "check the network of the box"}
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return &problem{what: "there is no answer in time", todo: "check firewalls between box and cloud", blocked: true}
	case isCut(err):
		return &problem{what: "the connection was cut while it was made", todo: "check firewalls and proxies between box and cloud", blocked: true}
	}
	return &problem{what: "connect", err: err, blocked: true}
}

// isCut tells whether the other side, or something on the way, has ended the connection.
func isCut(err error) bool {
	var closed *websocket.CloseError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.As(err, &closed) && closed.Code == websocket.CloseAbnormalClosure
}

// refusedBy says what an answer other than the expected one means. One without a
// code is not the cloud's: a proxy on the way has answered.
func refusedBy(answer *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	said := wire.ParseFailure(body)
	p := &problem{what: "the answer is " + answer.Status, after: retryAfter(answer.Header), blocked: said.Code == ""}
	if said.Message != "" {
		p.err = errors.New(said.Message)
	}
	switch {
	case said.Code != "" && answer.StatusCode == http.StatusUnauthorized:
		p.what, p.todo = "the cloud does not accept this box", "if its clock is right, join it again with signalbox join"
	case said.Code != "" && answer.StatusCode == http.StatusForbidden:
		p.what, p.todo = "the cloud refuses this box", "ask who runs the cloud; a new token joins the box again"
	case said.Code != "":
		p.what = "the cloud says no for now"
	case answer.StatusCode == http.StatusNotFound:
		p.todo = "check upstream.url: a cloud node serves " + wire.TunnelPath + " there"
	default:
		p.todo = "it is not the cloud's; check upstream.url, and whether a proxy of the site lets this address through"
	}
	return p
}

func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, 10*time.Minute)
}
