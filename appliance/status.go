package appliance

import (
	"cmp"
	"net/netip"
	"strconv"
	"time"

	"signalbox/appliance/api"
	"signalbox/appliance/signaling"
)

// box is the appliance as the API sees it.
type box struct{ *Appliance }

// Status is everything the console shows, from memory.
func (b box) Status() api.Status {
	addrs, st, file := b.Addrs(), b.signaling.Stats(), b.store.Stats()
	status := api.Status{
		Summary: api.Summary{ID: b.store.BoxID(), Site: b.cfg.Site.Name, Version: b.cfg.Version},
		Started: b.started, HTTP: addrs.HTTP, HTTPS: addrs.HTTPS,
		Sessions: st.Sessions, Conns: st.Conns, Rooms: st.Rooms, Members: st.Members,
		Signaling: signalingStatus(st), Relay: b.relayStatus(), Discovery: b.discoveryStatus(), Upstream: b.upstreamStatus(),
		Config: b.reload.status(),
		Store: api.StoreStatus{
			Path: b.store.Path(), Bytes: file.FileBytes, MaxBytes: file.MaxBytes, Recovery: b.store.Recovery().String(),
		},
	}
	status.Store.WrittenBytes = b.written(file.WrittenBytes)
	status.Store.WrittenPerDay = perDay(status.Store.WrittenBytes, time.Since(b.started))
	if !file.LastBackup.IsZero() {
		status.Store.LastBackup = &file.LastBackup
	}
	return status
}

func signalingStatus(st signaling.Stats) api.SignalingStatus {
	closed := make(map[string]uint64, len(st.Closed))
	for code, n := range st.Closed {
		closed[strconv.Itoa(code)] = n
	}
	return api.SignalingStatus{
		Suspended: st.Suspended, Frames: st.Frames, BytesIn: st.BytesIn, Resumed: st.Resumed, ResumeFailed: st.ResumeFailed,
		Expired: st.Expired, Refused: st.Refused, Closed: closed, Dropped: st.Dropped,
	}
}

func (b box) relayStatus() api.RelayStatus {
	udp, tcp := b.relay.Addrs()
	st := b.relay.Stats()
	refused := make(map[string]uint64, len(st.Refused))
	for code, n := range st.Refused {
		refused[strconv.Itoa(code)] = n
	}
	return api.RelayStatus{
		Enabled: true, UDP: texts(udp), TCP: texts(tcp), TLS: texts(b.relay.TLSAddrs()), RelayPorts: b.cfg.Turn.RelayPorts.String(), Allocations: st.Allocations,
		Users: st.Users, Conns: st.Conns, Draining: st.Draining, Stopping: b.drain.stopping(), RefusedDraining: st.RefusedDraining, Overflowed: st.Overflowed,
		Packets: st.ToPeers.Packets + st.ToClients.Packets, Bytes: st.ToPeers.Bytes + st.ToClients.Bytes,
		Refused: refused, Dropped: st.Dropped,
	}
}

func texts(addrs []netip.AddrPort) []string {
	list := make([]string, 0, len(addrs))
	for _, a := range addrs {
		list = append(list, a.String())
	}
	return list
}

func (b box) discoveryStatus() api.DiscoveryStatus {
	if b.discovery == nil {
		return api.DiscoveryStatus{Reason: "discovery.enabled is false", Interfaces: []api.DiscoveryInterface{}}
	}
	st := b.discovery.Status()
	shown := api.DiscoveryStatus{Enabled: true, Instance: st.Instance, Host: st.Host, Interfaces: []api.DiscoveryInterface{}}
	for _, i := range st.Interfaces {
		addrs := make([]string, 0, len(i.Addrs))
		for _, a := range i.Addrs {
			addrs = append(addrs, a.String())
		}
		shown.Announced = shown.Announced || i.Announced
		shown.Interfaces = append(shown.Interfaces, api.DiscoveryInterface{Name: i.Name, Addresses: addrs, Announced: i.Announced, Reason: i.Reason})
	}
	if !shown.Announced {
		shown.Reason = "no interface of the box takes multicast yet; plug in a network or see the reasons of each interface"
	}
	return shown
}

// Parts is the health of every part.
func (b box) Parts() []api.Part {
	part := func(name string, required bool, reason string) api.Part {
		return api.Part{Name: name, OK: reason == "", Required: required, Reason: reason}
	}
	storeReason := ""
	if err := b.store.Check(); err != nil {
		storeReason = err.Error()
	}
	trustReason := ""
	if err := b.trust.Status().Err; err != nil {
		trustReason = err.Error()
	}
	signalingReason := ""
	if why := b.signaling.JournalBroken(); why != "" {
		signalingReason = "sessions are not kept on disk at present: " + why
	}
	discoveryReason := ""
	if d := b.discoveryStatus(); d.Enabled && !d.Announced {
		discoveryReason = d.Reason
	}
	relayReason := ""
	if udp, _ := b.relay.Addrs(); len(udp) == 0 {
		relayReason = "the relay listens on no address; see turn.listen"
	}
	configReason := ""
	if problem := b.reload.status().Problem; problem != "" {
		configReason = "the configuration was not reloaded, the one before stays in force: " + problem
	}
	return []api.Part{
		part("store", true, storeReason), part("signaling", true, signalingReason), part("relay", true, relayReason),
		part("https", false, trustReason), part("discovery", false, discoveryReason), part("configuration", false, configReason),
		part(upgradePart, false, b.verdict.String()), part("disk", false, b.inMemory), part("clock", false, b.clockReason(time.Now())),
		part(upstreamPart, false, b.upstreamReason()), part("cloud backup", false, b.cloudBackupReason(time.Now())),
	}
}

// WellKnown is what anybody may know about the box before trusting it.
func (b box) WellKnown() api.WellKnown {
	udp, tcp := b.relay.Addrs()
	first := func(list []netip.AddrPort) int {
		if len(list) == 0 {
			return 0
		}
		return int(list[0].Port())
	}
	w := api.WellKnown{
		ID: b.store.BoxID(), Site: b.cfg.Site.Name, Version: b.cfg.Version, Signal: map[string]string{signaling.Subprotocol: signalPath},
		API: "/v1/openapi.json", TURNUDP: first(udp), TURNTCP: first(tcp), TURNTLS: first(b.relay.TLSAddrs()), Fingerprint: b.trust.Fingerprint(),
	}
	for _, s := range b.http {
		port := int(netip.MustParseAddrPort(s.listener.Addr().String()).Port())
		if s.secure && w.HTTPS == 0 {
			w.HTTPS = port
		}
		if !s.secure && w.HTTP == 0 {
			w.HTTP = port
		}
	}
	w.TURNTLS = cmp.Or(w.TURNTLS, w.HTTPS)
	return w
}

// BaseURL is the address for links made on the box itself.
func (b box) BaseURL() string {
	if urls := b.BaseURLs(); len(urls) > 0 {
		return urls[0]
	}
	return ""
}

// Credential makes relay credentials whose URLs name the relay as it is
// reached at host.
func (b box) Credential(host, subject string, ttl time.Duration) (api.TURNCredential, error) {
	local, err := netip.ParseAddr(host)
	if err != nil { // a name, or the control socket
		local = netip.IPv6Unspecified()
		if addrs := ownAddrs(); len(addrs) > 0 {
			local = addrs[0]
		}
	}
	_, urls := b.relayURLs(local)
	c := b.relay.Credential(subject, ttl)
	return api.TURNCredential{URLs: urls, Username: c.Username, Credential: c.Password, Expires: c.Expires}, nil
}
