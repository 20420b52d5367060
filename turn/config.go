package turn

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"strings"
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
	AllowPeers []netip.Prefix `toml:"allow_peers"`
	// DenyPeers wins over everything that would be allowed.
	DenyPeers []netip.Prefix `toml:"deny_peers"`
	// External are the addresses of NATs in front of the box.
	External []External `toml:"external"`
	// IgnoreInterfaces are name patterns of interfaces that are no part of
	// the site: their networks are not reachable as peers, and a wildcard in
	// Listen leaves their addresses out. By default those of container and
	// virtual machine hosts; an empty list ignores none.
	IgnoreInterfaces []string `toml:"ignore_interfaces"`
	// Realm is the name of this relay in the credential exchange (RFC 8489 §9.2).
	Realm string `toml:"realm"`
	// StrictExpiry ends calls with the credential that started them. By
	// default the owner of a live allocation may go on refreshing it.
	StrictExpiry bool `toml:"strict_expiry"`
	// StrictChannels refuses channel numbers above 0x4FFF, which RFC 8656 has
	// taken back. RFC 5766 let clients choose up to 0x7FFF, and some do: three
	// in four channels of the coturn tools before 4.17 are above. By default
	// they go on working.
	StrictChannels bool `toml:"strict_channels"`

	MaxAllocations        int `toml:"max_allocations"`          // of the whole relay
	MaxAllocationsPerUser int `toml:"max_allocations_per_user"` // a user is the subject of a credential
	MaxPermissions        int `toml:"max_permissions"`          // of one allocation
	MaxChannels           int `toml:"max_channels"`             // of one allocation
	MaxConns              int `toml:"max_conns"`                // open TCP connections
	MaxConnsPerSource     int `toml:"max_conns_per_source"`     // of them from one address
	// MaxChallenges is how many unauthenticated requests over UDP are answered
	// per second and source address. The source of such a request may be
	// forged, and the answer is larger than the request.
	MaxChallenges int `toml:"max_challenges"`

	// TLS has the certificate for TLSListen; GetCertificate may change it at
	// any time. The protocols to negotiate are the relay's own affair.
	TLS    *tls.Config  `toml:"-"` // nil: no TLS
	Logger *slog.Logger `toml:"-"` // nil: discard
}

// Default is the configuration of an empty [turn] section.
func Default() Config {
	return Config{
		Listen:                []string{":3478"},
		TLSListen:             []string{autoTLS},
		RelayPorts:            defaultRelayPorts,
		IgnoreInterfaces:      containerInterfaces(),
		Realm:                 "signalbox",
		MaxAllocations:        4096,
		MaxAllocationsPerUser: 64,
		MaxPermissions:        64,
		MaxChannels:           64,
		MaxConns:              4096,
		MaxConnsPerSource:     512,
		MaxChallenges:         100,
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
		{&c.MaxPermissions, &d.MaxPermissions},
		{&c.MaxChannels, &d.MaxChannels},
		{&c.MaxConns, &d.MaxConns},
		{&c.MaxConnsPerSource, &d.MaxConnsPerSource},
		{&c.MaxChallenges, &d.MaxChallenges},
	} {
		if *n.field == 0 {
			*n.field = *n.byDefault
		}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
