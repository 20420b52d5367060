package appliance

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"signalbox/webui"
)

const (
	signalPath = "/v1/signal"
	rootPath   = "/trust/ca.crt"
	// JoinedPath, on the control socket alone, is where a box is told by POST that
	// its folder holds another identity for the cloud.
	JoinedPath = "/joined"
)

// Bounds of the HTTP servers.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	headerBytes   = 16 << 10
	stopTimeout   = 3 * time.Second
)

// site is one address on which the box serves HTTP or HTTPS.
type site struct {
	listener net.Listener
	secure   bool
}

// Names that a socket unit gives its sockets (FileDescriptorName).
const (
	handedHTTP  = "http"
	handedHTTPS = "https"
)

// bind opens the HTTP and HTTPS addresses, and puts the sockets of the service
// manager before them: those are on the ports that people need not type.
func (a *Appliance) bind(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(a.cfg.HTTP.Handed)) {
		if name != handedHTTP && name != handedHTTPS {
			return fmt.Errorf("the service manager has handed over a socket named %q, want FileDescriptorName=%s or %s in its unit", name, handedHTTP, handedHTTPS)
		}
		for _, l := range a.cfg.HTTP.Handed[name] {
			a.http = append(a.http, &site{listener: l, secure: name == handedHTTPS})
		}
	}
	var config net.ListenConfig
	for _, group := range []struct {
		key    string
		addrs  []string
		secure bool
	}{{"http.listen", a.cfg.HTTP.Listen, false}, {"http.https", a.cfg.HTTP.HTTPS, true}} {
		for _, addr := range group.addrs {
			if a.handed(addr) {
				continue
			}
			l, err := config.Listen(ctx, "tcp", addr)
			switch {
			case errors.Is(err, syscall.EADDRINUSE):
				return fmt.Errorf("%s is in use; stop the program that has it, or set %s", addr, group.key)
			case err != nil:
				return fmt.Errorf("listen on %s (%s): %w", addr, group.key, err)
			}
			a.http = append(a.http, &site{listener: l, secure: group.secure})
		}
	}
	if len(a.http) == 0 {
		return errors.New("http.listen and http.https are both empty; nobody could reach the box")
	}
	return nil
}

// handed reports whether a socket of the service manager takes what comes to
// addr: one for every address of the box takes its port as a whole.
func (a *Appliance) handed(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return false
	}
	for _, listeners := range a.cfg.HTTP.Handed {
		for _, l := range listeners {
			at, err := netip.ParseAddrPort(l.Addr().String())
			if err != nil || strconv.Itoa(int(at.Port())) != port {
				continue
			}
			if own, err := netip.ParseAddr(host); at.Addr().IsUnspecified() || err == nil && own == at.Addr() {
				return true
			}
		}
	}
	return false
}

// routes is everything the box serves to the network.
func (a *Appliance) routes() http.Handler {
	mux := http.NewServeMux()
	served := a.api.Handler()
	for _, path := range []string{"/v1/", "/healthz", "/readyz", "/metrics", "/.well-known/signalbox"} {
		mux.Handle(path, served)
	}
	mux.Handle(signalPath, a.signaling)
	mux.HandleFunc("GET "+rootPath, a.serveRoot)
	mux.Handle("/", webui.Handler(webui.Options{}))
	return mux
}

// serveRoot hands out the certificate that devices install to trust the box.
// It is public, and worth nothing without the fingerprint from another source.
func (a *Appliance) serveRoot(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-x509-ca-cert")
	w.Header().Set("Content-Disposition", `attachment; filename="signalbox-ca.crt"`)
	_, _ = w.Write(a.trust.RootPEM())
}

// lookJoined is for `signalbox join`, which works in its own process.
func (a *Appliance) lookJoined(w http.ResponseWriter, _ *http.Request) {
	a.upstream.Look()
	w.WriteHeader(http.StatusNoContent)
}

// secureOnly serves what came by TLS. Whoever asks a port for HTTPS in the clear
// for something to look at is sent to it by HTTPS.
func secureOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		looks := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == ""
		switch {
		case r.TLS != nil:
			h.ServeHTTP(w, r)
		case looks && r.Host != "":
			http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusPermanentRedirect)
		default:
			http.Error(w, "This port is for HTTPS; use https or wss in the URL.", http.StatusBadRequest)
		}
	})
}

// serve runs the HTTP servers until ctx is cancelled. Signaling closes its own
// sockets, which Shutdown does not know.
func (a *Appliance) serve(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	var guests newcomers
	var doors []*door
	note := func(conn net.Conn, state http.ConnState) {
		guests.note(conn, state)
		a.crowd.note(conn, state)
	}
	run := func(l net.Listener, h http.Handler) {
		server := &http.Server{
			ConnState: note, ConnContext: introduce, Handler: a.crowd.attend(h), ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headerBytes,
			ErrorLog: slog.NewLogLogger(a.part("http").Handler(), slog.LevelDebug), // broken handshakes of strangers
		}
		g.Go(func() error {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve %v: %w", l.Addr(), err)
			}
			return nil
		})
		g.Go(func() error {
			<-a.settled
			late, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
			defer cancel()
			if server.Shutdown(late) != nil {
				return server.Close()
			}
			return nil
		})
	}
	for _, s := range a.http {
		d := newDoor(s.listener, &a.crowd)
		doors = append(doors, d)
		if s.secure { // one open port is enough for pages, signaling and the relay
			run(a.relay.Share(d, a.trust.TLSConfig()), secureOnly(a.handler))
		} else {
			run(d, a.handler)
		}
	}
	g.Go(func() error {
		<-ctx.Done()
		_ = a.api.Close()
		for _, d := range doors {
			d.stop()
		}
		guests.settle()
		close(a.settled)
		return nil
	})
	own := http.NewServeMux()
	own.HandleFunc("GET "+rootPath, a.serveRoot)
	own.HandleFunc("POST "+JoinedPath, a.lookJoined)
	own.Handle("/", a.api.Control())
	run(a.control, own)
	if err := g.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}
