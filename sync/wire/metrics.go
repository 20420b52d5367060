package wire

// MetricID names a metric in a frame. The numbers are part of the wire format:
// they are never given to another meaning.
type MetricID = uint32

// Kind says how values of a metric grow together.
type Kind uint8

const (
	Counter      Kind = iota // a total since the incarnation began
	Level                    // a value of the moment
	Distribution             // DDSketch, relative accuracy 1 %
	Set                      // HyperLogLog, p = 12, of keyed hashes
)

// Metric is what is known about an id.
type Metric struct {
	ID    MetricID
	Name  string
	Kind  Kind
	Group string
}

const (
	SessionsOpened          MetricID = 1
	SessionsResumed         MetricID = 2
	SessionsResumeRefused   MetricID = 3
	SessionsExpired         MetricID = 4
	SessionsClosedByBox     MetricID = 5
	RoomsCreated            MetricID = 20
	RoomsClosed             MetricID = 21
	SignalingOffers         MetricID = 30
	SignalingAnswers        MetricID = 31
	SignalingCandidates     MetricID = 32
	SignalingFrames         MetricID = 33
	SignalingBytes          MetricID = 34
	SignalingRefused        MetricID = 35
	SignalingRepeated       MetricID = 36
	SignalingDropped        MetricID = 37
	RelayAllocationsMade    MetricID = 50
	RelayPackets            MetricID = 51
	RelayBytesToPeers       MetricID = 52
	RelayBytesToClients     MetricID = 53
	RelayRefusedAuth        MetricID = 54
	RelayRefusedQuota       MetricID = 55
	RelayRefusedPolicy      MetricID = 56
	RelayRefusedCapacity    MetricID = 57
	RelayRefusedOther       MetricID = 58
	RelayDropped            MetricID = 59
	BoxStarts               MetricID = 70
	StoreWrittenBytes       MetricID = 71
	UpstreamSentBytes       MetricID = 72
	UpstreamReceivedBytes   MetricID = 73
	UpstreamConnects        MetricID = 74
	UpstreamMergedFrames    MetricID = 75
	UpstreamLostChanges     MetricID = 76
	AlertsRaised            MetricID = 77
	SessionsOnline          MetricID = 100
	SessionsSuspended       MetricID = 101
	RoomsOpen               MetricID = 110
	RoomsMembers            MetricID = 111
	RelayAllocations        MetricID = 120
	RelayBits               MetricID = 121
	RelayLimitBits          MetricID = 122
	BoxUptimeS              MetricID = 130
	BoxCPUPermille          MetricID = 131
	BoxRSSBytes             MetricID = 132
	BoxMemoryLimitBytes     MetricID = 133
	BoxDiskFreeBytes        MetricID = 134
	BoxDiskTotalBytes       MetricID = 135
	BoxFDs                  MetricID = 136
	BoxFDLimit              MetricID = 137
	BoxTemperatureMc        MetricID = 138
	BoxClockSkewMs          MetricID = 139
	UpstreamQueueFrames     MetricID = 140
	UpstreamQueueBytes      MetricID = 141
	UpstreamQueueLimitBytes MetricID = 142
	StoreBytes              MetricID = 143
	StoreLimitBytes         MetricID = 144
	BoxUnhealthyParts       MetricID = 145
	SessionsLimit           MetricID = 146
	StoreCloudBackupMs      MetricID = 147 // Unix time at which the cloud got the newest backup
	QualityJoinMs           MetricID = 200
	QualityConnectMs        MetricID = 201
	QualityRTTMs            MetricID = 202
	DevicesUnique           MetricID = 210
)

// Metrics are all there are, by ascending id. A cloud older than the box keeps
// ids that it does not know, under no name.
var Metrics = []Metric{
	{SessionsOpened, "sessions.opened", Counter, "sessions"},
	{SessionsResumed, "sessions.resumed", Counter, "sessions"},
	{SessionsResumeRefused, "sessions.resume_refused", Counter, "sessions"},
	{SessionsExpired, "sessions.expired", Counter, "sessions"},
	{SessionsClosedByBox, "sessions.closed_by_box", Counter, "sessions"},
	{RoomsCreated, "rooms.created", Counter, "rooms"},
	{RoomsClosed, "rooms.closed", Counter, "rooms"},
	{SignalingOffers, "signaling.offers", Counter, "signaling"},
	{SignalingAnswers, "signaling.answers", Counter, "signaling"},
	{SignalingCandidates, "signaling.candidates", Counter, "signaling"},
	{SignalingFrames, "signaling.frames", Counter, "signaling"},
	{SignalingBytes, "signaling.bytes", Counter, "signaling"},
	{SignalingRefused, "signaling.refused", Counter, "signaling"},
	{SignalingRepeated, "signaling.repeated", Counter, "signaling"},
	{SignalingDropped, "signaling.dropped", Counter, "signaling"},
	{RelayAllocationsMade, "relay.allocations_made", Counter, "relay"},
	{RelayPackets, "relay.packets", Counter, "relay"},
	{RelayBytesToPeers, "relay.bytes_to_peers", Counter, "relay"},
	{RelayBytesToClients, "relay.bytes_to_clients", Counter, "relay"},
	{RelayRefusedAuth, "relay.refused_auth", Counter, "relay"},
	{RelayRefusedQuota, "relay.refused_quota", Counter, "relay"},
	{RelayRefusedPolicy, "relay.refused_policy", Counter, "relay"},
	{RelayRefusedCapacity, "relay.refused_capacity", Counter, "relay"},
	{RelayRefusedOther, "relay.refused_other", Counter, "relay"},
	{RelayDropped, "relay.dropped", Counter, "relay"},
	{BoxStarts, "box.starts", Counter, "box"},
	{StoreWrittenBytes, "store.written_bytes", Counter, "box"},
	{UpstreamSentBytes, "upstream.sent_bytes", Counter, "box"},
	{UpstreamReceivedBytes, "upstream.received_bytes", Counter, "box"},
	{UpstreamConnects, "upstream.connects", Counter, "box"},
	{UpstreamMergedFrames, "upstream.merged_frames", Counter, "box"},
	{UpstreamLostChanges, "upstream.lost_changes", Counter, "box"},
	{AlertsRaised, "alerts.raised", Counter, "box"},
	{SessionsOnline, "sessions.online", Level, "sessions"},
	{SessionsSuspended, "sessions.suspended", Level, "sessions"},
	{RoomsOpen, "rooms.open", Level, "rooms"},
	{RoomsMembers, "rooms.members", Level, "rooms"},
	{RelayAllocations, "relay.allocations", Level, "relay"},
	{RelayBits, "relay.bps", Level, "relay"},
	{RelayLimitBits, "relay.limit_bps", Level, "relay"},
	{BoxUptimeS, "box.uptime_s", Level, "box"},
	{BoxCPUPermille, "box.cpu_permille", Level, "box"},
	{BoxRSSBytes, "box.rss_bytes", Level, "box"},
	{BoxMemoryLimitBytes, "box.memory_limit_bytes", Level, "box"},
	{BoxDiskFreeBytes, "box.disk_free_bytes", Level, "box"},
	{BoxDiskTotalBytes, "box.disk_total_bytes", Level, "box"},
	{BoxFDs, "box.fds", Level, "box"},
	{BoxFDLimit, "box.fd_limit", Level, "box"},
	{BoxTemperatureMc, "box.temperature_mc", Level, "box"},
	{BoxClockSkewMs, "box.clock_skew_ms", Level, "box"},
	{UpstreamQueueFrames, "upstream.queue_frames", Level, "box"},
	{UpstreamQueueBytes, "upstream.queue_bytes", Level, "box"},
	{UpstreamQueueLimitBytes, "upstream.queue_limit_bytes", Level, "box"},
	{StoreBytes, "store.bytes", Level, "box"},
	{StoreLimitBytes, "store.limit_bytes", Level, "box"},
	{BoxUnhealthyParts, "box.unhealthy_parts", Level, "box"},
	{SessionsLimit, "sessions.limit", Level, "sessions"},
	{StoreCloudBackupMs, "store.cloud_backup_ms", Level, "box"},
	{QualityJoinMs, "quality.join_ms", Distribution, "quality"},
	{QualityConnectMs, "quality.connect_ms", Distribution, "quality"},
	{QualityRTTMs, "quality.rtt_ms", Distribution, "quality"},
	{DevicesUnique, "devices.unique", Set, "devices"},
}

// kinds is Metrics by id.
var kinds = func() map[MetricID]Kind {
	m := make(map[MetricID]Kind, len(Metrics))
	for _, metric := range Metrics {
		m[metric.ID] = metric.Kind
	}
	return m
}()

var kindNames = map[Kind]string{Counter: "counter", Level: "level", Distribution: "distribution", Set: "set"}

// String is the kind's name.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return "unknown"
}

// Unknown is the kind of an id that is not among Metrics.
const Unknown Kind = 0xFF

// KindOf tells how values of id grow together.
func KindOf(id MetricID) Kind {
	if kind, ok := kinds[id]; ok {
		return kind
	}
	return Unknown
}
