package api

import "time"

// Summary is what anyone on the network may know about a box.
type Summary struct {
	ID      string `json:"id"`
	Site    string `json:"site"`
	Version string `json:"version"`
	// Ready is false while a part the box cannot live without is down.
	Ready bool `json:"ready"`
	// SetupNeeded is true until the box has an administrator.
	SetupNeeded bool `json:"setup_needed"`
}

// Status is the whole state of a box, for administrators.
type Status struct {
	Summary
	Started       time.Time `json:"started"`
	UptimeSeconds int64     `json:"uptime_s"`
	// HTTP and HTTPS are the addresses the box listens on.
	HTTP  []string `json:"http"`
	HTTPS []string `json:"https"`

	Sessions int `json:"sessions"`
	Conns    int `json:"conns"`
	Rooms    int `json:"rooms"`
	Members  int `json:"members"`

	Signaling SignalingStatus `json:"signaling"`
	Relay     RelayStatus     `json:"relay"`
	Discovery DiscoveryStatus `json:"discovery"`
	Store     StoreStatus     `json:"store"`
	Config    ConfigStatus    `json:"config"`
	Upstream  UpstreamStatus  `json:"upstream"`
	Parts     []Part          `json:"parts"`
}

// ConfigStatus is what became of the configuration since the box started.
type ConfigStatus struct {
	// Reloaded is when it was last read again; missing when it was not.
	Reloaded *time.Time `json:"reloaded,omitempty"`
	// Problem says why the configuration as it was then is not in force.
	Problem string `json:"problem,omitempty"`
	// Restart lists the keys whose new values wait for a restart.
	Restart []string `json:"restart"`
}

// SignalingStatus counts since the box started, but for Suspended.
type SignalingStatus struct {
	// Suspended is how many of the sessions have no connection and may resume.
	Suspended int `json:"suspended"`
	// Frames counts what clients sent, by type.
	Frames  map[string]uint64 `json:"frames"`
	BytesIn uint64            `json:"bytes_in"`
	// Resumed is how many cut connections came back with nothing lost.
	Resumed uint64 `json:"resumed"`
	// ResumeFailed is how many came back to a session that could not go on.
	ResumeFailed uint64 `json:"resume_failed"`
	// Expired is how many suspended sessions did not come back in time.
	Expired uint64 `json:"expired"`
	// Refused counts frames refused with an error, by its code.
	Refused map[string]uint64 `json:"refused"`
	// Closed counts the connections the box closed, by close code.
	Closed map[string]uint64 `json:"closed"`
	// Dropped counts frames and connections given up, by reason.
	Dropped map[string]uint64 `json:"dropped"`
}

// RelayStatus is the state of the TURN relay; the counters are since its start.
type RelayStatus struct {
	Enabled bool `json:"enabled"`
	// UDP and TCP are the addresses the relay listens on.
	UDP []string `json:"udp"`
	TCP []string `json:"tcp"`
	// TLS are addresses that are for TURN alone; those for HTTPS carry it too.
	TLS []string `json:"tls"`
	// RelayPorts is the range allocations get their ports from.
	RelayPorts string `json:"relay_ports"`
	// Allocations is how many there are now.
	Allocations int `json:"allocations"`
	// Users is how many subjects have an allocation now.
	Users int `json:"users"`
	// Conns is how many clients are connected over TCP or TLS.
	Conns int `json:"conns"`
	// Draining is true while no new allocations are made, Stopping when the box
	// stops as soon as the last one has ended.
	Draining bool `json:"draining"`
	Stopping bool `json:"stopping"`
	// RefusedDraining is how many Allocates were refused because of that.
	RefusedDraining uint64 `json:"refused_draining"`
	// Overflowed is how many datagrams found the buffer of a UDP socket full.
	Overflowed uint64 `json:"overflowed"`
	// Packets and Bytes are what was relayed, both directions together.
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
	// Refused counts error responses, by STUN error code.
	Refused map[string]uint64 `json:"refused"`
	// Dropped counts messages and datagrams that were not passed on, by reason.
	Dropped map[string]uint64 `json:"dropped"`
}

// DiscoveryStatus is the state of the mDNS announcement.
type DiscoveryStatus struct {
	Enabled bool `json:"enabled"`
	// Announced is true when the box can be found on one interface at least.
	Announced bool `json:"announced"`
	// Reason says why it is not announced anywhere.
	Reason string `json:"reason,omitempty"`
	// Instance is the name devices see, Host the one browsers open.
	Instance   string               `json:"instance"`
	Host       string               `json:"host"`
	Interfaces []DiscoveryInterface `json:"interfaces"`
}

// DiscoveryInterface is one network interface of the box.
type DiscoveryInterface struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"`
	Announced bool     `json:"announced"`
	// Reason says why the box is not announced here.
	Reason string `json:"reason,omitempty"`
}

// StoreStatus is the state of the box's file.
type StoreStatus struct {
	Path     string `json:"path"`
	Bytes    int64  `json:"bytes"`
	MaxBytes int64  `json:"max_bytes"`
	// Recovery says what had to be done to open the file; empty when nothing.
	Recovery string `json:"recovery,omitempty"`
	// WrittenBytes is what the box has had written to its disk since it started,
	// WrittenPerDay the same for a day at that pace.
	WrittenBytes  int64 `json:"written_bytes"`
	WrittenPerDay int64 `json:"written_per_day"`
	// LastBackup is missing before the first scheduled backup.
	LastBackup *time.Time `json:"last_backup,omitempty"`
}

// UpstreamStatus is the box's link to the cloud.
type UpstreamStatus struct {
	// Joined is true once `signalbox join` has made the box one of a site.
	Joined bool   `json:"joined"`
	Site   string `json:"site,omitempty"`
	// URL is the address that is in use, or is tried.
	URL       string `json:"url,omitempty"`
	Connected bool   `json:"connected"`
	// Way is websocket, or post where no WebSocket comes through.
	Way string `json:"way,omitempty"`
	// Since is since when it is connected, or is not.
	Since *time.Time `json:"since,omitempty"`
	// QueueFrames is how many reports the cloud does not have yet.
	QueueFrames uint64 `json:"queue_frames"`
	// QueueBytes is what all that are kept take on disk, of QueueMaxBytes.
	QueueBytes    int64 `json:"queue_bytes"`
	QueueMaxBytes int64 `json:"queue_max_bytes"`
	// Newest numbers the newest report, Applied the newest that the cloud has.
	Newest        uint64 `json:"newest"`
	Applied       uint64 `json:"applied"`
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`
	// Level is how much leaves the site: minimal, default or named.
	Level string `json:"level"`
	// Policy is the revision of the cloud's policy in force, 0 for none, and
	// PolicyFault why a newer one is not.
	Policy      uint64 `json:"policy"`
	PolicyFault string `json:"policy_fault,omitempty"`
	// CertificateEnd is when the box's certificate ends; it is renewed before.
	CertificateEnd *time.Time `json:"certificate_end,omitempty"`
	// Backup is the copy of the box's state that the cloud keeps.
	Backup CloudBackup `json:"backup"`
	// Fault says what is wrong and what to do.
	Fault   string     `json:"fault,omitempty"`
	FaultAt *time.Time `json:"fault_at,omitempty"`
}

// CloudBackup is the sealed copy of the box's state at the cloud.
type CloudBackup struct {
	// On is true when the box brings its backups there: it has joined a site, and
	// upstream.backup is not turned off.
	On bool `json:"on"`
	// At is when the cloud got the newest; missing before the first.
	At *time.Time `json:"at,omitempty"`
	// Bytes is its size.
	Bytes int64 `json:"bytes,omitempty"`
	// Fault says why a newer one is not there, and what to do.
	Fault string `json:"fault,omitempty"`
}

// Part is the health of one part of the box.
type Part struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Required parts decide whether the box is ready; the site can live without
	// the others.
	Required bool `json:"required"`
	// Reason says what is wrong and what to do, for a part that is not OK.
	Reason string `json:"reason,omitempty"`
}

// Health is the body of /healthz and /readyz.
type Health struct {
	OK bool `json:"ok"`
	// Parts is there on /readyz.
	Parts []Part `json:"parts,omitempty"`
}

// WellKnown is the discovery document at /.well-known/signalbox. It holds what
// a client needs to start and no secret.
type WellKnown struct {
	ID      string `json:"id"`
	Site    string `json:"site"`
	Version string `json:"version"`
	// Signal maps each signaling dialect to the path of its WebSocket.
	Signal map[string]string `json:"signal"`
	// API is the path of the OpenAPI document.
	API string `json:"api"`
	// HTTP, HTTPS and TURN are port numbers; 0 when not served.
	HTTP    int `json:"http"`
	HTTPS   int `json:"https"`
	TURNUDP int `json:"turn_udp"`
	TURNTCP int `json:"turn_tcp"`
	// TURNTLS is the relay's own port for TLS, or without one that of HTTPS,
	// which carries TURN in any case.
	TURNTLS int `json:"turn_tls"`
	// Fingerprint is the SHA-256 of the box's own root certificate in hex, to
	// compare with what its screen or label shows; empty without one.
	Fingerprint string `json:"fingerprint"`
}
