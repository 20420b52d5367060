package upstream

import (
	"bufio"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"signalbox/sync/wire"
)

// proxy is an HTTP proxy that wants a sign-in and knows CONNECT alone.
type proxy struct {
	net.Listener
	opened, refused atomic.Int64
	wg              sync.WaitGroup
}

func newProxy(t *testing.T, userinfo string) *proxy {
	t.Helper()
	p := &proxy{Listener: listen(t)}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(userinfo))
	p.wg.Go(func() {
		for {
			conn, err := p.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(conn, want) })
		}
	})
	t.Cleanup(func() { _ = p.Close(); p.wg.Wait() })
	return p
}

func (p *proxy) serve(conn net.Conn, want string) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil {
		return
	}
	if r.Method != http.MethodConnect || r.Header.Get("Proxy-Authorization") != want {
		p.refused.Add(1)
		_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"plant\"\r\nContent-Length: 0\r\n\r\n")
		return
	}
	far, err := net.Dial("tcp", r.Host)
	if err != nil {
		return
	}
	defer far.Close()
	p.opened.Add(1)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(far, in); _ = far.Close() }()
	_, _ = io.Copy(conn, far)
	_ = conn.Close()
	<-done
}

func through(p *proxy, user *url.Userinfo) func(*http.Request) (*url.URL, error) {
	return http.ProxyURL(&url.URL{Scheme: "http", Host: p.Addr().String(), User: user})
}

// A proxy with a sign-in carries both ways; without the sign-in the box says
// what to write where.
func TestProxyWithSignIn(t *testing.T) {
	for _, blocked := range []bool{false, true} {
		c := newCloud(t, listen(t), true)
		c.noSockets.Store(blocked)
		p := newProxy(t, "box:s3cret")
		a := run(t, c, t.TempDir(), func(cfg *Config) { cfg.Proxy = through(p, url.UserPassword("box", "s3cret")) })
		c.await("a frame", func() bool { return len(c.frames) > 0 })
		want := wayWebSocket
		if blocked {
			want = wayPost
		}
		a.until("its way", func(s Status) bool { return s.Connected && s.Way == want })
		if p.opened.Load() < 2 || p.refused.Load() > 0 {
			t.Errorf("the proxy opened %d connections and refused %d", p.opened.Load(), p.refused.Load())
		}
		a.stop()
	}
	c := newCloud(t, listen(t), true)
	p := newProxy(t, "box:s3cret")
	a := run(t, c, t.TempDir(), func(cfg *Config) { cfg.Proxy = through(p, nil) })
	a.until("the fault", func(s Status) bool {
		return strings.Contains(s.Fault, "the proxy wants a user and a password; write HTTPS_PROXY=")
	})
}

// Where no WebSocket comes through, frames go by POST; half an hour later a
// WebSocket is tried again.
func TestPostWhereWebSocketsAreBlocked(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, c *cloud, a *running, p *parts, _ *memory) {
		c.noSockets.Store(true)
		c.cut()
		for range 20 {
			p.count(1)
			time.Sleep(time.Minute)
		}
		if s := a.Status(); !s.Connected || s.Way != wayPost || s.Queue > 1 {
			t.Errorf("status %+v, want connected by POST and all applied", s)
		}
		if got := c.total(wire.SignalingOffers); got < 18 {
			t.Errorf("offers: %d, want nearly 20", got)
		}
		before := c.posts.Load()
		time.Sleep(5 * time.Minute)
		if posts := c.posts.Load() - before; posts < 4 || posts > 12 {
			t.Errorf("%d posts in five idle minutes, want about one a minute", posts)
		}
		if b := c.facts(); b.GetLink() != wayPost {
			t.Errorf("the box says its link is %q", b.GetLink())
		}
		// A policy comes with the answers.
		c.with(func() { c.policy = &wire.Policy{Revision: 2, Site: []byte(`{"frame_every":90}`)} })
		time.Sleep(2 * time.Minute)
		if s := a.Status(); s.Policy != 2 {
			t.Errorf("policy %d, want 2", s.Policy)
		}
		c.noSockets.Store(false)
		time.Sleep(35 * time.Minute)
		if s := a.Status(); s.Way != wayWebSocket || s.Queue > 0 {
			t.Errorf("status %+v, want a WebSocket again", s)
		}
	})
}

// The cap holds for a backlog, and what is urgent waits no longer than that.
func TestBandwidthCap(t *testing.T) {
	inBubble(t, func(cfg *Config) { cfg.UplinkRate = 16e3 }, func(t *testing.T, c *cloud, a *running, p *parts, n *memory) {
		time.Sleep(85 * time.Second)
		n.hole.Store(true)
		for i := range 6 * 60 {
			p.count(uint64(i))
			p.change(func(p *parts) {
				for id := wire.MetricID(1); id < 60; id++ {
					if wire.KindOf(id) == wire.Counter {
						p.sample.Counters[id] += uint64(i*i) * uint64(id) * 2654435761 % 1e6
					}
				}
			})
			time.Sleep(time.Minute)
		}
		n.hole.Store(false)
		for !a.Status().Connected {
			time.Sleep(time.Second)
		}
		start, before := time.Now(), a.Status().Sent
		for a.Status().Queue > 1 {
			time.Sleep(time.Second)
			took := time.Since(start)
			if sent, most := a.Status().Sent-before, uint64(2000*took.Seconds()+4*2000); sent > most {
				t.Fatalf("%d bytes in %v, want at most %d", sent, took, most)
			}
		}
		sent, took := a.Status().Sent-before, time.Since(start)
		t.Logf("%d bytes in %v: %.1f kbit/s of 16", sent, took, float64(sent)*8/1000/took.Seconds())
		if sent < 20_000 || took < 8*time.Second {
			t.Errorf("only %d bytes in %v: the test shows nothing", sent, took)
		}
	})
}

// Addresses are tried in their order until one answers.
func TestSeveralAddresses(t *testing.T) {
	c := newCloud(t, listen(t), true)
	dead := listen(t)
	gone := "https://" + dead.Addr().String()
	_ = dead.Close()
	a := run(t, c, t.TempDir(), func(cfg *Config) { cfg.URL = []string{gone, c.box.url} })
	c.await("a frame", func() bool { return len(c.frames) > 0 })
	a.until("the one that answers", func(s Status) bool { return s.Connected && s.URL == c.box.url })
}

// Whoever answers without the cloud's key is not spoken to.
func TestNotTheCloud(t *testing.T) {
	c := newCloud(t, listen(t), true)
	other := newAuthority(t)
	c.box.cloud = &authority{key: other.key, der: other.der, pool: c.root.pool}
	a := run(t, c, t.TempDir(), nil)
	a.until("the fault", func(s Status) bool { return strings.Contains(s.Fault, "does not have the cloud's key") })
	c.with(func() {
		if len(c.frames) > 0 {
			t.Errorf("%d frames went to somebody else", len(c.frames))
		}
	})
}

// What is wrong with an identity is told, and over when it is right.
func TestBrokenIdentity(t *testing.T) {
	c := newCloud(t, listen(t), true)
	var good atomic.Bool
	a := run(t, c, t.TempDir(), func(cfg *Config) {
		cfg.open = func(string, string) (Identity, error) {
			if !good.Load() {
				return nil, errors.New("identity: key.pem is gone; restore the folder or join again")
			}
			return c.box, nil
		}
	})
	a.until("the fault", func(s Status) bool { return strings.Contains(s.Fault, "join again") && !s.Joined })
	good.Store(true)
	a.until("connected", func(s Status) bool { return s.Connected && s.Fault == "" })
}

func TestValidate(t *testing.T) {
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("an empty section: %v", err)
	}
	good := Config{URL: []string{"https://cloud.example:8453/", "http://127.0.0.1:8090"}, Level: "named", FrameEvery: 2 * time.Minute, UplinkRate: 64e3}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{URL: []string{"cloud.example", "http://cloud.example", "https://u@cloud.example"}, Level: "all", FrameEvery: time.Second, UplinkRate: 1, OutboxBytes: 1}
	text := bad.Validate().Error()
	for _, want := range []string{
		`upstream.url: got "cloud.example", want the cloud's address`, `got "http://cloud.example"`, `got "https://u@cloud.example"`,
		`upstream.level: got "all", want minimal, default or named`, "upstream.frame_every: got 1s, want 1m to 5m",
		"upstream.uplink_rate: got 1, want a rate", "upstream.outbox_bytes: got 1, want a size",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q in %s", want, text)
		}
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Config{CA: file}).Check(); err == nil || !strings.Contains(err.Error(), "upstream.ca: got") {
		t.Errorf("a file without certificates: %v", err)
	}
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: newAuthority(t).der})
	if err := os.WriteFile(file, root, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := (Config{CA: file}).Check(); err != nil {
		t.Error(err)
	}
}

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{"0": 0, "256kbit/s": 256e3, "2 Mbit/s": 2e6, "1.5Mbit/s": 1500e3, "8000bit/s": 8e3} {
		var got Rate
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: got %d (%v), want %d", text, got, err, want)
		}
		again := Rate(1)
		written, _ := got.MarshalText()
		if err := again.UnmarshalText(written); err != nil || again != got {
			t.Errorf("%s was written as %s and read as %d (%v)", text, written, again, err)
		}
	}
	for _, text := range []string{"", "fast", "1kbit/s", "NaNkbit/s", "-5Mbit/s", "256", "9e99Gbit/s"} {
		if err := new(Rate).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
