package upstream

import (
	"time"

	"signalbox/sync/wire"
)

// finding is whether a condition holds, and what the alert of its kind says.
type finding struct {
	holds bool
	value int64
}

// watch looks for conditions that somebody should know of. Each begins and ends
// at different values, so that none comes and goes with every sample.
type watch struct {
	unhealthy  int // looks in a row that found a part unhealthy
	relayFull  grown
	signInFull grown
	merged     grown
	trends     map[wire.MetricID]*trend
	resetAt    time.Time
	told       string // what the outbox last said of its recovery
	resetValue int64
	// Backups fail since the newest one when their failures have become more. How
	// old it is says nothing: none is made while nothing changes.
	backup        time.Time
	backupsFailed uint64
}

// grown says whether a counter grew within the last five minutes.
type grown struct {
	was uint64
	at  time.Time
	n   uint64
}

const grownFor = 5 * time.Minute

func (g *grown) look(n uint64, now time.Time) finding {
	if n > g.was {
		g.at, g.n = now, n-g.was
	}
	g.was = n
	return finding{!g.at.IsZero() && now.Sub(g.at) < grownFor, int64(g.n)}
}

// Thresholds.
const (
	clockOff     = int64(60_000) // ms
	clockFine    = int64(30_000)
	hot          = int64(85_000) // thousandths of a degree
	cooled       = int64(75_000)
	certShort    = 2 * 24 * time.Hour // of seven days, renewed at half of them
	outboxFails  = 3 * time.Minute
	resetShown   = time.Hour
	lookAhead    = 15 * time.Minute
	lookAheadLag = 30 * time.Minute // and an alert ends when it is farther away than this
)

// look finds what holds now. A kind that is not in the result is not known.
func (w *watch) look(c *collector, now time.Time) map[wire.AlertKind]finding {
	g, was := c.sample.Gauges, c.alerts
	found := map[wire.AlertKind]finding{}
	above := func(kind wire.AlertKind, value, begin, end int64) {
		limit := begin
		if was[kind].holds {
			limit = end
		}
		found[kind] = finding{value >= limit, value}
	}
	// A share of a limit, in thousandths.
	share := func(kind wire.AlertKind, id, of wire.MetricID, begin, end int64) {
		if limit := g[of]; limit > 0 {
			above(kind, g[id]*1000/limit, begin, end)
			found[kind] = finding{found[kind].holds, g[id]}
		}
	}
	if total := g[wire.BoxDiskTotalBytes]; total > 0 {
		above(wire.AlertDisk, (total-g[wire.BoxDiskFreeBytes])*1000/total, 950, 920)
		found[wire.AlertDisk] = finding{found[wire.AlertDisk].holds, g[wire.BoxDiskFreeBytes]}
	}
	share(wire.AlertMemory, wire.BoxRSSBytes, wire.BoxMemoryLimitBytes, 900, 800)
	share(wire.AlertRelayBandwidth, wire.RelayBits, wire.RelayLimitBits, 950, 800)
	if t, ok := g[wire.BoxTemperatureMc]; ok {
		above(wire.AlertTemperature, t, hot, cooled)
	}
	if skew, ok := g[wire.BoxClockSkewMs]; ok {
		above(wire.AlertClock, max(skew, -skew), clockOff, clockFine)
		found[wire.AlertClock] = finding{found[wire.AlertClock].holds, skew}
	}
	if w.unhealthy++; len(c.sample.Unhealthy) == 0 {
		w.unhealthy = 0
	}
	found[wire.AlertPart] = finding{w.unhealthy >= 2 || w.unhealthy == 1 && was[wire.AlertPart].holds, int64(len(c.sample.Unhealthy))}
	found[wire.AlertRelayFull] = w.relayFull.look(c.sample.RelayFull, now)
	found[wire.AlertSessionsFull] = w.signInFull.look(c.sample.SessionsFull, now)
	found[wire.AlertStoreRecovered] = finding{c.sample.Recovered > 0, c.sample.Recovered}
	found[wire.AlertUpgrade] = finding{!c.sample.TakenBack.IsZero(), max(c.sample.TakenBack.UnixMilli(), 0)}
	if end := c.identity.CertEnd(); !end.IsZero() {
		left := end.Sub(c.orders.now())
		found[wire.AlertCertificate] = finding{left < certShort, end.UnixMilli()}
	}
	if !c.sample.Backup.Equal(w.backup) {
		w.backup, w.backupsFailed = c.sample.Backup, c.sample.BackupFailures
	}
	found[wire.AlertBackup] = finding{c.sample.BackupFailures > w.backupsFailed, max(c.sample.Backup.UnixMilli(), 0)}
	_, refused, _ := c.policy.facts()
	found[wire.AlertPolicy] = finding{refused > 0, int64(refused)}
	w.outbox(c, now, found)
	w.exhaustion(c, now, found)
	return found
}

// outbox looks at the queue itself.
func (w *watch) outbox(c *collector, now time.Time, found map[wire.AlertKind]finding) {
	st := c.outbox.Stats()
	merging := w.merged.look(st.Merged, now)
	found[wire.AlertOutboxMerging] = finding{merging.holds, st.UsedBytes}
	failing := time.Duration(0)
	if !c.failing.IsZero() {
		failing = now.Sub(c.failing)
	}
	found[wire.AlertOutboxFailing] = finding{failing >= outboxFails, int64(failing / time.Minute)}
	if told := c.outbox.Recovered(); told != w.told {
		w.told, w.resetAt, w.resetValue = told, now, 1
	}
	if c.renewed.Swap(false) {
		w.resetAt, w.resetValue = now, 2
		c.told = time.Time{} // what the box is, too
	}
	found[wire.AlertOutboxReset] = finding{!w.resetAt.IsZero() && now.Sub(w.resetAt) < resetShown, w.resetValue}
}

// exhaustion predicts what runs out: the straight line through the last half
// hour reaches the limit within a quarter of one.
func (w *watch) exhaustion(c *collector, now time.Time, found map[wire.AlertKind]finding) {
	g := c.sample.Gauges
	if w.trends == nil {
		w.trends = map[wire.MetricID]*trend{}
	}
	ahead := lookAhead
	if c.alerts[wire.AlertExhaustion].holds {
		ahead = lookAheadLag
	}
	soonest, of := ahead, wire.MetricID(0)
	for _, limited := range []struct {
		id, limit wire.MetricID
		falls     bool // it runs out at 0
	}{
		{id: wire.BoxDiskFreeBytes, falls: true},
		{id: wire.StoreBytes, limit: wire.StoreLimitBytes},
		{id: wire.BoxRSSBytes, limit: wire.BoxMemoryLimitBytes},
		{id: wire.BoxFDs, limit: wire.BoxFDLimit},
		{id: wire.SessionsOnline, limit: wire.SessionsLimit},
	} {
		value, ok := g[limited.id]
		limit, known := g[limited.limit]
		if !ok || !limited.falls && (!known || limit <= 0) {
			continue
		}
		t := w.trends[limited.id]
		if t == nil {
			t = &trend{}
			w.trends[limited.id] = t
		}
		t.add(now, float64(value))
		if left, ok := t.reaches(float64(limit)); ok && left < soonest {
			soonest, of = left, limited.id
		}
	}
	found[wire.AlertExhaustion] = finding{of != 0, int64(of)}
}
