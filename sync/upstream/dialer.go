package upstream

import (
	"crypto"
	"crypto/tls"
	"fmt"
	"io"
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
	sessions tls.ClientSessionCache // nil: every handshake is a whole one
}

// reply is an answer that has been read.
type reply struct {
	status string // as "403 Forbidden"
	code   int
	header http.Header
	body   []byte
}

// readReply reads and closes an answer, of which it keeps as much as a document
// may have.
func readReply(answer *http.Response) (*reply, error) {
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, wire.MaxTalkBytes+1))
	return &reply{answer.Status, answer.StatusCode, answer.Header, body}, err
}

// tls is what connections to the cloud trust. HTTP/2 is no use to either way.
func (d *dialer) tls() *tls.Config {
	cfg := d.identity.TLS().Clone()
	cfg.NextProtos, cfg.ClientSessionCache = nil, d.sessions
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
func (d *dialer) answerChallenge(answer *reply, method string, target *url.URL, body []byte) (*wire.Proof, error) {
	for _, challenge := range answer.header.Values("WWW-Authenticate") {
		if nonce, ok := wire.ParseChallenge(challenge); ok && answer.code == http.StatusUnauthorized {
			return d.identity.Prove(nonce, method, target, body)
		}
	}
	return nil, refusedBy(answer)
}

// verify returns nil if the answer to the request with that proof is the
// cloud's. Whether the body is covered is for the cloud to say: nobody else can
// take that out of its signed proof.
func (d *dialer) verify(proof *wire.Proof, answer *reply) error {
	body := answer.body
	if c, err := wire.ParseCloudProof(answer.header.Get(wire.CloudProofHeader)); err == nil && len(c.Digest) == 0 {
		body = nil
	}
	if err := d.identity.VerifyCloud(proof, answer.header, body); err != nil {
		return fmt.Errorf("%w: %w", errNotTheCloud, err)
	}
	return nil
}
