package turn

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"time"
)

// Config is the [turn] section. A zero field means its default.
type Config struct {
	// Listen are the addresses for STUN and TURN, each on UDP and TCP.
	// ":3478" stands for every unicast address of the box and loopback,
	// "0.0.0.0:3478" and "[::]:3478" for those of one family.
	Listen []string `toml:"listen"`
	// TLSListen are the addresses for TURN over TLS, written as in Listen.
	// "auto", the default, stands for port 5349 at the addresses of Listen
	// with port 3478, and for a free port at those with port 0. Without TLS
	// there are none, and with an empty list.
	TLSListen []string `toml:"tls_listen"`
	// RelayPorts is where relayed addresses are taken from.
	RelayPorts PortRange `toml:"relay_ports"`
	// AllowPeers are networks behind a router that callers may reach, on top
	// of the attached ones. See policy for what no entry can open.
	AllowPeers []PeerRule `toml:"allow_peers"`
	// DenyPeers wins over everything that would be allowed.
	DenyPeers []PeerRule `toml:"deny_peers"`
	// External are the addresses of NATs in front of the box.
	External []External `toml:"external"`
	// Interfaces are name patterns of the interfaces that are the site; empty:
	// all of them but IgnoreInterfaces. Loopback is served in any case.
	Interfaces []string `toml:"interfaces"`
	// IgnoreInterfaces are name patterns of interfaces that are no part of
	// the site: their networks are not reachable as peers, and a wildcard in
	// Listen leaves their addresses out. By default those of container and
	// virtual machine hosts; an empty list ignores none.
	IgnoreInterfaces []string `toml:"ignore_interfaces"`
	// Realm is the name of this relay in the credential exchange (RFC 8489 §9.2).
	Realm string `toml:"realm"`
	// Users are static users, beside the time-limited credentials.
	Users []User `toml:"users"`
	// SecretFiles hold secrets shared with application servers that make
	// time-limited credentials themselves: one in each, of 8 bytes or more. A
	// file that changes is read again within seconds.
	SecretFiles []string `toml:"secret_files"`
	// StrictExpiry ends calls with the credential that started them. By
	// default the owner of a live allocation may go on refreshing it.
	StrictExpiry bool `toml:"strict_expiry"`
	// StrictChannels refuses channel numbers above 0x4FFF, which RFC 8656 has
	// taken back. RFC 5766 let clients choose up to 0x7FFF, and some do: three
	// in four channels of the coturn tools before 4.17 are above. By default
	// they go on working.
	StrictChannels bool `toml:"strict_channels"`

	MaxAllocations          int `toml:"max_allocations"`            // of the whole relay
	MaxAllocationsPerUser   int `toml:"max_allocations_per_user"`   // a user is the subject of a credential
	MaxAllocationsPerSource int `toml:"max_allocations_per_source"` // a source is an address, or a /64 of IPv6
	MaxPermissions          int `toml:"max_permissions"`            // of one allocation
	MaxPermissionsPerUser   int `toml:"max_permissions_per_user"`
	MaxPermissionsPerSource int `toml:"max_permissions_per_source"`
	MaxPermissionsTotal     int `toml:"max_permissions_total"`
	MaxChannels             int `toml:"max_channels"` // of one allocation
	MaxChannelsPerUser      int `toml:"max_channels_per_user"`
	MaxChannelsPerSource    int `toml:"max_channels_per_source"`
	MaxChannelsTotal        int `toml:"max_channels_total"`
	MaxConns                int `toml:"max_conns"`            // open TCP connections
	MaxConnsPerSource       int `toml:"max_conns_per_source"` // of them from one address
	// MaxHandshakes is how many connections at once may not have said yet what
	// they are for, on the ports for TLS and those of Share: half a handshake
	// costs about 60 KB. More of them wait. Of one source, more are closed:
	// enough for all devices behind a router that come back at the same moment.
	MaxHandshakes          int `toml:"max_handshakes"`
	MaxHandshakesPerSource int `toml:"max_handshakes_per_source"`
	// MaxChallenges is how many unauthenticated requests over UDP are answered
	// per second and source address. The source of such a request may be
	// forged, and the answer is larger than the request.
	MaxChallenges int `toml:"max_challenges"`

	// QuotaPeriod is how long the bytes of the limits below are for. Periods
	// follow each other from the start of the relay.
	QuotaPeriod time.Duration `toml:"quota_period"`
	// Bytes are payload in both directions; a packet between two callers counts
	// for both. 0 is no limit, for bytes and for bit rates.
	MaxUserBytes            int64   `toml:"max_bytes_per_user"`
	MaxSourceBytes          int64   `toml:"max_bytes_per_source"`
	MaxTotalBytes           int64   `toml:"max_bytes_total"`
	MaxBitRatePerAllocation BitRate `toml:"max_bit_rate_per_allocation"`
	MaxBitRatePerUser       BitRate `toml:"max_bit_rate_per_user"`
	MaxBitRatePerSource     BitRate `toml:"max_bit_rate_per_source"`
	MaxBitRateTotal         BitRate `toml:"max_bit_rate_total"`

	// TLS has the certificate for TLSListen; GetCertificate may change it at
	// any time. The protocols to negotiate are the relay's own affair.
	TLS    *tls.Config  `toml:"-" json:"-"` // nil: no TLS
	Logger *slog.Logger `toml:"-" json:"-"` // nil: discard
}

// Default is the configuration of an empty [turn] section.
func Default() Config {
	return Config{
		Listen:                  []string{":3478"},
		TLSListen:               []string{autoTLS},
		RelayPorts:              defaultRelayPorts,
		IgnoreInterfaces:        containerInterfaces(),
		Realm:                   "signalbox",
		MaxAllocations:          4096,
		MaxAllocationsPerUser:   64,
		MaxAllocationsPerSource: 1024,
		MaxPermissions:          64,
		MaxPermissionsPerUser:   1024,
		MaxPermissionsPerSource: 8192,
		MaxPermissionsTotal:     65536,
		MaxChannels:             64,
		MaxChannelsPerUser:      1024,
		MaxChannelsPerSource:    8192,
		MaxChannelsTotal:        65536,
		MaxConns:                4096,
		MaxConnsPerSource:       512,
		MaxHandshakes:           384,
		MaxHandshakesPerSource:  256,
		MaxChallenges:           100,
		QuotaPeriod:             24 * time.Hour,
	}
}

// containerInterfaces are the bridges that Docker, Podman, libvirt, LXD and
// Kubernetes make on a host. Docker names its own networks br- and twelve
// hexadecimal digits; an OpenWrt br-lan is a real network.
func containerInterfaces() []string {
	return []string{
		"docker*", "br-" + strings.Repeat("[0-9a-f]", 12), "podman*", "cni*",
		"virbr*", "lxcbr*", "lxdbr*", "flannel*", "cali*", "kube-*",
	}
}

// lastChannel is the highest channel number that may be bound.
func (c Config) lastChannel() uint16 {
	if c.StrictChannels {
		return maxChannel
	}
	return maxLegacyChannel
}

func (c Config) withDefaults() Config {
	d := Default()
	if len(c.Listen) == 0 {
		c.Listen = d.Listen
	}
	if c.TLSListen == nil {
		c.TLSListen = d.TLSListen
	}
	if c.RelayPorts == (PortRange{}) {
		c.RelayPorts = d.RelayPorts
	}
	if c.IgnoreInterfaces == nil {
		c.IgnoreInterfaces = d.IgnoreInterfaces
	}
	if c.Realm == "" {
		c.Realm = d.Realm
	}
	for _, n := range []struct{ field, byDefault *int }{
		{&c.MaxAllocations, &d.MaxAllocations},
		{&c.MaxAllocationsPerUser, &d.MaxAllocationsPerUser},
		{&c.MaxAllocationsPerSource, &d.MaxAllocationsPerSource},
		{&c.MaxPermissions, &d.MaxPermissions},
		{&c.MaxPermissionsPerUser, &d.MaxPermissionsPerUser},
		{&c.MaxPermissionsPerSource, &d.MaxPermissionsPerSource},
		{&c.MaxPermissionsTotal, &d.MaxPermissionsTotal},
		{&c.MaxChannels, &d.MaxChannels},
		{&c.MaxChannelsPerUser, &d.MaxChannelsPerUser},
		{&c.MaxChannelsPerSource, &d.MaxChannelsPerSource},
		{&c.MaxChannelsTotal, &d.MaxChannelsTotal},
		{&c.MaxConns, &d.MaxConns},
		{&c.MaxConnsPerSource, &d.MaxConnsPerSource},
		{&c.MaxHandshakes, &d.MaxHandshakes},
		{&c.MaxHandshakesPerSource, &d.MaxHandshakesPerSource},
		{&c.MaxChallenges, &d.MaxChallenges},
	} {
		if *n.field == 0 {
			*n.field = *n.byDefault
		}
	}
	if c.QuotaPeriod == 0 {
		c.QuotaPeriod = d.QuotaPeriod
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
