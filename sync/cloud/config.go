// Package cloud is a node of the central side: it lets boxes in, keeps what they
// tell in streams, makes the state of all sites out of it, and serves the
// dashboard. The parts are packages below this one; here they are put together.
package cloud

import (
	"log/slog"
	"net"

	"signalbox/sync/cloud/people"
	"signalbox/sync/wire"
)

// Config is the configuration of a node.
type Config struct {
	Data string            `toml:"data"` // the folder of the node's state
	Name string            `toml:"name"` // what other nodes and logs call it; the host's name if empty
	URL  string            `toml:"url"`  // where boxes and people reach the cloud; made from http.https if empty
	HTTP HTTP              `toml:"http"`
	TLS  TLS               `toml:"tls"`
	NATS NATS              `toml:"nats"`
	OIDC people.OIDCConfig `toml:"oidc"`
	// Domain is the trust domain of the SPIFFE ids of boxes. It takes effect
	// when the authority is made, at the first start.
	Domain string `toml:"domain"`
	Tenant string `toml:"tenant"`

	Logger  *slog.Logger `toml:"-"`
	Version string       `toml:"-"` // the running program's
	Speed   int          `toml:"-"` // missing frames are asked for so many times sooner, for tests; 0 is 1
}

// HTTP is the [http] section: addresses to listen on. Port 0 takes a free one.
type HTTP struct {
	Listen []string `toml:"listen"` // pages in the clear: for a proxy in front, or this machine alone
	HTTPS  []string `toml:"https"`
	// TrustedProxies are addresses and prefixes of load balancers, whose
	// X-Forwarded-For says who a request is from.
	TrustedProxies []string `toml:"trusted_proxies"`

	// Handed are sockets for HTTPS that listen already, from the service
	// manager; they are served beside the addresses. The node closes them.
	Handed []net.Listener `toml:"-"`
}

// TLS is the [tls] section: a certificate of the operator's own for HTTPS.
type TLS struct {
	Cert  string   `toml:"cert"`
	Key   string   `toml:"key"`
	Names []string `toml:"names"` // that the node's own certificate is for, beside its addresses
}

// NATS is the [nats] section: an external cluster in place of the embedded
// server.
type NATS struct {
	URLs            []string `toml:"urls"`
	User            string   `toml:"user"`
	PasswordFile    string   `toml:"password_file"`
	CredsFile       string   `toml:"creds_file"`
	CAFile          string   `toml:"ca_file"`
	CertFile        string   `toml:"cert_file"`
	KeyFile         string   `toml:"key_file"`
	Account         string   `toml:"account"`
	CalloutFile     string   `toml:"callout_file"` // the seed of the account's signing key
	Replicas        int      `toml:"replicas"`
	FramesMaxBytes  int64    `toml:"frames_max"`
	RollupsMaxBytes int64    `toml:"rollups_max"`
	BackupsMaxBytes int64    `toml:"backups_max"` // sealed backups of all boxes
}

// Default is the configuration of a node that nobody has configured.
func Default() Config {
	return Config{
		Data:   "/var/lib/signalbox-cloud",
		HTTP:   HTTP{Listen: []string{":8090"}, HTTPS: []string{":8453"}},
		NATS:   NATS{FramesMaxBytes: 16 << 30, RollupsMaxBytes: 8 << 30, BackupsMaxBytes: 8 << 30},
		Domain: "signalbox.internal",
		Tenant: wire.DefaultTenant,
	}
}
