package appliance

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics makes the registry behind /metrics.
func (a *Appliance) metrics() (*prometheus.Registry, error) {
	registry := prometheus.NewRegistry()
	for _, c := range []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collector{a},
	} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	return registry, nil
}

// collector turns the parts' snapshots into metrics when they are scraped. Its
// labels take only values that are fixed in the code, so a scrape cannot grow.
type collector struct{ *Appliance }

// metric describes one metric family.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("signalbox_"+name, help, labels, nil)
}

var (
	descConns        = metric("signaling_conns", "Open signaling sockets.")
	descSessions     = metric("signaling_sessions", "Sessions, by state.", "state")
	descRooms        = metric("signaling_rooms", "Rooms.")
	descMembers      = metric("signaling_members", "Members of all rooms.")
	descFrames       = metric("signaling_frames_total", "Frames from clients, by type.", "type")
	descBytesIn      = metric("signaling_received_bytes_total", "Bytes of frames from clients.")
	descResumes      = metric("signaling_resumes_total", "Resumes asked for, by result.", "result")
	descExpired      = metric("signaling_expired_sessions_total", "Sessions whose resume window ended.")
	descRefused      = metric("signaling_refused_frames_total", "Frames refused, by error code.", "code")
	descClosed       = metric("signaling_closed_total", "Sockets closed by the box, by close code.", "code")
	descDropped      = metric("signaling_dropped_total", "Frames and sockets given up, by reason.", "reason")
	descCommits      = metric("signaling_journal_commits_total", "Commits of the session journal, by result.", "result")
	descStoreBytes   = metric("store_file_bytes", "Size of the database file.")
	descStoreMax     = metric("store_max_bytes", "Size at which writes are refused.")
	descStoreCommits = metric("store_commits_total", "Commits to disk.")
	descStoreWritten = metric("store_written_bytes_total", "Bytes handed to the disk by commits.")
	descStoreFull    = metric("store_full_total", "Commits refused because the store is full.")
	descPart         = metric("part_ok", "1 while a part of the box is well.", "part")
	descInfo         = metric("build_info", "Always 1; the version is the label.", "version")
)

// Describe sends nothing: the families depend on what the box has, and an
// unchecked collector may decide when it is asked.
func (c collector) Describe(chan<- *prometheus.Desc) {}

// Collect takes a snapshot of every part.
func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	c.collectSignaling(gauge, count)
	c.collectRelay(gauge, count)
	c.collectUpstream(gauge, count)
	c.collectLimits(gauge)
	c.collectCrowd(gauge, count)
	st := c.store.Stats()
	gauge(descStoreBytes, float64(st.FileBytes))
	gauge(descStoreMax, float64(st.MaxBytes))
	count(descStoreCommits, st.Commits)
	count(descStoreWritten, uint64(st.WrittenBytes))
	count(descStoreFull, st.Full)
	for _, p := range box(c).Parts() {
		ok := 0.0
		if p.OK {
			ok = 1
		}
		gauge(descPart, ok, p.Name)
	}
	gauge(descInfo, 1, c.cfg.Version)
}

type emit[T any] func(d *prometheus.Desc, v T, labels ...string)

func (c collector) collectSignaling(gauge emit[float64], count emit[uint64]) {
	st := c.signaling.Stats()
	gauge(descConns, float64(st.Conns))
	gauge(descSessions, float64(st.Sessions-st.Suspended), "online")
	gauge(descSessions, float64(st.Suspended), "suspended")
	gauge(descRooms, float64(st.Rooms))
	gauge(descMembers, float64(st.Members))
	count(descBytesIn, st.BytesIn)
	count(descResumes, st.Resumed, "resumed")
	count(descResumes, st.ResumeFailed, "refused")
	count(descExpired, st.Expired)
	count(descCommits, st.Commits-st.CommitErrors, "done")
	count(descCommits, st.CommitErrors, "failed")
	each(count, descFrames, st.Frames)
	each(count, descRefused, st.Refused)
	each(count, descDropped, st.Dropped)
	for code, n := range st.Closed {
		count(descClosed, n, strconv.Itoa(code))
	}
}

func each(count emit[uint64], d *prometheus.Desc, values map[string]uint64) {
	for label, n := range values {
		count(d, n, label)
	}
}
