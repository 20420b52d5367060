package identity_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signalbox/sync/cloud/identity"
	"signalbox/sync/cloud/identity/identitytest"
	"signalbox/sync/wire"
)

const site = "hall-2"

// cloud is a node with a clock that the test moves.
type cloud struct {
	*identity.Registrar
	t        testing.TB
	auth     *identity.Authority
	registry *identitytest.Registry
	http     *httptest.Server
	ahead    atomic.Int64 // of real time
	from     atomic.Value // the source of requests, string
}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	registry := identitytest.NewRegistry(site, "hall-3")
	c := newNode(t, t.TempDir(), registry)
	c.registry = registry
	return c
}

// newNode is a node with the authority in dir.
func newNode(t testing.TB, dir string, registry identity.Registry) *cloud {
	t.Helper()
	c := &cloud{t: t}
	c.from.Store("test")
	var err error
	if c.auth, err = identity.Open(identity.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	c.Registrar, err = identity.NewRegistrar(identity.WithClock(identity.RegistrarConfig{
		Authority: c.auth, Registry: registry, Source: func(*http.Request) string { return c.from.Load().(string) },
	}, c.now))
	if err != nil {
		t.Fatal(err)
	}
	c.http = httptest.NewServer(c.Handler())
	t.Cleanup(c.http.Close)
	return c
}

func (c *cloud) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *cloud) sleep(d time.Duration) { c.ahead.Add(int64(d)) }

func (c *cloud) token(uses int) wire.JoinToken {
	c.t.Helper()
	token, _, err := c.NewToken(context.Background(), identity.TokenOptions{Site: site, Uses: uses, By: "admin"})
	if err != nil {
		c.t.Fatal(err)
	}
	return token
}

// send makes a request and returns status, header and body.
func (c *cloud) send(method, path string, body []byte, authorization string) (int, http.Header, []byte) {
	c.t.Helper()
	r, err := http.NewRequest(method, c.http.URL+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	answer, err := c.http.Client().Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer.StatusCode, answer.Header, content
}

// box is a box as the cloud sees one.
type box struct {
	*cloud
	name  string
	key   crypto.Signer
	chain [][]byte
}

func (c *cloud) box(name string) *box {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	return &box{cloud: c, name: name, key: key}
}

func (b *box) id() wire.BoxID { return wire.BoxID{Tenant: wire.DefaultTenant, Site: site, Box: b.name} }

func csr(t testing.TB, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (b *box) request(token wire.JoinToken) *wire.JoinRequest {
	b.t.Helper()
	return &wire.JoinRequest{
		Token: token.ID(), CSR: csr(b.t, b.key, x509.CertificateRequest{}), Box: b.name, Name: "Hall 2", Version: "1", Nonce: wire.NewNonce(),
	}
}

// join sends a request and returns the refusal's code, "" for none.
func (b *box) join(token wire.JoinToken, r *wire.JoinRequest) string {
	b.t.Helper()
	r.Seal(token.Key())
	return b.post(token, r)
}

func (b *box) post(token wire.JoinToken, r *wire.JoinRequest) string {
	b.t.Helper()
	body, _ := json.Marshal(r)
	status, _, content := b.send("POST", wire.JoinPath, body, "")
	if status != http.StatusOK {
		return code(b.t, status, content)
	}
	answer, err := wire.ParseJoinAnswer(content)
	if err != nil || !answer.Sealed(token.Key(), r) || answer.Box != b.id().String() {
		b.t.Fatalf("answer %s: %v", content, err)
	}
	b.chain = answer.Chain
	return ""
}

func code(t testing.TB, status int, content []byte) string {
	t.Helper()
	failure := wire.ParseFailure(content)
	if failure.Code == "" || failure.Message == "" {
		t.Fatalf("%d %q is no refusal", status, content)
	}
	return failure.Code
}

func (c *cloud) joined(name string) *box {
	c.t.Helper()
	b, token := c.box(name), c.token(1)
	if refused := b.join(token, b.request(token)); refused != "" {
		c.t.Fatalf("join: %s", refused)
	}
	return b
}

func (c *cloud) nonce() string {
	c.t.Helper()
	status, header, _ := c.send("GET", wire.SelfPath, nil, "")
	nonce, ok := wire.ParseChallenge(header.Get("WWW-Authenticate"))
	if status != http.StatusUnauthorized || !ok {
		c.t.Fatalf("%d, challenge %q", status, header)
	}
	return nonce
}

func (b *box) proof(method, path string, body []byte) *wire.Proof {
	b.t.Helper()
	p, err := wire.NewProof(b.key, b.chain, b.nonce(), method, path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

// self asks who it is and returns the refusal's code.
func (b *box) self() string {
	b.t.Helper()
	p := b.proof("GET", wire.SelfPath, nil)
	status, header, body := b.send("GET", wire.SelfPath, nil, p.Header())
	if status != http.StatusOK {
		return code(b.t, status, body)
	}
	cloud, err := wire.ParseCloudProof(header.Get(wire.CloudProofHeader))
	if err != nil {
		b.t.Fatal(err)
	}
	chain, err := wire.ParseChain(cloud.Chain)
	if err != nil || !cloud.Verify(chain[0].PublicKey, p) || !cloud.Covers(body) {
		b.t.Fatalf("the cloud does not prove itself: %v", err)
	}
	return ""
}

// renew asks for a certificate of next and returns the refusal's code.
func (b *box) renew(next crypto.Signer) string {
	b.t.Helper()
	body, _ := json.Marshal(wire.RenewRequest{CSR: csr(b.t, next, x509.CertificateRequest{}), Version: "2"})
	status, _, content := b.send("POST", wire.RenewPath, body, b.proof("POST", wire.RenewPath, body).Header())
	if status != http.StatusOK {
		return code(b.t, status, content)
	}
	answer, err := wire.ParseRenewAnswer(content)
	if err != nil {
		b.t.Fatal(err)
	}
	b.key, b.chain = next, answer.Chain
	return ""
}

func (c *cloud) counted(reason identity.Reason) uint64 { return c.Stats().Refused[reason] }

func TestJoin(t *testing.T) {
	c := newCloud(t)
	b := c.joined("kfz")
	record, ok := c.registry.Box(b.id())
	if !ok || record.Name != "Hall 2" || len(record.Keys) != 1 || record.CertEnd.IsZero() {
		t.Errorf("registry has %+v", record)
	}
	if refused := b.self(); refused != "" {
		t.Errorf("refused: %s", refused)
	}
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	e, token := c.box("ed25519"), c.token(1)
	e.key = ed
	if refused := e.join(token, e.request(token)); refused != "" || e.self() != "" {
		t.Errorf("Ed25519 refused: %s", refused)
	}
	if s := c.Stats(); s.Joined != 2 || s.Authenticated != 2 {
		t.Errorf("stats %+v", s)
	}
}

// TestJoinCommand has in it all that a box needs, and the registry no secret.
func TestJoinCommand(t *testing.T) {
	c := newCloud(t)
	token := c.token(1)
	want := "signalbox join https://cloud:8453 --token " + token.Text() + " --ca " + c.auth.RootHash()
	if got := c.auth.JoinCommand("https://cloud:8453", token); got != want || !strings.Contains(got, " --ca sha256:") {
		t.Errorf("got %q, want %q", got, want)
	}
	stored, _ := json.Marshal(c.registry.Token(token.ID()))
	if bytes.Contains(stored, []byte(token.Text()[20:])) {
		t.Errorf("%s has the secret", stored)
	}
	for want, o := range map[string]identity.TokenOptions{
		"site: got": {Site: "nowhere"}, "uses: got": {Site: site, Uses: 1001}, "ttl: got": {Site: site, TTL: time.Second},
	} {
		if _, _, err := c.NewToken(context.Background(), o); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// TestJoinRefused tries all that must not work; each is counted under its name.
func TestJoinRefused(t *testing.T) {
	other := wire.NewJoinToken()
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	spiffe, _ := url.Parse("spiffe://signalbox/t/main/site/hall-2/box/other")
	for want, try := range map[identity.Reason]func(*cloud, *box, wire.JoinToken) string{
		identity.ReasonMalformed: func(_ *cloud, b *box, token wire.JoinToken) string {
			r := b.request(token)
			r.Box = "Not A Name"
			return b.join(token, r)
		},
		identity.ReasonOversize: func(c *cloud, _ *box, _ wire.JoinToken) string {
			status, _, content := c.send("POST", wire.JoinPath, make([]byte, wire.MaxEnrolBytes+1), "")
			return code(t, status, content)
		},
		identity.ReasonTokenUnknown: func(_ *cloud, b *box, _ wire.JoinToken) string { return b.join(other, b.request(other)) },
		identity.ReasonTokenMAC: func(_ *cloud, b *box, token wire.JoinToken) string {
			r := b.request(token)
			r.Seal(token.Key())
			r.CSR = csr(t, p256(t), x509.CertificateRequest{}) // swapped on the way
			return b.post(token, r)
		},
		identity.ReasonTokenExpired: func(c *cloud, b *box, token wire.JoinToken) string {
			c.sleep(25 * time.Hour)
			return b.join(token, b.request(token))
		},
		identity.ReasonTokenUsedUp: func(c *cloud, b *box, token wire.JoinToken) string {
			if first := c.box("first"); first.join(token, first.request(token)) != "" {
				t.Error("the first use is refused")
			}
			return b.join(token, b.request(token))
		},
		identity.ReasonCSR: func(_ *cloud, b *box, token wire.JoinToken) string {
			r := b.request(token)
			r.CSR[len(r.CSR)-1] ^= 1
			return b.join(token, r)
		},
		identity.ReasonCSRKey: func(_ *cloud, b *box, token wire.JoinToken) string {
			b.key = p384
			return b.join(token, b.request(token))
		},
		identity.ReasonCSRNames: func(_ *cloud, b *box, token wire.JoinToken) string {
			for _, template := range []x509.CertificateRequest{
				{DNSNames: []string{"cloud"}},
				{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}},
				{EmailAddresses: []string{"a@b"}},
			} {
				r := b.request(token)
				if r.CSR = csr(t, b.key, template); b.join(token, r) != string(identity.ReasonCSRNames) {
					t.Errorf("%+v is not refused", template)
				}
			}
			r := b.request(token)
			r.CSR = csr(t, b.key, x509.CertificateRequest{URIs: []*url.URL{spiffe}})
			return b.join(token, r)
		},
		identity.ReasonBoxElsewhere: func(c *cloud, b *box, _ wire.JoinToken) string {
			c.joined(b.name)
			there, _, err := c.NewToken(context.Background(), identity.TokenOptions{Site: "hall-3"})
			if err != nil {
				t.Fatal(err)
			}
			return b.join(there, b.request(there))
		},
		identity.ReasonBoxRevoked: func(c *cloud, b *box, token wire.JoinToken) string {
			old := c.joined(b.name)
			if err := c.Revoke(context.Background(), old.id(), "admin"); err != nil {
				t.Fatal(err)
			}
			return b.join(token, b.request(token))
		},
		identity.ReasonSiteUnknown: func(c *cloud, b *box, token wire.JoinToken) string {
			c.registry.RemoveSite(site)
			return b.join(token, b.request(token))
		},
		identity.ReasonRegistry: func(c *cloud, b *box, token wire.JoinToken) string {
			c.registry.Break(errors.New("no quorum"))
			return b.join(token, b.request(token))
		},
	} {
		t.Run(string(want), func(t *testing.T) {
			c := newCloud(t)
			got := try(c, c.box("kfz"), c.token(1))
			if got != string(want) || c.counted(want) == 0 {
				t.Errorf("refused %q, counted %d, want %q", got, c.counted(want), want)
			}
		})
	}
}

func p256(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestGuessing has a source and a token wait after some failures, and nobody else.
func TestGuessing(t *testing.T) {
	c := newCloud(t)
	token := c.token(1)
	guess := func() string {
		b := c.box("kfz")
		r := b.request(token)
		r.Seal(wire.NewJoinToken().Key())
		return b.post(token, r)
	}
	for range 10 {
		if got := guess(); got != string(identity.ReasonTokenMAC) {
			t.Fatalf("refused %q", got)
		}
	}
	if got := guess(); got != string(identity.ReasonTooOften) {
		t.Errorf("the eleventh guess of a source: %q", got)
	}
	c.from.Store("another")
	if got := guess(); got != string(identity.ReasonTooOften) {
		t.Errorf("another source's guess at the same token: %q", got)
	}
	c.joined("other")
	c.sleep(time.Minute)
	if b := c.box("kfz"); b.join(token, b.request(token)) != "" {
		t.Error("the right token is refused after a minute")
	}
}

// TestLostAnswer joins twice with the same key; the token counts once.
func TestLostAnswer(t *testing.T) {
	c := newCloud(t)
	b, token := c.box("kfz"), c.token(1)
	for range 2 {
		if refused := b.join(token, b.request(token)); refused != "" {
			t.Fatalf("refused: %s", refused)
		}
	}
	record, _ := c.registry.Box(b.id())
	if used := c.registry.Token(token.ID()).Used; len(used) != 1 || len(record.Keys) != 1 {
		t.Errorf("used %+v, keys %+v", used, record.Keys)
	}
}

// TestRace has twenty boxes race for five uses.
func TestRace(t *testing.T) {
	c := newCloud(t)
	token := c.token(5)
	var in, out atomic.Int32
	var group sync.WaitGroup
	for i := range 20 {
		b := c.box("box-" + string(rune('a'+i)))
		r := b.request(token)
		group.Go(func() {
			switch refused := b.join(token, r); refused {
			case "":
				in.Add(1)
			case string(identity.ReasonTokenUsedUp), string(identity.ReasonTooOften):
				out.Add(1)
			default:
				t.Errorf("refused: %s", refused)
			}
		})
	}
	group.Wait()
	if in.Load() != 5 || out.Load() != 15 {
		t.Errorf("%d in, %d out (%d retries)", in.Load(), out.Load(), c.registry.Retries())
	}
}

// TestProofRefused presents proofs that are not good.
func TestProofRefused(t *testing.T) {
	for want, try := range map[identity.Reason]func(*cloud, *box) string{
		identity.ReasonReplayed: func(c *cloud, b *box) string {
			p := b.proof("GET", wire.SelfPath, nil)
			if status, _, _ := c.send("GET", wire.SelfPath, nil, p.Header()); status != http.StatusOK {
				t.Errorf("the first time: %d", status)
			}
			return present(c, "GET", wire.SelfPath, p)
		},
		identity.ReasonSignature: func(c *cloud, b *box) string { // of another request
			return present(c, "GET", wire.SelfPath+"?x=1", b.proof("GET", wire.SelfPath, nil))
		},
		identity.ReasonNonceExpired: func(c *cloud, b *box) string {
			p := b.proof("GET", wire.SelfPath, nil)
			c.sleep(61 * time.Second)
			return present(c, "GET", wire.SelfPath, p)
		},
		identity.ReasonNonceForged: func(c *cloud, b *box) string {
			p, _ := wire.NewProof(b.key, b.chain, newCloud(t).nonce(), "GET", wire.SelfPath, nil)
			return present(c, "GET", wire.SelfPath, p)
		},
		identity.ReasonChain: func(c *cloud, b *box) string {
			b.chain = newCloud(t).joined(b.name).chain
			return b.self()
		},
		identity.ReasonChainUnknown: func(c *cloud, b *box) string {
			p := b.proof("GET", wire.SelfPath, nil)
			p.Chain = nil
			return present(c, "GET", wire.SelfPath, p)
		},
		identity.ReasonMalformed: func(c *cloud, _ *box) string {
			status, _, content := c.send("GET", wire.SelfPath, nil, "Signalbox AQ")
			return code(t, status, content)
		},
		identity.ReasonOversize: func(c *cloud, _ *box) string {
			status, _, content := c.send("GET", wire.SelfPath, nil, "Signalbox "+strings.Repeat("A", wire.MaxProofBytes))
			return code(t, status, content)
		},
		identity.ReasonCertExpired: func(c *cloud, b *box) string { c.sleep(8 * 24 * time.Hour); return b.self() },
		identity.ReasonCertTooOld:  func(c *cloud, b *box) string { c.sleep(188 * 24 * time.Hour); return b.renew(b.key) },
		identity.ReasonCertNotYet:  func(c *cloud, b *box) string { c.sleep(-2 * time.Hour); return b.self() },
		identity.ReasonSiteUnknown: func(c *cloud, b *box) string { c.registry.RemoveSite(site); return b.self() },
		identity.ReasonBoxUnknown:  func(c *cloud, b *box) string { c.registry.Forget(b.id()); return b.self() },
		identity.ReasonBoxRevoked: func(c *cloud, b *box) string {
			if err := c.Revoke(context.Background(), b.id(), "admin"); err != nil {
				t.Fatal(err)
			}
			if refused := b.renew(b.key); refused != string(identity.ReasonBoxRevoked) {
				t.Errorf("renews: %q", refused)
			}
			return b.self()
		},
		identity.ReasonKeyUnknown: func(c *cloud, b *box) string {
			c.registry.Forget(b.id())
			other := *b
			other.key = p256(t)
			token := c.token(1)
			if refused := other.join(token, other.request(token)); refused != "" {
				t.Fatal(refused)
			}
			return b.self()
		},
		identity.ReasonKeyEnded: func(c *cloud, b *box) string { c.joined(b.name); return b.self() },
		identity.ReasonDigest: func(c *cloud, b *box) string {
			body, _ := json.Marshal(wire.RenewRequest{CSR: csr(t, p256(t), x509.CertificateRequest{})})
			p := b.proof("POST", wire.RenewPath, []byte("what the box sent"))
			status, _, content := c.send("POST", wire.RenewPath, body, p.Header())
			return code(t, status, content)
		},
		identity.ReasonCSRNames: func(_ *cloud, b *box) string {
			other, _ := url.Parse("spiffe://signalbox/t/main/site/hall-2/box/other")
			body, _ := json.Marshal(wire.RenewRequest{CSR: csr(t, b.key, x509.CertificateRequest{URIs: []*url.URL{other}})})
			status, _, content := b.send("POST", wire.RenewPath, body, b.proof("POST", wire.RenewPath, body).Header())
			return code(t, status, content)
		},
	} {
		t.Run(string(want), func(t *testing.T) {
			c := newCloud(t)
			got := try(c, c.joined("kfz"))
			if got != string(want) || c.counted(want) == 0 {
				t.Errorf("refused %q, counted %d, want %q", got, c.counted(want), want)
			}
		})
	}
}

func present(c *cloud, method, path string, p *wire.Proof) string {
	status, header, content := c.send(method, path, nil, p.Header())
	if _, ok := wire.ParseChallenge(header.Get("WWW-Authenticate")); (status == http.StatusUnauthorized) != ok {
		c.t.Errorf("%d, challenge %v", status, ok)
	}
	return code(c.t, status, content)
}

// TestShortProof leaves the certificate out once the node has seen it.
func TestShortProof(t *testing.T) {
	c := newCloud(t)
	b := c.joined("kfz")
	whole := b.proof("GET", wire.SelfPath, nil)
	if status, _, _ := c.send("GET", wire.SelfPath, nil, whole.Header()); status != http.StatusOK {
		t.Fatal(status)
	}
	short := b.proof("GET", wire.SelfPath, nil)
	short.Chain = nil
	if status, _, body := c.send("GET", wire.SelfPath, nil, short.Header()); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	t.Logf("a proof has %d bytes, a short one %d", len(whole.Header()), len(short.Header()))
}

// TestRenew changes key twice and comes back after 180 days.
func TestRenew(t *testing.T) {
	c := newCloud(t)
	b := c.joined("kfz")
	first := *b
	if refused := b.renew(p256(t)); refused != "" {
		t.Fatal(refused)
	}
	if refused := first.self(); refused != "" {
		t.Errorf("the older key ends before the new one has been used: %s", refused)
	}
	if refused := b.renew(p256(t)); refused != "" {
		t.Fatal(refused)
	}
	if refused := first.self(); refused != string(identity.ReasonKeyEnded) {
		t.Errorf("the first key lives on: %q", refused)
	}
	record, _ := c.registry.Box(b.id())
	if len(record.Keys) != 3 || record.Keys[0].Why != identity.KeyReplaced || !record.Keys[1].Until.IsZero() || record.Version != "2" {
		t.Errorf("registry has %+v", record)
	}
	c.sleep((7 + 179) * 24 * time.Hour)
	if refused := b.self(); refused != string(identity.ReasonCertExpired) {
		t.Errorf("signs in with an expired certificate: %q", refused)
	}
	if refused := b.renew(b.key); refused != "" || b.self() != "" {
		t.Errorf("after 179 days: %q", refused)
	}
}

// TestReadmit revokes a box and lets it join again.
func TestReadmit(t *testing.T) {
	c := newCloud(t)
	b, ctx := c.joined("kfz"), context.Background()
	if err := c.Revoke(ctx, b.id(), "admin"); err != nil {
		t.Fatal(err)
	}
	if err := c.Readmit(ctx, b.id()); err != nil {
		t.Fatal(err)
	}
	if refused := b.self(); refused != string(identity.ReasonKeyEnded) {
		t.Errorf("the revoked key: %q", refused)
	}
	if b = c.joined("kfz"); b.self() != "" {
		t.Error("refused after it has joined again")
	}
	if err := c.Revoke(ctx, wire.BoxID{Tenant: "main", Site: site, Box: "none"}, "admin"); !errors.Is(err, identity.ErrNotFound) {
		t.Errorf("revoke a box that is not there: %v", err)
	}
}

// TestOldJoinRequest sends a join request again that somebody has kept.
func TestOldJoinRequest(t *testing.T) {
	c := newCloud(t)
	b, token := c.box("kfz"), c.token(1)
	kept := b.request(token)
	if refused := b.join(token, kept); refused != "" {
		t.Fatal(refused)
	}
	if refused := b.renew(p256(t)); refused != "" {
		t.Fatal(refused)
	}
	renewed := *b
	_ = b.post(token, kept)
	if refused := renewed.self(); refused != "" {
		t.Errorf("an old request takes the box out: %s", refused)
	}
	c.joined("kfz") // with a new token and key
	if refused := b.post(token, kept); refused != string(identity.ReasonKeyEnded) {
		t.Errorf("an old request brings an old key back: %q", refused)
	}
}

func FuzzAuthorization(f *testing.F) {
	c := newCloud(f)
	b := c.joined("kfz")
	f.Add(b.proof("GET", wire.SelfPath, nil).Header())
	f.Add("Signalbox AQ")
	f.Add("Basic abc")
	handler := c.Handler()
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest("GET", wire.SelfPath, nil)
		r.Header.Set("Authorization", header)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code == http.StatusOK && w.Header().Get(wire.CloudProofHeader) == "" {
			t.Errorf("let in without the cloud's proof: %q", header)
		}
	})
}

func FuzzJoin(f *testing.F) {
	c := newCloud(f)
	b, token := c.box("kfz"), c.token(1)
	r := b.request(token)
	body, _ := json.Marshal(r) // not sealed
	f.Add(body)
	f.Add([]byte("{}"))
	handler := c.Handler()
	var n atomic.Int64
	f.Fuzz(func(t *testing.T, body []byte) {
		c.from.Store(string(rune(n.Add(1))))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest("POST", wire.JoinPath, bytes.NewReader(body)))
		if w.Code == http.StatusOK {
			t.Errorf("joins without a seal: %q", body)
		}
	})
}

// Whoever begins to join and then says nothing is not waited for.
func TestSlowBodyEnds(t *testing.T) {
	auth, err := identity.Open(identity.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	g, err := identity.NewRegistrar(identity.WithBodyWait(identity.RegistrarConfig{Authority: auth, Registry: identitytest.NewRegistry(site)}, 50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	served := httptest.NewServer(g.Handler())
	defer served.Close()
	conn, err := net.Dial("tcp", served.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST "+wire.JoinPath+" HTTP/1.1\r\nHost: cloud\r\nContent-Length: 100\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.Contains(string(answer), " 400 ") {
		t.Errorf("got %.200q, %v; want 400 and the end", answer, err)
	}
}
