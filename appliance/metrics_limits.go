package appliance

// What the box has, beside what it uses: an alert that looks ahead needs both.
// METRICS.md lists them. Open files and their limit are among the metrics of
// the process.
var (
	descMaxSessions    = metric("signaling_max_conns", "The most signaling sockets at once.")
	descMaxAllocations = metric("turn_max_allocations", "The most allocations at once.")
	descMaxBitRate     = metric("turn_max_bit_rate", "The most bits a second that the relay carries in all; 0 is no limit.")
	descMemoryMax      = metric("memory_max_bytes", "The most memory that the box may take: its control group's limit, or all there is.")
	descDiskFree       = metric("disk_free_bytes", "Room left on the disk with the box's folder.")
	descDiskSize       = metric("disk_size_bytes", "Size of the disk with the box's folder.")
	descHTTPSCert      = metric("https_certificate_end_seconds", "Unix time at which the certificate for HTTPS in force ends.")
)

func (c collector) collectLimits(gauge emit[float64]) {
	gauge(descMaxSessions, float64(c.cfg.Signaling.MaxSessions))
	gauge(descMaxAllocations, float64(c.cfg.Turn.MaxAllocations))
	gauge(descMaxBitRate, float64(c.cfg.Turn.MaxBitRateTotal))
	if end := c.trust.Status().Expires; !end.IsZero() {
		gauge(descHTTPSCert, float64(end.Unix()))
	}
	// What the machine does not tell is left out: 0 would be an alarm.
	if most := memoryMax(); most > 0 {
		gauge(descMemoryMax, float64(most))
	}
	if free, size, ok := disk(c.cfg.Data); ok {
		gauge(descDiskFree, float64(free))
		gauge(descDiskSize, float64(size))
	}
}
