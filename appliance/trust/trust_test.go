package trust

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keys is a KeyStore in memory.
type keys struct {
	mu     sync.Mutex
	byName map[string][]byte
}

func (k *keys) CreateKey(_ context.Context, name string, create func() ([]byte, error)) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if key, ok := k.byName[name]; ok {
		return key, nil
	}
	key, err := create()
	if err == nil {
		if k.byName == nil {
			k.byName = make(map[string][]byte)
		}
		k.byName[name] = key
	}
	return key, err
}

// place is where a box stands: what a test changes under it.
type place struct {
	mu    sync.Mutex
	names []string
	addrs []netip.Addr
}

func (p *place) move(names []string, addrs ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.names, p.addrs = names, parseAddrs(addrs)
}

func parseAddrs(texts []string) []netip.Addr {
	var addrs []netip.Addr
	for _, text := range texts {
		addrs = append(addrs, netip.MustParseAddr(text))
	}
	return addrs
}

func (p *place) config(store KeyStore) Config {
	return Config{
		Label: "hall-2 abc", Keys: store,
		Names: func() []string { p.mu.Lock(); defer p.mu.Unlock(); return slices.Clone(p.names) },
		Addrs: func() []netip.Addr { p.mu.Lock(); defer p.mu.Unlock(); return slices.Clone(p.addrs) },
	}
}

func newAuthority(t testing.TB, cfg Config) *Authority {
	t.Helper()
	if cfg.Keys == nil {
		cfg.Keys = new(keys)
	}
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func hall(t testing.TB) *Authority {
	t.Helper()
	p := new(place)
	p.move([]string{"signalbox.local", "Hall-2.local."}, "192.168.7.5", "fd00::5", "fe80::1%eth0", "::ffff:10.1.2.3")
	return newAuthority(t, p.config(nil))
}

// pool is a device that has installed the root and trusts nothing else.
func pool(t testing.TB, a *Authority) *x509.CertPool {
	t.Helper()
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(a.RootPEM()) {
		t.Fatal("RootPEM is not a certificate")
	}
	return p
}

// listen serves TLS on loopback until the test ends: each connection gets a
// handshake and is closed.
func listen(t testing.TB, cfg *tls.Config) string {
	t.Helper()
	var listener net.ListenConfig
	plain, err := listener.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := tls.NewListener(plain, cfg)
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	t.Cleanup(func() { l.Close() })
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			_ = conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	})
	return l.Addr().String()
}

func dial(t testing.TB, addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 10 * time.Second}, Config: cfg}
	conn, err := d.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState(), nil
}

// TestHandshake is a device with nothing but the root, coming by every name and
// address the box has.
func TestHandshake(t *testing.T) {
	a := hall(t)
	addr := listen(t, a.TLSConfig())
	roots := pool(t, a)
	for _, host := range []string{
		"127.0.0.1", "::1", "localhost", "signalbox.local", "hall-2.local", "HALL-2.local", "192.168.7.5", "fd00::5", "fe80::1", "10.1.2.3",
	} {
		state, err := dial(t, addr, &tls.Config{RootCAs: roots, ServerName: host, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil {
			t.Errorf("by %s: %v", host, err)
			continue
		}
		if state.NegotiatedProtocol != "http/1.1" {
			t.Errorf("by %s: ALPN gave %q, want http/1.1", host, state.NegotiatedProtocol)
		}
	}
	for _, host := range []string{"192.168.7.6", "other.local", "example.com", "fd00::6"} {
		_, err := dial(t, addr, &tls.Config{RootCAs: roots, ServerName: host})
		if _, ok := errors.AsType[x509.HostnameError](err); !ok {
			t.Errorf("by %s: %v, want a name mismatch", host, err)
		}
	}
	_, err := dial(t, addr, &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"})
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("without the root: %v, want an unknown authority", err)
	}
	if _, err := dial(t, addr, &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	if state, err := dial(t, addr, &tls.Config{RootCAs: roots, ServerName: "localhost", MaxVersion: tls.VersionTLS12}); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("TLS 1.2: %v", err)
	}
}

// TestPinnedClient knows the root by its fingerprint alone, from a QR code or a
// TXT record, and finds it in the handshake.
func TestPinnedClient(t *testing.T) {
	a := hall(t)
	state, err := dial(t, listen(t, a.TLSConfig()), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	sent := state.PeerCertificates
	if len(sent) != 2 || !slices.Equal(sent[1].Raw, a.RootDER()) {
		t.Fatalf("%d certificates were sent, want the leaf and the root", len(sent))
	}
	if got := a.Fingerprint(); len(got) != 64 {
		t.Errorf("Fingerprint = %q", got)
	}
}

// TestRootOutlivesRestart: devices install it once.
func TestRootOutlivesRestart(t *testing.T) {
	store, p := new(keys), new(place)
	p.move([]string{"signalbox.local"}, "192.168.7.5")
	first := newAuthority(t, p.config(store))
	p.move([]string{"renamed.local"}, "10.0.0.9")
	second := newAuthority(t, p.config(store))
	if first.Fingerprint() != second.Fingerprint() {
		t.Error("a restart made another root")
	}
	if _, err := dial(t, listen(t, second.TLSConfig()), &tls.Config{RootCAs: pool(t, first), ServerName: "renamed.local"}); err != nil {
		t.Error("with the root from before the restart:", err)
	}
	if other := newAuthority(t, p.config(nil)); other.Fingerprint() == first.Fingerprint() {
		t.Error("two boxes have the same root")
	}
}

func TestNewRefuses(t *testing.T) {
	broken := errors.New("disk is full")
	other, err := makeRoot(Config{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	mixed, err := makeRoot(Config{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cut := slices.Index(mixed, '\n')
	for name, cfg := range map[string]Config{
		"no store":         {},
		"faulty config":    {Keys: new(keys), CertFile: "x"},
		"store fails":      {Keys: failing{broken}},
		"root cut short":   {Keys: &keys{byName: map[string][]byte{rootKeyName: other[:len(other)/2]}}},
		"root empty":       {Keys: &keys{byName: map[string][]byte{rootKeyName: {}}}},
		"key of another":   {Keys: &keys{byName: map[string][]byte{rootKeyName: mixUp(t, other, mixed)}}},
		"header cut short": {Keys: &keys{byName: map[string][]byte{rootKeyName: mixed[cut:]}}},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: New made an authority", name)
		} else if name == "store fails" && !errors.Is(err, broken) {
			t.Errorf("%s: %v, want the store's error in it", name, err)
		}
	}
}

type failing struct{ err error }

func (f failing) CreateKey(context.Context, string, func() ([]byte, error)) ([]byte, error) {
	return nil, f.err
}
