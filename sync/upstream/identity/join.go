package identity

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"

	"signalbox/sync/wire"
)

// JoinOptions say how a box joins a site.
type JoinOptions struct {
	Dir     string // data folder of the box
	URL     string // of the cloud
	Token   string // as the cloud printed it
	CA      string // "sha256:" and hex: the root that must vouch for the answer
	Box     string // id of the box
	Name    string // what people at the site call it
	Version string
	Again   bool      // also when the box has joined already
	Proxy   ProxyFunc // nil: http.ProxyFromEnvironment
	CAFile  string    // upstream.ca
}

// ErrJoined is returned by Join for a box that has joined and is not to again.
var ErrJoined = errors.New("the box has joined already")

// order is JoinOptions that have been read.
type order struct {
	JoinOptions
	token wire.JoinToken
	pin   []byte
}

// Check reports every option that cannot be used, joined.
func (o JoinOptions) Check() error {
	_, err := o.read()
	return err
}

func (o JoinOptions) read() (*order, error) {
	u, urlErr := CheckURL(o.URL)
	if urlErr == nil {
		o.URL = u.String()
	}
	token, tokenErr := wire.ParseJoinToken(o.Token)
	pin, pinErr := parsePin(o.CA)
	return &order{o, token, pin}, errors.Join(urlErr, tokenErr, pinErr)
}

func parsePin(text string) ([]byte, error) {
	digits, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(text)), "sha256:")
	pin, err := hex.DecodeString(digits)
	if !ok || err != nil || len(pin) != sha256.Size {
		return nil, fmt.Errorf(`ca: got %.100q, want "sha256:" and %d hex digits; copy the whole command that the cloud printed`, text, 2*sha256.Size)
	}
	return pin, nil
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// Join has the box join a site and writes its identity into the data folder. A
// join that is cut is made again with the same command: the token counts once.
// The box may run meanwhile. The connection's own security does not matter: both
// ways are sealed with the token, and the answer must come from the pinned root.
func Join(ctx context.Context, opts JoinOptions) (*Identity, error) {
	o, err := opts.read()
	if err != nil {
		return nil, err
	}
	f := folder{dir: filepath.Join(o.Dir, folderName)}
	unlock, err := f.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if in, err := Open(o.Dir, Options{}); err == nil && !o.Again {
		return nil, fmt.Errorf("%w: site %q at %s; give --again to have it join anew", ErrJoined, in.Box().Site, in.URL())
	}
	g, now, err := f.join(ctx, o)
	if err != nil {
		return nil, err
	}
	n, err := f.add(g)
	if err == nil {
		err = f.swap(n)
	}
	if err != nil {
		return nil, fmt.Errorf("keep identity: %w", err)
	}
	if err := errors.Join(removeIfThere(filepath.Join(f.dir, joiningFile)), f.clean()); err != nil {
		return nil, err
	}
	in, err := Open(o.Dir, Options{CAFile: o.CAFile})
	if err == nil {
		in.clock.hear(now)
	}
	return in, err
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// join asks for an identity and checks the answer.
func (f folder) join(ctx context.Context, o *order) (*generation, time.Time, error) {
	key, err := f.joiningKey()
	if err != nil {
		return nil, time.Time{}, err
	}
	req := &wire.JoinRequest{
		Token: o.token.ID(), Box: o.Box, Name: o.Name, Version: o.Version, Time: time.Now(), Nonce: wire.NewNonce(),
	}
	if req.CSR, err = newCSR(key); err != nil {
		return nil, time.Time{}, err
	}
	req.Seal(o.token.Key())
	body, err := json.Marshal(req)
	if err != nil {
		return nil, time.Time{}, err
	}
	got, err := newClient(o.Proxy, nil).send(ctx, http.MethodPost, o.URL+wire.JoinPath, body, nil)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("reach the cloud at %s: %w", o.URL, err)
	}
	if got.status != http.StatusOK {
		return nil, time.Time{}, got.refusal(o.URL)
	}
	answer, err := wire.ParseJoinAnswer(got.body)
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("the answer of %s is not a cloud's: %w", o.URL, err)
	}
	g, err := o.accept(req, answer, key)
	return g, answer.Now, err
}

// accept checks an answer: whoever made it has the token, and the certificate in
// it is for our key, from the pinned root.
func (o *order) accept(req *wire.JoinRequest, a *wire.JoinAnswer, key crypto.Signer) (*generation, error) {
	if !a.Sealed(o.token.Key(), req) {
		return nil, fmt.Errorf("%w: its answer was changed on its way, or is from somebody who does not have the token", ErrNotCloud)
	}
	s := site{URL: o.URL, Box: a.Box, Domain: a.Domain, Joined: a.Now, KeyMade: a.Now}
	g, err := newGeneration(s, key, a.Chain, a.Roots, a.Now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotCloud, err)
	}
	if g.box.Box != o.Box {
		return nil, fmt.Errorf("%w: the certificate is of box %q, want %q", ErrNotCloud, g.box.Box, o.Box)
	}
	pinned := g.pinned(o.pin)
	if pinned == nil {
		return nil, fmt.Errorf("%w: its root is not the one that the command names with --ca; if the cloud's root was changed, have it print a new command", ErrNotCloud)
	}
	only := x509bundle.FromX509Authorities(g.roots.TrustDomain(), []*x509.Certificate{pinned})
	if _, _, err := wire.VerifySVID(g.chain, only, a.Now); err != nil {
		return nil, fmt.Errorf("%w: the certificate is not from the root that the command names with --ca: %w", ErrNotCloud, err)
	}
	return g, nil
}

func (g *generation) pinned(pin []byte) *x509.Certificate {
	for _, root := range g.pool {
		if sum := sha256.Sum256(root.Raw); subtle.ConstantTimeCompare(sum[:], pin) == 1 {
			return root
		}
	}
	return nil
}

// joiningKey is the key to join with: that of an attempt whose answer did not
// come, so that the cloud knows it again.
func (f folder) joiningKey() (crypto.Signer, error) {
	path := filepath.Join(f.dir, joiningFile)
	if key, err := readKey(path); err == nil {
		return key, nil
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	encoded, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	temp := path + unfinished
	if err := errors.Join(writeSynced(temp, encoded), f.own(temp)); err != nil {
		return nil, err
	}
	return key, errors.Join(os.Rename(temp, path), syncDir(f.dir))
}

// newCSR asks for nothing but a certificate of the key: what else is in it the
// cloud decides.
func newCSR(key crypto.Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}
