package identity

import (
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"time"

	"signalbox/sync/wire"
)

// ErrNone is returned by Open when the box has not joined a site.
var ErrNone = errors.New("the box has not joined a site")

// LookEvery is how often a running box looks by itself whether it has joined.
// Whoever has it join tells it so (upstream.Agent.Look); this is for a box that
// could not be told.
const LookEvery = time.Minute

// shortFor is how long after its last success a proof by POST may leave out the
// certificate: the cloud node still has it.
const shortFor = 3 * time.Minute

// Options are what Open needs beside the folder.
type Options struct {
	// CAFile is a PEM file of authorities that may vouch for the cloud's TLS
	// certificate beside the system's and the cloud's own: upstream.ca.
	CAFile string
}

// Identity is who the box is. What its methods tell is what is in force at the
// time of the call; they may be called concurrently.
type Identity struct {
	folder folder
	opts   Options
	clock  *clock

	mu   sync.Mutex
	in   *generation
	tls  *tls.Config
	seen time.Time // when the cloud last took a proof by POST of the one in force
}

// Open reads the identity of the box whose data folder is dir.
func Open(dir string, opts Options) (*Identity, error) {
	i := &Identity{folder: folder{dir: filepath.Join(dir, folderName)}, opts: opts, clock: new(clock)}
	if _, err := i.Reload(); err != nil {
		return nil, err
	}
	return i, nil
}

// Reload looks at what is in force on disk, and reports whether that has changed.
func (i *Identity) Reload() (changed bool, err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n, err := i.folder.current()
	if errors.Is(err, fs.ErrNotExist) {
		return false, ErrNone
	}
	if err != nil {
		return false, err
	}
	if i.in != nil && i.in.number == n {
		return false, nil
	}
	g, err := i.folder.read(n)
	if err != nil {
		return false, err
	}
	trust, err := tlsConfig(g, i.opts.CAFile, i.clock)
	if err != nil {
		return false, err
	}
	i.clock.atLeast(g.leaf().NotBefore)
	i.in, i.tls, i.seen = g, trust, time.Time{}
	return true, nil
}

func (i *Identity) current() *generation {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.in
}

// Box is the box's id.
func (i *Identity) Box() wire.BoxID { return i.current().box }

// URL is the cloud's, as it was given to join.
func (i *Identity) URL() string { return i.current().site.URL }

// Domain is the cloud's trust domain.
func (i *Identity) Domain() string { return i.current().site.Domain }

// Signer is the key of the certificate in force.
func (i *Identity) Signer() crypto.Signer { return i.current().key }

// CertEnd is when that certificate ends.
func (i *Identity) CertEnd() time.Time { return i.current().leaf().NotAfter }

// Now is the time as far as the box can tell: the cloud's, when the box's own
// clock cannot be right.
func (i *Identity) Now() time.Time { return i.clock.now() }

// Skew is how far the box's clock is ahead of the cloud's; ok is false until the
// cloud has been heard.
func (i *Identity) Skew() (skew time.Duration, ok bool) { return i.clock.offset() }

// TLS is for connections to the cloud; see Explain for what they fail with. The
// caller clones it.
func (i *Identity) TLS() *tls.Config {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.tls
}

// Prove answers the cloud's nonce for one request. body nil leaves the body
// uncovered.
func (i *Identity) Prove(nonce, method string, target *url.URL, body []byte) (*wire.Proof, error) {
	i.mu.Lock()
	g, short := i.in, false
	if isPost(method, target) {
		// Forgotten until this one succeeds: a node that does not know the
		// certificate gets it with the next proof.
		short = !i.seen.IsZero() && time.Since(i.seen) < shortFor
		i.seen = time.Time{}
	}
	i.mu.Unlock()
	p, err := g.prove(nonce, method, wire.Target(target), body)
	if err == nil && short {
		p.Chain = nil
	}
	return p, err
}

// isPost tells the requests that come once a minute on networks that no
// WebSocket crosses; for others the size of a proof does not matter.
func isPost(method string, target *url.URL) bool {
	return method == http.MethodPost && target.Path != wire.RenewPath
}

func (g *generation) prove(nonce, method, target string, body []byte) (*wire.Proof, error) {
	return wire.NewProof(g.key, g.der(), nonce, method, target, body)
}

// VerifyCloud returns nil if the answer to the request with that proof is the
// cloud's. body nil is one that the cloud need not cover.
func (i *Identity) VerifyCloud(p *wire.Proof, answer http.Header, body []byte) error {
	at, err := i.current().verifyCloud(p, answer, body)
	if err != nil {
		return err
	}
	i.clock.hear(at)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen = time.Now()
	return nil
}

// verifyCloud gives the cloud's time, at which its certificate is good: a
// box's own clock may show anything. It cannot be from before the box's own
// certificate was made.
func (g *generation) verifyCloud(p *wire.Proof, answer http.Header, body []byte) (time.Time, error) {
	header := answer.Get(wire.CloudProofHeader)
	if header == "" {
		return time.Time{}, fmt.Errorf("%w: its answer is not signed", ErrNotCloud)
	}
	proof, err := wire.ParseCloudProof(header)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ErrNotCloud, err)
	}
	if proof.Time.Before(g.leaf().NotBefore) {
		return time.Time{}, fmt.Errorf("%w: its clock shows %s, before this box's certificate was made", ErrNotCloud, proof.Time.UTC().Format(time.RFC3339))
	}
	chain, err := wire.ParseChain(proof.Chain)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", ErrNotCloud, err)
	}
	path, _, err := wire.VerifySVID(chain, g.roots, proof.Time)
	switch {
	case err != nil:
		return time.Time{}, fmt.Errorf("%w: %w", ErrNotCloud, err)
	case path != wire.CloudPath:
		return time.Time{}, fmt.Errorf("%w: it is %q", ErrNotCloud, path)
	case !proof.Verify(chain[0].PublicKey, p):
		return time.Time{}, fmt.Errorf("%w: the signature is of another request", ErrNotCloud)
	case body != nil && !proof.Covers(body):
		return time.Time{}, fmt.Errorf("%w: the answer was changed on its way", ErrNotCloud)
	}
	return proof.Time, nil
}

// ErrNotCloud is returned when whoever answers does not have the cloud's key.
var ErrNotCloud = errors.New("whoever answers is not the cloud that this box has joined")
