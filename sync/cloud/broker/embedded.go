package broker

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"signalbox/sync/wire"
)

// embedded is a nats-server in this process. It listens on no port: connections
// are pipes of InProcessConn.
type embedded struct {
	server  *server.Server
	log     *serverLog
	started atomic.Bool
}

// pingEvery is longer than the 150 s after which a silent box pings: a ping of the
// broker's own as well would cost an idle box 75 KB a day.
const pingEvery = 200 * time.Second

// cloudUser is the user of the cloud itself.
const cloudUser = "cloud"

// errNotStarted is returned to connections before Run and after it.
var errNotStarted = errors.New("the embedded broker does not run")

func newEmbedded(cfg *Config, secret string) (*embedded, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	opts := &server.Options{
		ServerName: "signalbox",
		// No port of any kind: what a box may say passes the gateway first.
		DontListen:         true,
		NoSigs:             true,
		NoLog:              true, // it gets ours below
		MaxPayload:         wire.MaxPayloadBytes,
		AuthTimeout:        5,
		PingInterval:       pingEvery,
		WriteDeadline:      10 * time.Second,
		JetStream:          true,
		StoreDir:           cfg.Dir,
		SyncAlways:         true, // an answer means that it is on the disk
		JetStreamMaxMemory: cfg.MemoryBytes,
		// Every stream has a size of its own. A limit of the whole would stand in
		// the way of changing one: the old size is counted beside the new.
		JetStreamMaxStore:      1 << 50,
		DisableJetStreamBanner: true,
		MaxClosedClients:       100,
	}
	e := &embedded{log: newServerLog(cfg.Logger)}
	opts.CustomClientAuthentication = &authenticator{key: cfg.SessionKey, secret: secret}
	var err error
	if e.server, err = server.NewServer(opts); err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	e.server.SetLoggerV2(e.log, false, false, false)
	return e, nil
}

// start returns when the server takes connections; with a large store that
// takes a while.
func (e *embedded) start() error {
	e.server.Start()
	var err error
	select {
	case err = <-e.log.fatal: // it goes on without what failed, and would never be ready
	default:
		if !e.server.ReadyForConnections(startTimeout) || !e.server.JetStreamEnabled() {
			err = errors.New("it is not ready after " + startTimeout.String())
		}
	}
	if err != nil {
		return fmt.Errorf("embedded nats-server in %s: %w", e.server.StoreDir(), err)
	}
	e.started.Store(true)
	return nil
}

func (e *embedded) stop() {
	e.started.Store(false)
	e.server.Shutdown()
	e.server.WaitForShutdown()
}

// InProcessConn is what nats.go asks for a connection.
func (e *embedded) InProcessConn() (net.Conn, error) {
	if !e.started.Load() {
		return nil, errNotStarted
	}
	return e.server.InProcessConn()
}

// authenticator tells the cloud, which knows the secret, from boxes, which have
// a session name.
type authenticator struct {
	key    []byte
	secret string
}

// Check implements server.Authentication.
func (a *authenticator) Check(c server.ClientAuthentication) bool {
	if c.Kind() != server.CLIENT {
		return false
	}
	opts := c.GetOpts()
	if subtle.ConstantTimeCompare([]byte(opts.Password), []byte(a.secret)) == 1 && opts.Username == cloudUser {
		c.RegisterUser(&server.User{Username: cloudUser})
		return true
	}
	box, until, err := parseSession(a.key, opts.Username, time.Now())
	if err != nil {
		return false
	}
	r := rightsOf(box)
	c.RegisterUser(&server.User{
		Username: box.String(), // what its log and monitoring call it, instead of the session name
		Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: r.publish},
			Subscribe: &server.SubjectPermission{Allow: r.subscribe},
		},
		ConnectionDeadline: until,
	})
	return true
}

func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
