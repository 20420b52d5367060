package upstream

import (
	"crypto"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"signalbox/sync/wire"
)

// Identity is who the box is to the cloud, and whom it takes for the cloud. All
// methods may be called concurrently, and tell what is in force at that time.
type Identity interface {
	Box() wire.BoxID
	URL() string // of the cloud, as the box has joined it
	Signer() crypto.Signer
	CertEnd() time.Time
	// Skew is how far the box's clock is ahead of the cloud's, if that is known.
	Skew() (skew time.Duration, known bool)
	// Reload looks whether another identity was put in force.
	Reload() (changed bool, err error)

	TLS() *tls.Config // cloned by the caller
	// Explain says what a connection has failed with, if that was a certificate.
	Explain(err error) error
	// Prove answers the cloud's nonce for one request. VerifyCloud tells whether
	// the answer to it is the cloud's; body nil is one it need not cover.
	Prove(nonce, method string, target *url.URL, body []byte) (*wire.Proof, error)
	VerifyCloud(p *wire.Proof, answer http.Header, body []byte) error
}

// dialer makes connections to the cloud.
type dialer struct {
	identity Identity
	proxy    func(*http.Request) (*url.URL, error)
	meter    *meter
}

// tls is what connections to the cloud trust. HTTP/2 is no use to either way.
func (d *dialer) tls() *tls.Config {
	cfg := d.identity.TLS().Clone()
	cfg.NextProtos = nil
	return cfg
}

// client makes the client for POST.
func (d *dialer) client() *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: d.proxy, DialContext: d.meter.dial, TLSClientConfig: d.tls(),
			TLSHandshakeTimeout: dialTimeout, MaxIdleConns: 1, IdleConnTimeout: 2 * postEvery,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// answerChallenge proves who the box is, after a request without proof.
func (d *dialer) answerChallenge(answer *http.Response, method string, target *url.URL, body []byte) (*wire.Proof, error) {
	for _, challenge := range answer.Header.Values("WWW-Authenticate") {
		if nonce, ok := wire.ParseChallenge(challenge); ok && answer.StatusCode == http.StatusUnauthorized {
			return d.identity.Prove(nonce, method, target, body)
		}
	}
	return nil, refusedBy(answer)
}

// verify returns nil if the answer to the request with that proof is the
// cloud's. Whether its body is covered is for the cloud to say: nobody else can
// take that out of its signed proof.
func (d *dialer) verify(proof *wire.Proof, answer http.Header, body []byte) error {
	if c, err := wire.ParseCloudProof(answer.Get(wire.CloudProofHeader)); err == nil && len(c.Digest) == 0 {
		body = nil
	}
	if err := d.identity.VerifyCloud(proof, answer, body); err != nil {
		return fmt.Errorf("%w: %w", errNotTheCloud, err)
	}
	return nil
}
