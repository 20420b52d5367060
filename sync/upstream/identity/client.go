package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"signalbox/sync/wire"
)

// exchangeTimeout bounds one request and its answer.
const exchangeTimeout = 30 * time.Second

// ProxyFunc tells the proxy for a request; a URL with user and password signs in
// to it.
type ProxyFunc = func(*http.Request) (*url.URL, error)

// Refused is an answer of the cloud that says no.
type Refused struct {
	Status int
	Code   string // a reason as identity on the cloud counts it; empty: the answer is not the cloud's
	text   string
}

func (e *Refused) Error() string { return e.text }

// client makes the few requests of enrolment.
type client struct{ http http.Client }

// newClient makes one; trust nil takes any certificate, for what is sealed otherwise.
func newClient(proxy ProxyFunc, trust *tls.Config) *client {
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	if trust == nil {
		trust = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}
	}
	return &client{http.Client{
		Transport: &http.Transport{
			Proxy: proxy, TLSClientConfig: trust.Clone(), TLSHandshakeTimeout: exchangeTimeout, DisableKeepAlives: true,
			MaxResponseHeaderBytes: 64 << 10, OnProxyConnectResponse: proxyAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// proxyAnswer says what a proxy has against a connection.
func proxyAnswer(_ context.Context, proxy *url.URL, _ *http.Request, answer *http.Response) error {
	switch answer.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusProxyAuthRequired:
		return fmt.Errorf("the proxy %s wants a sign-in it accepts: write HTTPS_PROXY=http://USER:PASSWORD@%s", proxy.Host, proxy.Host)
	}
	return fmt.Errorf("the proxy %s does not connect to the cloud, it says %q; have it let this address through, or write NO_PROXY", proxy.Host, answer.Status)
}

// answer is what came to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes one request. The body is JSON, nil for none.
func (c *client) send(ctx context.Context, method, target string, body []byte, proof *wire.Proof) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if proof != nil {
		r.Header.Set("Authorization", proof.Header())
	}
	got, err := c.http.Do(r)
	if err != nil {
		if fault, ok := errors.AsType[*url.Error](err); ok {
			err = fault.Err
		}
		return nil, err
	}
	defer got.Body.Close()
	content, err := io.ReadAll(io.LimitReader(got.Body, wire.MaxEnrolBytes+1))
	if err != nil {
		return nil, err
	}
	return &answer{got.StatusCode, got.Header, content}, nil
}

// refusal is an answer that is not 200 as an error.
func (a *answer) refusal(target string) error {
	if f := wire.ParseFailure(a.body); f.Code != "" {
		return &Refused{Status: a.status, Code: f.Code, text: f.Message}
	}
	return &Refused{Status: a.status, text: fmt.Sprintf("%s answers %d %s and nothing that a Signalbox cloud says; is the address right, and is a proxy in between?",
		target, a.status, http.StatusText(a.status))}
}

// prover makes proofs and knows the cloud's.
type prover interface {
	prove(nonce, method, target string, body []byte) (*wire.Proof, error)
	verifyCloud(p *wire.Proof, answer http.Header, body []byte) (time.Time, error)
}

// exchange makes a request that shows who the box is. It returns the answer's
// body, which is the cloud's, and the cloud's time.
func (c *client) exchange(ctx context.Context, as prover, method string, target *url.URL, body []byte) ([]byte, time.Time, error) {
	first, err := c.send(ctx, method, target.String(), nil, nil)
	if err != nil {
		return nil, time.Time{}, err
	}
	nonce, ok := wire.ParseChallenge(first.header.Get("WWW-Authenticate"))
	if first.status != http.StatusUnauthorized || !ok {
		return nil, time.Time{}, first.refusal(target.String())
	}
	proof, err := as.prove(nonce, method, wire.Target(target), body)
	if err != nil {
		return nil, time.Time{}, err
	}
	got, err := c.send(ctx, method, target.String(), body, proof)
	if err != nil {
		return nil, time.Time{}, err
	}
	if got.status != http.StatusOK {
		return nil, time.Time{}, got.refusal(target.String())
	}
	at, err := as.verifyCloud(proof, got.header, got.body)
	return got.body, at, err
}

// CheckURL reads the address of a cloud: https://HOST[:PORT], or http on this
// machine itself.
func CheckURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	ok := err == nil && u.Hostname() != "" && u.User == nil && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
	if !ok || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("got %.200q, want the cloud's address, such as https://cloud.example.com:8453", text)
	}
	u.Path = ""
	return u, nil
}
