package identity

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"

	cloudside "signalbox/sync/cloud/identity"
	"signalbox/sync/cloud/identity/identitytest"
	"signalbox/sync/wire"
)

const hall = "hall-2"

// quiet takes what servers say about connections that clients refuse.
var quiet = log.New(io.Discard, "", 0)

// cloud is a real registrar behind a real TLS listener.
type cloud struct {
	*cloudside.Registrar
	t        *testing.T
	auth     *cloudside.Authority
	registry *identitytest.Registry
	url      string
	addr     string
}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	auth, err := cloudside.Open(cloudside.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	registry := identitytest.NewRegistry(hall)
	g, err := cloudside.NewRegistrar(cloudside.RegistrarConfig{Authority: auth, Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := auth.ServerCertificate(cloudside.ServerConfig{Names: []string{"127.0.0.1", "cloud.test"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &cloud{Registrar: g, t: t, auth: auth, registry: registry}
	c.url, c.addr = listen(t, g.Handler(), cert.TLSConfig())
	return c
}

// listen serves h over TLS until the test ends.
func listen(t *testing.T, h http.Handler, cfg *tls.Config) (address, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ErrorLog: quiet}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(tls.NewListener(l, cfg)) // until it is closed
	}()
	t.Cleanup(func() {
		_ = s.Close()
		<-done
	})
	return "https://" + l.Addr().String(), l.Addr().String()
}

// options are those of a box that is to join.
func (c *cloud) options() JoinOptions {
	c.t.Helper()
	token, _, err := c.NewToken(context.Background(), cloudside.TokenOptions{Site: hall})
	if err != nil {
		c.t.Fatal(err)
	}
	return JoinOptions{
		Dir: c.t.TempDir(), URL: c.url, Token: token.Text(), CA: c.auth.RootHash(), Box: "kfz3ab2cde", Name: "Hall 2", Version: "1",
	}
}

func (c *cloud) join(o JoinOptions) *Identity {
	c.t.Helper()
	i, err := Join(context.Background(), o)
	if err != nil {
		c.t.Fatal(err)
	}
	return i
}

// connectProxy is a forward proxy that knows CONNECT and wants a password. It
// connects to addr, whatever name it is asked for.
func connectProxy(t *testing.T, addr, password string) (proxy string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var hosts []string
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("plant:"+password))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method != http.MethodConnect:
			w.WriteHeader(http.StatusForbidden)
		case r.Header.Get("Proxy-Authorization") != want:
			w.WriteHeader(http.StatusProxyAuthRequired)
		default:
			mu.Lock()
			hosts = append(hosts, r.Host)
			mu.Unlock()
			splice(t, w, addr)
		}
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String(), func() []string {
		mu.Lock()
		defer mu.Unlock()
		return hosts
	}
}

// splice connects the hijacked connection to addr.
func splice(t *testing.T, w http.ResponseWriter, addr string) {
	there, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return
	}
	defer there.Close()
	here, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer here.Close()
	_, _ = here.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(there, buffered); _ = there.(*net.TCPConn).CloseWrite() })
	both.Go(func() { _, _ = io.Copy(here, there); _ = here.Close() })
	both.Wait()
}

// inspector ends TLS with an authority of its own and passes requests on, as
// proxies of factories do. What it does to them the test sets.
type inspector struct {
	url, caFile string

	mu       sync.Mutex
	request  func(*http.Request, []byte) []byte  // nil: as it is
	response func(*http.Response, []byte) []byte // nil: as it is
}

func newInspector(t *testing.T, addr string) *inspector {
	t.Helper()
	own, err := cloudside.Open(cloudside.Config{Dir: t.TempDir(), Domain: "inspector.example"})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := own.ServerCertificate(cloudside.ServerConfig{Names: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	n := &inspector{caFile: filepath.Join(t.TempDir(), "inspector.pem")}
	if err := os.WriteFile(n.caFile, own.Bundle(), 0o600); err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{
		Transport: transport, ErrorLog: quiet,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: addr})
			body, _ := io.ReadAll(r.In.Body)
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.request != nil {
				body = n.request(r.Out, body)
			}
			r.Out.Body, r.Out.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		},
		ModifyResponse: func(r *http.Response) error {
			body, err := io.ReadAll(r.Body)
			n.mu.Lock()
			defer n.mu.Unlock()
			if n.response != nil {
				body = n.response(r, body)
			}
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
			r.Header.Del("Content-Length")
			return err
		},
	}
	n.url, _ = listen(t, proxy, cert.TLSConfig())
	return n
}

// does sets what the inspector does from now on.
func (n *inspector) does(request func(*http.Request, []byte) []byte, response func(*http.Response, []byte) []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.request, n.response = request, response
}

// edit changes a document.
func edit[T any](t *testing.T, body []byte, change func(*T)) []byte {
	t.Helper()
	var document T
	if err := json.Unmarshal(body, &document); err != nil {
		return body // not the one that is meant
	}
	change(&document)
	changed, err := json.Marshal(document)
	if err != nil {
		t.Error(err)
	}
	return changed
}

// cloudKeys is how many keys the registry has of the box.
func (c *cloud) cloudKeys(box wire.BoxID) int {
	record, _ := c.registry.Box(box)
	return len(record.Keys)
}

// renewer is for a box that changes its key with each certificate, or never.
func (i *Identity) renewer(newKey bool) *Renewer {
	cfg := RenewerConfig{Identity: i, Version: "2"}
	if newKey {
		cfg.KeyEvery = 1
	}
	return NewRenewer(cfg)
}
