package cloud

import (
	"github.com/prometheus/client_golang/prometheus"
)

// collector shows what the node's parts count. Label values are fixed in code.
type collector struct{ *Node }

func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("signalbox_cloud_"+name, help, labels, nil)
}

var (
	descTunnels  = metric("tunnels", "Boxes' tunnels open at this node.")
	descRefused  = metric("gateway_refused_total", "Attempts of boxes to come in that were refused, by reason.", "reason")
	descClosed   = metric("tunnels_closed_total", "Tunnels that ended, by reason.", "reason")
	descPosts    = metric("posts_total", "Batches and questions of boxes without a tunnel that were answered.")
	descBytes    = metric("tunnel_bytes_total", "Bytes of tunnels and posts, without framing, by direction as boxes see it.", "direction")
	descGranted  = metric("callout_granted_total", "Sessions let in at an external NATS cluster by this node.")
	descDenied   = metric("callout_refused_total", "Sessions refused at an external NATS cluster by this node.")
	descApplied  = metric("projection_messages_total", "Messages of the stream applied.")
	descLag      = metric("projection_lag", "Messages of the stream not applied yet.")
	descPosition = metric("projection_position", "Last message of the stream applied.")
	descResets   = metric("projection_resets_total", "Times the stream was read again from its start.")
	descRolled   = metric("rollups_total", "Closed hours written by this node.")
	descLeader   = metric("leader", "1 while this node writes closed hours.")
	descDiskFree = metric("disk_free_bytes", "Space left in the file system with the node's folder.")
	descDiskSize = metric("disk_size_bytes", "Size of that file system.")
	descCertEnd  = metric("https_certificate_end_seconds", "Unix time at which the certificate for HTTPS in force ends.")
	descBackups  = metric("backup_bytes", "Disk that sealed backups of boxes take, on all nodes together.")
	descBackMost = metric("backup_max_bytes", "The most that they may take; then there are no new ones.")
	descBacking  = metric("backup_transfers", "Sealed backups on their way at this node.")
	descBackEnds = metric("backups_total", "Sealed backups that this node has stored, given, or not brought to an end, and those removed with their sites, by outcome.", "outcome")
	descBackMove = metric("backup_transferred_bytes_total", "Bytes of sealed backups, by direction as boxes see it.", "direction")
	descBackNo   = metric("backup_refused_total", "Requests about sealed backups that were refused, by reason.", "reason")
	descBatches  = metric("batches_refused_total", "Messages of the stream that are no good batches of the box they came from, by reason. Counted again when the stream is read again.", "reason")
	descAhead    = metric("ahead_batches_total", "Batches shown on the dashboard before the stream of an external NATS cluster handed them on.")
	descAheadOf  = metric("ahead_boxes", "Boxes of which the dashboard shows a newer present than the projection has.")
	descAheadNo  = metric("ahead_dropped_total", "Batches of boxes that the stream had not handed on and that were not shown ahead of it, or no longer, by reason. None is lost by that.", "reason")
	descAsks     = metric("asks_total", "Questions of boxes where they stand that this node answered.")
	descSpurned  = metric("asks_refused_total", "Questions of boxes that were not answered, by reason.", "reason")
	descJoins    = metric("identity_refused_total", "Requests to join, to renew or to be known that were refused, by reason.", "reason")
)

// Describe sends nothing: what there is may depend on the node.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect takes a snapshot of every part.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	in := c.gateway.Stats()
	gauge(descTunnels, float64(in.Tunnels))
	for reason, n := range in.Refused {
		count(descRefused, n, reason)
	}
	for reason, n := range in.Closed {
		count(descClosed, n, reason)
	}
	count(descPosts, in.Posts)
	count(descBytes, in.BytesIn, "up")
	count(descBytes, in.BytesOut, "down")
	c.collectBackups(gauge, count)
	callout := c.broker.Stats()
	count(descGranted, callout.Granted)
	count(descDenied, callout.Refused+callout.Mistaken)
	for reason, n := range c.registrar.Stats().Refused {
		count(descJoins, n, string(reason))
	}
	st := c.projector.Stats()
	count(descApplied, st.Applied)
	gauge(descLag, float64(st.Lag))
	gauge(descPosition, float64(st.Position.Seq))
	count(descResets, st.Resets)
	count(descAsks, st.Asks)
	for reason, n := range st.AsksRefused {
		count(descSpurned, n, reason)
	}
	for reason, n := range st.BatchesRefused {
		count(descBatches, n, reason)
	}
	if st.AheadDropped != nil {
		count(descAhead, st.AheadShown)
		gauge(descAheadOf, float64(st.AheadBoxes))
		for reason, n := range st.AheadDropped {
			count(descAheadNo, n, reason)
		}
	}
	count(descRolled, st.Rolled)
	leader := 0.0
	if st.Leader {
		leader = 1
	}
	gauge(descLeader, leader)
	if free, size, ok := disk(c.cfg.Data); ok {
		gauge(descDiskFree, float64(free))
		gauge(descDiskSize, float64(size))
	}
	if cert, err := c.server.Certificate(nil); err == nil && cert.Leaf != nil {
		gauge(descCertEnd, float64(cert.Leaf.NotAfter.Unix()))
	}
}
