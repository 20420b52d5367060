package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	cloudside "signalbox/sync/cloud/identity"
	"signalbox/sync/wire"
)

// prove makes one exchange as upstream does, by its own client.
func (c *cloud) prove(i *Identity, method, path string) error {
	c.t.Helper()
	target, err := url.Parse(c.url + path)
	if err != nil {
		c.t.Fatal(err)
	}
	w := newClient(nil, i.TLS())
	first, err := w.send(context.Background(), method, target.String(), nil, nil)
	if err != nil {
		return err
	}
	nonce, _ := wire.ParseChallenge(first.header.Get("WWW-Authenticate"))
	proof, err := i.Prove(nonce, method, target, nil)
	if err != nil {
		return err
	}
	got, err := w.send(context.Background(), method, target.String(), nil, proof)
	if err != nil {
		return err
	}
	return i.VerifyCloud(proof, got.header, got.body)
}

func TestRenew(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	i := c.join(o)
	watching, err := Open(o.Dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	before, serial := i.Signer(), i.current().leaf().SerialNumber
	if err := i.renewer(false).Renew(context.Background()); err != nil {
		t.Fatal(err)
	}
	if id(t, i.Signer().Public()) != id(t, before.Public()) || i.current().leaf().SerialNumber.Cmp(serial) == 0 {
		t.Error("another key, or the same certificate")
	}
	if err := i.renewer(true).Renew(context.Background()); err != nil {
		t.Fatal(err)
	}
	if id(t, i.Signer().Public()) == id(t, before.Public()) || c.cloudKeys(i.Box()) != 2 {
		t.Errorf("the same key, or %d in the registry", c.cloudKeys(i.Box()))
	}
	if changed, err := watching.Reload(); err != nil || !changed || id(t, watching.Signer().Public()) != id(t, i.Signer().Public()) {
		t.Errorf("somebody who watches does not notice: %v, %v", changed, err)
	}
	if err := c.prove(i, http.MethodGet, wire.SelfPath); err != nil {
		t.Error(err)
	}
	entries, _ := filepath.Glob(filepath.Join(o.Dir, folderName, "0*"))
	if len(entries) != 1 {
		t.Errorf("older identities are left: %q", entries)
	}
}

func id(t *testing.T, public any) uint64 {
	t.Helper()
	id, err := wire.KeyID(public)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestHostileRenewal goes through a proxy that the box has to trust with TLS,
// and that changes what it can.
func TestHostileRenewal(t *testing.T) {
	c := newCloud(t)
	n := newInspector(t, c.addr)
	o := c.options()
	o.URL, o.CAFile = n.url, n.caFile
	i := c.join(o)
	evil, err := cloudside.Open(cloudside.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	key, _ := newKey()
	csr, _ := newCSR(key)
	before := i.current().number
	for name, try := range map[string]struct {
		request  func(*http.Request, []byte) []byte
		response func(*http.Response, []byte) []byte
		is       func(error) bool
	}{
		"swaps the CSR": {
			request: func(r *http.Request, body []byte) []byte {
				return edit(t, body, func(r *wire.RenewRequest) { r.CSR = csr })
			},
			is: refusedFor(cloudside.ReasonDigest),
		},
		"adds a root": {
			response: func(r *http.Response, body []byte) []byte {
				if r.StatusCode != http.StatusOK {
					return body
				}
				return edit(t, body, func(a *wire.RenewAnswer) { a.Roots = append(a.Roots, pemBlocks(t, evil.Bundle())...) })
			},
			is: notCloud,
		},
		"takes the cloud's proof away": {
			response: func(r *http.Response, body []byte) []byte {
				r.Header.Del(wire.CloudProofHeader)
				return body
			},
			is: notCloud,
		},
		"plays the cloud": {
			response: func(r *http.Response, body []byte) []byte {
				if r.StatusCode == http.StatusOK { // with the box's own proof, which it has seen
					r.Header.Set(wire.CloudProofHeader, strings.TrimPrefix(r.Request.Header.Get("Authorization"), "Signalbox "))
				}
				return body
			},
			is: notCloud,
		},
		"sends the box elsewhere": {
			response: func(r *http.Response, body []byte) []byte {
				r.StatusCode = http.StatusTemporaryRedirect
				r.Header.Set("Location", "https://evil.test/")
				return body
			},
			is: func(err error) bool { refused, ok := errors.AsType[*Refused](err); return ok && refused.Status == 307 },
		},
	} {
		n.does(try.request, try.response)
		if err := i.renewer(true).Renew(context.Background()); !try.is(err) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := i.Reload(); err != nil || i.current().number != before {
			t.Errorf("%s: takes the new certificate up all the same: %v", name, err)
		}
	}
	n.does(nil, nil)
	if err := i.renewer(true).Renew(context.Background()); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestUntriedCertificate has the cloud out of reach between giving a certificate
// and accepting it: the older one stays in force until it has.
func TestUntriedCertificate(t *testing.T) {
	c := newCloud(t)
	n := newInspector(t, c.addr)
	o := c.options()
	o.URL, o.CAFile = n.url, n.caFile
	i := c.join(o)
	n.does(nil, func(r *http.Response, body []byte) []byte {
		if r.Request.URL.Path == wire.SelfPath {
			r.StatusCode = http.StatusBadGateway
			return nil
		}
		return body
	})
	old := id(t, i.Signer().Public())
	if err := i.renewer(true).Renew(context.Background()); err == nil || !strings.Contains(err.Error(), "try new certificate: ") {
		t.Fatalf("error %v", err)
	}
	if id(t, i.Signer().Public()) != old {
		t.Error("a certificate is in force that the cloud has not accepted")
	}
	n.does(nil, nil)
	restarted, err := Open(o.Dir, Options{CAFile: n.caFile})
	if err != nil {
		t.Fatal(err)
	}
	if err := restarted.renewer(true).Renew(context.Background()); err != nil {
		t.Fatal(err)
	}
	if keys := c.cloudKeys(i.Box()); keys != 2 || id(t, restarted.Signer().Public()) == old {
		t.Errorf("the waiting certificate is not the one taken: %d keys", keys)
	}
}

// TestRevoked is told so, in words for people.
func TestRevoked(t *testing.T) {
	c := newCloud(t)
	i := c.join(c.options())
	if err := c.Revoke(context.Background(), i.Box(), "admin"); err != nil {
		t.Fatal(err)
	}
	err := i.renewer(false).Renew(context.Background())
	if !refusedFor(cloudside.ReasonBoxRevoked)(err) || !strings.HasPrefix(err.Error(), `box kfz3ab2cde of site "hall-2" was revoked on 2`) {
		t.Errorf("error %v", err)
	}
}

// TestKilled kills the process before each step of replacing an identity. There
// is one in force each time, and the next attempt goes through.
func TestKilled(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	number := c.join(o).current().number
	f := folder{dir: filepath.Join(o.Dir, folderName)}
	killed := 0
	for step := 1; ; step++ {
		cmd := exec.Command(os.Args[0], f.dir)
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childStep, step))
		output, err := cmd.CombinedOutput()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if err == nil {
			break // no such step
		}
		if !ok || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("step %d: %v: %s", step, err, output)
		}
		killed++
		i, err := Open(o.Dir, Options{})
		if err != nil {
			t.Fatalf("killed before step %d: %v", step, err)
		}
		if i.current().number < number {
			t.Fatalf("killed before step %d: an older identity came back", step)
		}
		if err := replaceWith(f); err != nil {
			t.Fatalf("after the kill before step %d: %v", step, err)
		}
		if n, err := f.current(); err != nil || n <= number {
			t.Fatalf("after the kill before step %d: identity %d, %v", step, n, err)
		} else {
			number = n
		}
		if left, _ := filepath.Glob(filepath.Join(f.dir, "0*")); len(left) != 1 {
			t.Fatalf("after the kill before step %d: %q", step, left)
		}
	}
	if killed < 9 {
		t.Errorf("%d steps", killed)
	}
	if i, err := Open(o.Dir, Options{}); err != nil || i.Check(context.Background(), nil) != nil {
		t.Errorf("in the end: %v", err)
	}
}

// TestRun renews at half life, and when it is told to.
func TestRun(t *testing.T) {
	c := newCloud(t)
	i := c.join(c.options())
	serial := func() string { return i.current().leaf().SerialNumber.String() }
	first := serial()
	i.clock = &clock{wall: func() time.Time { return time.Now().Add(4 * 24 * time.Hour) }} // more than half of 7 days
	r, ctx := i.renewer(false), context.Background()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	await(t, func() bool { return serial() != first })
	second := serial()
	r.Kick()
	await(t, func() bool { return serial() != second })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := c.Stats().Renewed; got != 2 {
		t.Errorf("renewed %d times", got)
	}
	due := r.due(1)
	if want := 84*time.Hour - 30*time.Minute; due < want-time.Hour || due > want+time.Hour {
		t.Errorf("due in %v", due)
	}
}

func await(t *testing.T, is func() bool) {
	t.Helper()
	for range 500 {
		if is() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("not within 5 s")
}

func TestBackoff(t *testing.T) {
	for failed, most := range map[int]time.Duration{1: renewRetry, 3: 4 * renewRetry, 50: renewRetryMax} {
		for range 100 {
			if d := backoff(failed); d < time.Second || d > most+time.Second {
				t.Errorf("backoff(%d) = %v", failed, d)
			}
		}
	}
}

// TestClock starts boxes whose clock shows nonsense.
func TestClock(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	c.join(o)
	for name, wall := range map[string]time.Time{
		"1970": time.Unix(5, 0),
		"2099": time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		started := time.Now()
		i := &Identity{folder: folder{dir: filepath.Join(o.Dir, folderName)}, clock: &clock{wall: func() time.Time { return wall.Add(time.Since(started)) }}}
		if _, err := i.Reload(); err != nil {
			t.Fatal(err)
		}
		err := c.prove(i, http.MethodGet, wire.SelfPath)
		if name == "2099" { // could be right: then the certificate has ended
			explained := i.Explain(err)
			if _, ok := errors.AsType[*TLSError](explained); !ok || !strings.Contains(explained.Error(), "it is 2099-01-01") {
				t.Errorf("%s: %v", name, explained)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if off := time.Since(i.Now()).Abs(); off > time.Minute {
			t.Errorf("%s: tells %v, off by %v", name, i.Now(), off)
		}
		if skew, ok := i.Skew(); !ok || time.Since(wall.Add(-skew)).Abs() > time.Minute {
			t.Errorf("%s: skew %v", name, skew)
		}
	}
}

// TestYoungerServer has the cloud's TLS certificate begin after all that a box
// whose clock shows 1970 knows of.
func TestYoungerServer(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	c.join(o)
	started := time.Now()
	i := &Identity{
		folder: folder{dir: filepath.Join(o.Dir, folderName)},
		clock:  &clock{wall: func() time.Time { return time.Unix(5, 0).Add(time.Since(started)) }},
	}
	if _, err := i.Reload(); err != nil {
		t.Fatal(err)
	}
	// Join and server certificate are of the same second: as if the box had
	// joined a year before.
	i.clock.mu.Lock()
	i.clock.floor = i.clock.floor.AddDate(-1, 0, 0)
	i.clock.mu.Unlock()
	if err := i.Explain(c.prove(i, http.MethodGet, wire.SelfPath)); err == nil || !strings.Contains(err.Error(), "is good from") {
		t.Fatalf("error %v", err)
	}
	// Somebody on the way shows a certificate of the future once.
	liar := &tls.CertificateVerificationError{
		UnverifiedCertificates: []*x509.Certificate{{NotBefore: time.Date(2050, 1, 1, 0, 0, 0, 0, time.UTC)}},
		Err:                    x509.CertificateInvalidError{Reason: x509.Expired},
	}
	_ = i.Explain(liar)
	if err := i.Explain(c.prove(i, http.MethodGet, wire.SelfPath)); err == nil {
		t.Error("a certificate that ends before 2050 is taken then")
	}
	if err := c.prove(i, http.MethodGet, wire.SelfPath); err != nil {
		t.Errorf("the time after: %v", err)
	}
	if off := time.Since(i.Now()).Abs(); off > time.Minute {
		t.Errorf("tells %v", i.Now())
	}
}

func TestClockJumps(t *testing.T) {
	wall := time.Unix(5, 0)
	c := &clock{wall: func() time.Time { return wall }}
	floor, cloud := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	c.atLeast(floor)
	if got := c.now(); !got.Equal(floor) || !c.behind() {
		t.Errorf("before the cloud was heard: %v", got)
	}
	c.hear(cloud)
	if got := c.now(); got.Sub(cloud).Abs() > time.Minute || c.behind() {
		t.Errorf("after: %v", got)
	}
	wall = cloud.Add(time.Second) // NTP has set it
	c.hear(cloud)
	if got := c.now(); !got.Equal(wall) {
		t.Errorf("a clock that is right is not used: %v", got)
	}
	wall = wall.AddDate(3, 0, 0)
	if got := c.now(); got.Sub(cloud).Abs() > time.Minute {
		t.Errorf("after a jump: %v", got)
	}
}

// TestShortProof leaves the certificate out of the second POST, and sends it
// again after a failure.
func TestShortProof(t *testing.T) {
	c := newCloud(t)
	i := c.join(c.options())
	target := &url.URL{Path: "/sync/v1/frames"}
	chain := func() int {
		p, err := i.Prove("nonce", http.MethodPost, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(p.Chain)
	}
	if chain() == 0 {
		t.Error("left out before the cloud has seen it")
	}
	if err := c.prove(i, http.MethodGet, wire.SelfPath); err != nil {
		t.Fatal(err)
	}
	if chain() != 0 {
		t.Error("sent again")
	}
	if chain() == 0 {
		t.Error("left out after a proof without success")
	}
}

// TestExplain names what is wrong with a certificate.
func TestExplain(t *testing.T) {
	c := newCloud(t)
	i := c.join(c.options())
	cfg := i.TLS().Clone()
	cfg.ServerName = "elsewhere.test"
	conn, err := tls.Dial("tcp", c.addr, cfg)
	if err == nil {
		conn.Close()
		t.Fatal("any name will do")
	}
	if got := i.Explain(err).Error(); !strings.Contains(got, "is for cloud.test, 127.0.0.1, not for elsewhere.test") {
		t.Errorf("got %q", got)
	}
	plain := errors.New("connection refused")
	if got := i.Explain(plain); !errors.Is(got, plain) {
		t.Errorf("another error becomes %v", got)
	}
	if bytes.Contains([]byte(fmt.Sprintf("%+v", i.TLS())), []byte("InsecureSkipVerify:true")) {
		t.Error("TLS to the cloud is not verified")
	}
}
