package dashboard

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"signalbox/sync/wire"
)

// resources tells what runs out at the box.
func (j *judge) resources() {
	f := j.Facts
	j.disk(f.Gauge(wire.BoxDiskFreeBytes), f.Gauge(wire.BoxDiskTotalBytes))
	for _, r := range []struct {
		kind        string
		used, limit wire.MetricID
		amber, red  int64 // percent
		what        string
		show        func(int64) string
		advice      string
	}{
		{KindStore, wire.StoreBytes, wire.StoreLimitBytes, 80, 95, "Its store of rooms", sizeText, "Delete rooms that are no longer needed, or raise the limit of the store."},
		{KindMemory, wire.BoxRSSBytes, wire.BoxMemoryLimitBytes, 85, 95, "Its memory", sizeText, "Raise the service's memory limit, or lower the limits of sessions and allocations."},
		{KindFiles, wire.BoxFDs, wire.BoxFDLimit, 80, 95, "Its open files", countText, "Raise LimitNOFILE of the service."},
		{KindRelay, wire.RelayBits, wire.RelayLimitBits, 85, 98, "Its relay", bitsText, "Calls beyond the limit lose packets. Raise the relay's bandwidth or add a box to the site."},
	} {
		used, limit := f.Gauge(r.used), f.Gauge(r.limit)
		if limit <= 0 {
			continue
		}
		share := percent(used, limit)
		if health, wrong := grade(share >= r.amber, share >= r.red); wrong {
			j.add(r.kind, health, time.Time{}, fmt.Sprintf("%s: %s of %s, %d %%.", r.what, r.show(used), r.show(limit), share), r.advice)
		}
	}
}

func (j *judge) disk(free, total int64) {
	if total <= 0 {
		return
	}
	left := percent(free, total)
	if health, wrong := grade(left < 10, left < 3); wrong {
		j.add(KindDisk, health, time.Time{}, fmt.Sprintf("Its disk has %s of %s left, %d %%.", sizeText(free), sizeText(total), left),
			"Make room: old logs and backups first. A full disk stops what must be written before it is confirmed.")
		return
	}
	if j.Trends.FreeSlope >= 0 {
		return
	}
	seconds := float64(free) / -j.Trends.FreeSlope
	if until := time.Duration(min(seconds, math.MaxInt64/float64(2*time.Second)) * float64(time.Second)); until < diskSoon {
		health, _ := grade(true, until < 24*time.Hour)
		j.add(KindDiskSoon, health, time.Time{}, fmt.Sprintf("Its disk will be full in %s if it goes on like the last 24 h; %s are left.", spell(until), sizeText(free)),
			"Find what grows and make room before that.")
	}
}

// software tells what is wrong with the box's programs and care.
func (j *judge) software() {
	f := j.Facts
	if skew := time.Duration(f.Gauge(wire.BoxClockSkewMs)) * time.Millisecond; skew.Abs() > skewAmber {
		health, _ := grade(true, skew.Abs() > skewRed)
		word := "ahead"
		if skew < 0 {
			word = "behind"
		}
		j.add(KindClock, health, time.Time{}, fmt.Sprintf("Its clock is %.1f s %s.", skew.Abs().Seconds(), word),
			"Give the box a time server that it can reach; certificates and tokens depend on the clock.")
	}
	j.backup()
	if n := f.Gauge(wire.BoxUnhealthyParts); n > 0 {
		j.add(KindParts, Red, time.Time{}, fmt.Sprintf("%d of its parts are not healthy.", n), "Run signalbox doctor at the box, or open its console: it names the part.")
	}
	if t := f.RefusedLast; !t.IsZero() && j.Now.Sub(t) < refusedRecent {
		j.add(KindRefused, Amber, time.Time{}, fmt.Sprintf("%d of its batches were not accepted, the last because of: %s.", f.Refused, f.RefusedReason),
			"If the box was restored from a copy or cloned, join it anew. Else somebody sends in its name: revoke it.")
	}
	if n := j.Trends.StartsHours; n >= restartsAmber {
		health, _ := grade(true, n >= restartsRed)
		j.add(KindRestarts, health, time.Time{}, fmt.Sprintf("It started %d times within two hours.", n),
			"Look at its log (journalctl -u signalbox) for why it stops.")
	}
	if olderVersion(f.Version, j.Newest) {
		j.add(KindVersion, Amber, time.Time{}, fmt.Sprintf("It runs version %s; others run %s.", f.Version, j.Newest), "Update the box.")
	}
}

func (j *judge) backup() {
	b := j.Facts.Backup
	switch {
	case b.IsZero():
		joined := j.Member.Joined
		if joined.IsZero() || j.Now.Sub(joined) > backupOld {
			began := time.Time{}
			if !joined.IsZero() {
				began = joined.Add(backupOld)
			}
			j.add(KindBackup, Amber, began, "It has no backup.", "Make one with the button below, or at the box with signalbox backup.")
		}
	case j.Now.Sub(b) > backupOld:
		j.add(KindBackup, Amber, b.Add(backupOld), fmt.Sprintf("Its newest backup is %s old.", spell(j.Now.Sub(b))),
			"Make one with the button below, and look at the box why its own timer does not.")
	}
}

func percent(part, whole int64) int64 {
	if whole <= 0 {
		return 0
	}
	return int64(float64(part) / float64(whole) * 100)
}

func sizeText(n int64) string {
	units, value := []string{"B", "KB", "MB", "GB", "TB"}, float64(n)
	unit := 0
	for ; value >= 1000 && unit < len(units)-1; unit++ {
		value /= 1000
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

func countText(n int64) string { return strconv.FormatInt(n, 10) }

func bitsText(n int64) string { return fmt.Sprintf("%.1f Mbit/s", float64(n)/1e6) }

// olderVersion compares versions like 1.2.3 or v1.2.3-5-gabc by their numbers.
// What has none is older than nothing.
func olderVersion(a, b string) bool {
	x, y := numbersOf(a), numbersOf(b)
	return len(x) > 0 && len(y) > 0 && slices.Compare(x, y) < 0
}

func numbersOf(version string) []int {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "-")
	version, _, _ = strings.Cut(version, "+")
	var all []int
	for part := range strings.SplitSeq(version, ".") {
		n, err := strconv.Atoi(part)
		if err != nil {
			return nil
		}
		all = append(all, n)
	}
	return all
}

// newestVersion is the newest that at least a tenth of the boxes run: the first
// box of an update does not make all others out of date.
func newestVersion(count map[string]int) (newest string) {
	total := 0
	for _, n := range count {
		total += n
	}
	for v, n := range count {
		if n*10 >= total && len(numbersOf(v)) > 0 && (newest == "" || olderVersion(newest, v)) {
			newest = v
		}
	}
	return newest
}

// slope is the least-squares slope of values over time, a second; 0 for less
// than an hour of them.
func slope(values []Value) float64 {
	if len(values) < 4 || values[len(values)-1].Start.Sub(values[0].Start) < time.Hour {
		return 0
	}
	var n, sumX, sumY, sumXX, sumXY float64
	for _, v := range values {
		x, y := v.Start.Sub(values[0].Start).Seconds(), float64(v.Value)
		n, sumX, sumY, sumXX, sumXY = n+1, sumX+x, sumY+y, sumXX+x*x, sumXY+x*y
	}
	return (n*sumXY - sumX*sumY) / (n*sumXX - sumX*sumX)
}
