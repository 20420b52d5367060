package identity

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	cloudside "signalbox/sync/cloud/identity"
	"signalbox/sync/wire"
)

func TestJoin(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	joined := c.join(o)
	i, err := Open(o.Dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if want := (wire.BoxID{Tenant: "main", Site: hall, Box: "kfz3ab2cde"}); i.Box() != want || i.URL() != c.url || i.Domain() != "signalbox" {
		t.Errorf("box %v at %s of %s", i.Box(), i.URL(), i.Domain())
	}
	if err := joined.Check(context.Background(), nil); err != nil {
		t.Errorf("check: %v", err)
	}
	if skew, ok := joined.Skew(); !ok || skew.Abs() > time.Minute {
		t.Errorf("skew %v, %v", skew, ok)
	}
	err = filepath.WalkDir(filepath.Join(o.Dir, folderName), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode()&os.ModeSymlink == 0 && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(o.Dir, folderName, joiningFile)); err == nil {
		t.Error("the key to join with is left over")
	}
	// Once more, without and with being told to.
	o.Token = c.options().Token
	if _, err := Join(context.Background(), o); !errors.Is(err, ErrJoined) {
		t.Errorf("join again: %v", err)
	}
	o.Again = true
	again := c.join(o)
	if err := again.Check(context.Background(), nil); err != nil {
		t.Errorf("check: %v", err)
	}
	if changed, err := i.Reload(); err != nil || !changed {
		t.Errorf("a running box does not notice: %v, %v", changed, err)
	}
	if changed, err := i.Reload(); err != nil || changed {
		t.Errorf("changed without a change: %v", err)
	}
}

func TestJoinOptions(t *testing.T) {
	good := newCloud(t).options()
	for want, change := range map[string]func(*JoinOptions){
		"want the cloud's address": func(o *JoinOptions) { o.URL = "cloud:8453" },
		`got "http://cloud:8090"`:  func(o *JoinOptions) { o.URL = "http://cloud:8090" },
		"join token":               func(o *JoinOptions) { o.Token = "sbx-1" },
		`ca: got "md5:00"`:         func(o *JoinOptions) { o.CA = "md5:00" },
	} {
		o := good
		change(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if _, err := Open(good.Dir, Options{}); !errors.Is(err, ErrNone) {
		t.Errorf("open a box that has not joined: %v", err)
	}
}

// TestJoinRefused has the cloud's words reach people.
func TestJoinRefused(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	c.join(o)
	o.Dir, o.Box = t.TempDir(), "other"
	_, err := Join(context.Background(), o)
	refused, ok := errors.AsType[*Refused](err)
	if !ok || refused.Code != string(cloudside.ReasonTokenUsedUp) || !strings.HasPrefix(err.Error(), "the token is used up: box kfz3ab2cde joined with it on ") {
		t.Errorf("error %v", err)
	}
	cert, err := c.auth.ServerCertificate(cloudside.ServerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	o.URL, _ = listen(t, http.NotFoundHandler(), cert.TLSConfig())
	if _, err = Join(context.Background(), o); err == nil || !strings.Contains(err.Error(), "404 Not Found and nothing that a Signalbox cloud says") {
		t.Errorf("another server: %v", err)
	}
}

// TestLostAnswer cuts the connection once the cloud has answered.
func TestLostAnswer(t *testing.T) {
	c := newCloud(t)
	n := newInspector(t, c.addr)
	n.does(nil, func(*http.Response, []byte) []byte { return []byte("{") })
	o := c.options()
	direct := o.URL
	o.URL = n.url
	if _, err := Join(context.Background(), o); err == nil {
		t.Fatal("joined with half an answer")
	}
	o.URL = direct
	c.join(o)
}

// TestOneWriter joins while somebody else does.
func TestOneWriter(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	unlock, err := folder{dir: filepath.Join(o.Dir, folderName)}.lock()
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if _, err := Join(context.Background(), o); !errors.Is(err, ErrBusy) {
		t.Errorf("error %v", err)
	}
}

// TestOwner has root join for a service with a user of its own.
func TestOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	c := newCloud(t)
	o := c.options()
	if err := os.Chown(o.Dir, 12345, 12345); err != nil {
		t.Fatal(err)
	}
	c.join(o)
	err := filepath.WalkDir(filepath.Join(o.Dir, folderName), func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Sys().(*syscall.Stat_t).Uid != 12345 {
			t.Errorf("%s belongs to root", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestConnectProxy reaches the cloud through a proxy that wants a password, by a
// name that only the proxy knows.
func TestConnectProxy(t *testing.T) {
	c := newCloud(t)
	proxy, asked := connectProxy(t, c.addr, "s3cret/:@")
	o := c.options()
	o.URL = "https://cloud.test:8453"
	by := func(password string) ProxyFunc {
		return http.ProxyURL(&url.URL{Scheme: "http", User: url.UserPassword("plant", password), Host: proxy})
	}
	o.Proxy = by("wrong")
	_, err := Join(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "the proxy "+proxy+" wants a sign-in it accepts: write HTTPS_PROXY=http://USER:PASSWORD@") {
		t.Errorf("wrong password: %v", err)
	}
	o.Proxy = by("s3cret/:@")
	i := c.join(o)
	if err := i.Check(context.Background(), o.Proxy); err != nil {
		t.Errorf("check: %v", err)
	}
	renewer := NewRenewer(RenewerConfig{Identity: i, Version: "2", Proxy: o.Proxy})
	if err := renewer.Renew(context.Background()); err != nil {
		t.Errorf("renew: %v", err)
	}
	if got := asked(); len(got) < 7 || slices.ContainsFunc(got, func(host string) bool { return host != "cloud.test:8453" }) {
		t.Errorf("the proxy was asked for %q", got)
	}
}

// TestInspected goes through a proxy that ends TLS. Joining is sealed and works;
// the box then has to be told to trust the proxy, and is told so.
func TestInspected(t *testing.T) {
	c := newCloud(t)
	n := newInspector(t, c.addr)
	o := c.options()
	o.URL = n.url
	i := c.join(o)
	err := i.Check(context.Background(), nil)
	if _, ok := errors.AsType[*TLSError](err); !ok || !strings.Contains(err.Error(), `issued by "CN=Signalbox root`) || !strings.Contains(err.Error(), "upstream.ca") {
		t.Errorf("error %v", err)
	}
	if i, err = Open(o.Dir, Options{CAFile: n.caFile}); err != nil {
		t.Fatal(err)
	}
	if err := i.Check(context.Background(), nil); err != nil {
		t.Errorf("with upstream.ca: %v", err)
	}
	if err := i.renewer(true).Renew(context.Background()); err != nil {
		t.Errorf("renew: %v", err)
	}
	if _, err := Open(o.Dir, Options{CAFile: filepath.Join(o.Dir, "none.pem")}); err == nil || !strings.HasPrefix(err.Error(), "upstream.ca: ") {
		t.Errorf("a file that is not there: %v", err)
	}
}

// TestHostileInspector swaps what joining consists of.
func TestHostileInspector(t *testing.T) {
	c := newCloud(t)
	n := newInspector(t, c.addr)
	evil, err := cloudside.Open(cloudside.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	evilRoots := func() [][]byte { return pemBlocks(t, evil.Bundle()) }
	key, _ := newKey()
	csr, _ := newCSR(key)
	for name, try := range map[string]struct {
		request  func(*http.Request, []byte) []byte
		response func(*http.Response, []byte) []byte
		is       func(error) bool
	}{
		"swaps the CSR": {
			request: func(_ *http.Request, body []byte) []byte {
				return edit(t, body, func(r *wire.JoinRequest) { r.CSR = csr })
			},
			is: refusedFor(cloudside.ReasonTokenMAC),
		},
		"swaps the box": {
			request: func(_ *http.Request, body []byte) []byte {
				return edit(t, body, func(r *wire.JoinRequest) { r.Box = "other" })
			},
			is: refusedFor(cloudside.ReasonTokenMAC),
		},
		"swaps the chain": {
			response: func(_ *http.Response, body []byte) []byte {
				return edit(t, body, func(a *wire.JoinAnswer) { a.Chain = evilRoots() })
			},
			is: notCloud,
		},
		"adds a root": {
			response: func(_ *http.Response, body []byte) []byte {
				return edit(t, body, func(a *wire.JoinAnswer) { a.Roots = append(a.Roots, evilRoots()...) })
			},
			is: notCloud,
		},
		"moves the box to another site": {
			response: func(_ *http.Response, body []byte) []byte {
				return edit(t, body, func(a *wire.JoinAnswer) { a.Box = "main.evil.kfz3ab2cde" })
			},
			is: notCloud,
		},
	} {
		n.does(try.request, try.response)
		o := c.options()
		o.URL = n.url
		if _, err := Join(context.Background(), o); !try.is(err) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Open(o.Dir, Options{}); !errors.Is(err, ErrNone) {
			t.Errorf("%s: has an identity all the same", name)
		}
	}
}

// TestPin joins at a cloud that has the token but not the root.
func TestPin(t *testing.T) {
	c, other := newCloud(t), newCloud(t)
	o := other.options()
	o.CA = c.auth.RootHash()
	if _, err := Join(context.Background(), o); !notCloud(err) || !strings.Contains(err.Error(), "--ca") {
		t.Errorf("error %v", err)
	}
}

func notCloud(err error) bool { return errors.Is(err, ErrNotCloud) }

func refusedFor(reason cloudside.Reason) func(error) bool {
	return func(err error) bool {
		refused, ok := errors.AsType[*Refused](err)
		return ok && refused.Code == string(reason)
	}
}

func pemBlocks(t *testing.T, bundle []byte) [][]byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(file, bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	blocks, err := readCerts(file)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// FuzzSite reads the folder of a box whose files somebody has changed.
func FuzzSite(f *testing.F) {
	document, _ := json.Marshal(site{URL: "https://cloud", Box: "main.hall-2.kfz", Domain: "signalbox"})
	f.Add(document, []byte("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, document, chain []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{siteFile: document, chainFile: chain, rootsFile: chain, keyFile: chain} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if g, err := readGeneration(dir); err == nil {
			t.Errorf("reads %+v", g)
		}
	})
}

// The box's service owns the folder, and root joins in it: a link that the
// service has put there is not followed.
func TestJoinFollowsNoLink(t *testing.T) {
	for _, name := range []string{lockFile, joiningFile + unfinished} {
		o := newCloud(t).options()
		victim := filepath.Join(t.TempDir(), "victim")
		if err := os.WriteFile(victim, []byte("untouched"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(filepath.Join(o.Dir, folderName), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(victim, filepath.Join(o.Dir, folderName, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := Join(context.Background(), o); err == nil {
			t.Errorf("joined over a link at %s", name)
		}
		if got, err := os.ReadFile(victim); err != nil || string(got) != "untouched" {
			t.Errorf("over a link at %s the file has %q, %v", name, got, err)
		}
	}
}
