package cloud

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/sync/cloud/projector"
	"signalbox/sync/cloud/registry"
	"signalbox/sync/wire"
	"signalbox/webui"
)

// Bounds of the HTTP servers.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 32 << 10 // a proof carries a certificate chain
	stopTimeout   = 3 * time.Second
)

// keepAlive finds connections whose other end is gone. Go's own, after 15 s,
// would cost each idle box 760 KB a day; a box makes a sound every 150 s, and
// the gateway asks one that does not.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 4 * time.Minute, Interval: 15 * time.Second, Count: 4}

// verifyPath is of the control socket alone: it reads all streams again.
const verifyPath = "/v1/verify"

func isNotFound(err error) bool { return errors.Is(err, registry.ErrNotFound) }

// bind opens the addresses for HTTP and HTTPS.
func (n *Node) bind() error {
	n.secure = append(n.secure, n.cfg.HTTP.Handed...) // first: they are on the port that people need not type
	config := net.ListenConfig{KeepAliveConfig: keepAlive}
	for _, group := range []struct {
		key   string
		addrs []string
		into  *[]net.Listener
	}{{"http.listen", n.cfg.HTTP.Listen, &n.plain}, {"http.https", n.cfg.HTTP.HTTPS, &n.secure}} {
		for _, addr := range group.addrs {
			l, err := config.Listen(context.Background(), "tcp", addr)
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				return fmt.Errorf("%s is in use; stop the program that has it, or set %s", addr, group.key)
			case err != nil:
				return fmt.Errorf("listen on %s (%s): %w", addr, group.key, err)
			}
			*group.into = append(*group.into, l)
		}
	}
	return nil
}

// Addrs are the bound addresses.
func (n *Node) Addrs() (http, https []string) {
	texts := func(list []net.Listener) []string {
		all := []string{}
		for _, l := range list {
			all = append(all, l.Addr().String())
		}
		return all
	}
	return texts(n.plain), texts(n.secure)
}

// URL is where boxes and people reach the cloud: as configured, else the first
// address for HTTPS, on an address of this machine where it listens on all.
func (n *Node) URL() string {
	if n.cfg.URL != "" {
		return trimSlash(n.cfg.URL)
	}
	at := netip.MustParseAddrPort(n.secure[0].Addr().String())
	host := at.Addr().Unmap().String()
	switch {
	case len(n.cfg.TLS.Names) > 0:
		host = n.cfg.TLS.Names[0]
	case at.Addr().IsUnspecified():
		host = ownHost()
	}
	if at.Port() == 443 {
		return "https://" + host
	}
	return "https://" + net.JoinHostPort(host, strconv.Itoa(int(at.Port())))
}

func trimSlash(url string) string {
	for len(url) > 0 && url[len(url)-1] == '/' {
		url = url[:len(url)-1]
	}
	return url
}

// ownHost is the address of this machine that others most likely reach.
func ownHost() string {
	found, err := net.InterfaceAddrs()
	if err != nil {
		return "localhost"
	}
	for _, a := range found {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && p.Addr().IsGlobalUnicast() {
			return p.Addr().String()
		}
	}
	return "localhost"
}

// routes is everything the node serves to the network by HTTPS.
func (n *Node) routes() http.Handler {
	mux := http.NewServeMux()
	joining := n.registrar.Handler()
	for _, path := range []string{wire.JoinPath, wire.RenewPath, wire.SelfPath} {
		mux.Handle(path, n.onceLoaded(joining))
	}
	for _, path := range []string{wire.TunnelPath, wire.FramesPath} {
		mux.Handle(path, n.onceLoaded(n.gateway))
	}
	for _, path := range []string{wire.BackupPath, wire.BackupPath + "/"} {
		mux.Handle(path, n.onceLoaded(n.backups))
	}
	for _, path := range []string{"/v1/", "/healthz", "/readyz", "/metrics"} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if d := n.dashboard.Load(); d != nil {
				d.Handler().ServeHTTP(w, r)
				return
			}
			starting(w)
		})
	}
	mux.Handle("/", webui.Dashboard(webui.Options{}))
	return mux
}

// onceLoaded holds back what needs the registry until it is there: an empty one
// would tell every box that nobody knows it.
func (n *Node) onceLoaded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-n.registry.Loaded():
			h.ServeHTTP(w, r)
		default:
			starting(w)
		}
	})
}

func starting(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "2")
	http.Error(w, "the node is starting: the broker is not there yet", http.StatusServiceUnavailable)
}

// plainRoutes is what is served in the clear: health, and the way to HTTPS;
// everything to this machine and to trusted proxies, which have TLS themselves.
func (n *Node) plainRoutes(whole http.Handler, trusted []netip.Prefix) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch at, err := netip.ParseAddrPort(r.RemoteAddr); {
		case r.URL.Path == "/healthz", r.URL.Path == "/readyz", err == nil && (at.Addr().Unmap().IsLoopback() || isTrusted(at.Addr(), trusted)):
			whole.ServeHTTP(w, r)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			http.Redirect(w, r, n.URL()+r.URL.RequestURI(), http.StatusPermanentRedirect)
		default:
			http.Error(w, "This port is for HTTPS; use "+n.URL(), http.StatusBadRequest)
		}
	})
}

// serve runs the HTTP servers until ctx is cancelled. The gateway closes its own
// sockets, which Shutdown does not know.
func (n *Node) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	run := func(l net.Listener, h http.Handler) {
		server := &http.Server{
			Handler: h, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
			ErrorLog: slog.NewLogLogger(n.part("http").Handler(), slog.LevelDebug),
		}
		g.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %v: %w", l.Addr(), err)
			}
			return nil
		})
		g.Go(func() error {
			<-ctx.Done()
			if d := n.dashboard.Load(); d != nil {
				_ = d.Close()
			}
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			if server.Shutdown(late) != nil {
				return server.Close()
			}
			return nil
		})
	}
	trusted, err := n.cfg.HTTP.proxies()
	if err != nil {
		return err
	}
	whole := behind(trusted, n.routes())
	for _, l := range n.secure {
		run(tls.NewListener(l, n.server.TLSConfig()), whole)
	}
	for _, l := range n.plain {
		run(l, n.plainRoutes(whole, trusted))
	}
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// Verified is what Verify has found, for the command line.
type Verified struct {
	Seq     uint64 `json:"seq"`     // of the stream
	Hash    string `json:"hash"`    // of this node's state at that message
	Streams string `json:"streams"` // of what the streams say
	Equal   bool   `json:"equal"`
	Whole   bool   `json:"whole"` // false: the node knows more than its streams, and only hours and totals were compared
}

// serveVerify reads the streams again and compares.
func (n *Node) serveVerify(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // it takes as long as it takes
	report, err := projector.Verify(r.Context(), n.broker.JetStream(), keys{n.registry}, n.projection, n.cfg.Data)
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": "verify", "message": err.Error()}})
		return
	}
	v := Verified{Seq: report.Seq, Equal: report.Equal(), Whole: report.Whole}
	v.Hash, v.Streams = fmt.Sprint(report.Node.Hash), fmt.Sprint(report.Streams.Hash)
	if !report.Whole {
		v.Hash, v.Streams = fmt.Sprint(report.Node.History), fmt.Sprint(report.Streams.History)
	}
	_ = json.NewEncoder(w).Encode(v)
}
