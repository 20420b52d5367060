package appliance

import (
	"signalbox/sync/upstream"
)

// The metrics of the link to the cloud. METRICS.md lists them. All are there
// before a box has joined, so that an alert rule does not miss them.
var (
	descUpJoined    = metric("upstream_joined", "1 once the box has joined a site of a cloud.")
	descUpConnected = metric("upstream_connected", "1 while there is a connection to the cloud, by the way it takes.", "way")
	descUpSince     = metric("upstream_since_seconds", "Unix time since when it is connected, or is not; 0 before the box has joined.")
	descUpQueue     = metric("upstream_queue_frames", "Reports that the cloud has not applied.")
	descUpBytes     = metric("upstream_queue_bytes", "Disk used by reports, with those kept in case the cloud loses them.")
	descUpLimit     = metric("upstream_queue_max_bytes", "The most that reports may take on disk; older ones are merged before.")
	descUpFrames    = metric("upstream_frames", "Sequence number of the newest report, and of the newest that the cloud has applied.", "state")
	descUpMerged    = metric("upstream_merged_frames", "Reports merged into coarser ones for want of room, since counting began.")
	descUpLost      = metric("upstream_lost_changes", "Changes left out of reports for want of room, since counting began.")
	descUpSent      = metric("upstream_bytes_total", "Bytes to and from the cloud, with TLS, by direction.", "direction")
	descUpWritten   = metric("upstream_written_bytes_total", "Bytes of reports written to disk.")
	descUpConnects  = metric("upstream_connects_total", "Connections to the cloud that were opened.")
	descUpCert      = metric("upstream_certificate_end_seconds", "Unix time at which the box's certificate ends; 0 before the box has joined.")
	descUpSkew      = metric("upstream_clock_skew_seconds", "How far the box's clock is ahead of the cloud's.")
	descUpPolicy    = metric("upstream_policy_revision", "Revision of the cloud's policy in force.")
	descUpBackup    = metric("upstream_backup_timestamp_seconds", "Unix time at which the cloud got the newest backup; 0 before the first.")
	descUpBackFault = metric("upstream_backup_fault", "1 while the newest backup is not at the cloud for a reason other than that there is no connection.")
	descUpFault     = metric("upstream_fault", "1 while something is wrong with the link; signalbox status says what.")
)

func (c collector) collectUpstream(gauge emit[float64], count emit[uint64]) {
	st := c.upstream.Status()
	gauge(descUpJoined, bit(st.Joined))
	for _, way := range upstream.Ways {
		gauge(descUpConnected, bit(st.Connected && st.Way == way), way)
	}
	since, end := 0.0, 0.0
	if st.Joined {
		since, end = float64(st.Since.Unix()), float64(st.CertEnd.Unix())
	}
	gauge(descUpSince, since)
	gauge(descUpCert, end)
	gauge(descUpQueue, float64(st.Queue))
	gauge(descUpBytes, float64(st.QueueBytes))
	gauge(descUpLimit, float64(st.LimitBytes))
	gauge(descUpFrames, float64(st.Newest), "made")
	gauge(descUpFrames, float64(st.Applied), "applied")
	gauge(descUpMerged, float64(st.Merged))
	gauge(descUpLost, float64(st.Lost))
	count(descUpSent, st.Sent, "sent")
	count(descUpSent, st.Received, "received")
	count(descUpWritten, st.Written)
	count(descUpConnects, st.Connects)
	gauge(descUpSkew, st.Skew.Seconds())
	gauge(descUpPolicy, float64(st.Policy))
	backup := 0.0
	if !st.BackupAt.IsZero() {
		backup = float64(st.BackupAt.Unix())
	}
	gauge(descUpBackup, backup)
	gauge(descUpBackFault, bit(st.BackupFault != ""))
	gauge(descUpFault, bit(st.Fault != ""))
}

func bit(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
