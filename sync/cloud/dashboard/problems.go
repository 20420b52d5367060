package dashboard

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"signalbox/internal/order"
	"signalbox/sync/wire"
)

// Kinds of problems that the cloud finds by itself. An alert of a box has the
// kind "alert-" and its own.
const (
	KindSilent      = "silent"
	KindPost        = "post"
	KindQueue       = "queue"
	KindQueueFull   = "queue-full"
	KindMerged      = "merged"
	KindPolicy      = "policy"
	KindCertificate = "certificate"
	KindRevoked     = "revoked-tries"
	KindDisk        = "disk"
	KindDiskSoon    = "disk-soon"
	KindStore       = "store"
	KindMemory      = "memory"
	KindFiles       = "files"
	KindRelay       = "relay"
	KindClock       = "clock"
	KindBackup      = "backup"
	KindParts       = "parts"
	KindRefused     = "refused"
	KindRestarts    = "restarts"
	KindVersion     = "version"
	alertPrefix     = "alert-"
)

// Limits of problems.
const (
	frameEvery      = time.Minute
	idleEvery       = 5 * time.Minute // an idle box sends less often
	silentAmber     = 3 * frameEvery
	silentRed       = 10 * time.Minute
	queueWaiting    = 15 // frames, of a box that is connected
	certificateSoon = 48 * time.Hour
	diskSoon        = 7 * 24 * time.Hour
	skewAmber       = 5 * time.Second
	skewRed         = 5 * time.Minute
	backupOld       = 3 * 24 * time.Hour
	driftGrace      = 10 * time.Minute
	refusedRecent   = time.Hour
	triedRecent     = time.Hour
	restartsAmber   = 4
	restartsRed     = 10
)

// Judge finds all that is wrong with a box, the worst first. It depends on its
// arguments alone. since says when a problem of a kind was first seen, zero if
// it was not: what the facts do not date began then, or else with the newest frame.
func Judge(s State, around Around, since func(kind string) time.Time) []Reason {
	j := judge{State: s, Around: around, since: since}
	if !s.Member.Revoked.IsZero() {
		j.revoked()
		return j.reasons
	}
	j.certificate()
	if s.Facts == nil {
		j.mute()
	} else {
		j.link()
		j.queue()
		j.policy()
		j.resources()
		j.software()
		j.alerts()
	}
	order.StableBy(j.reasons, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(rank(a.Health), rank(b.Health)), a.Since.Compare(b.Since), strings.Compare(a.Kind, b.Kind))
	})
	return j.reasons
}

// judge gathers reasons.
type judge struct {
	State
	Around
	since   func(kind string) time.Time
	reasons []Reason
}

// add notes a problem; began may be zero when the facts do not tell.
func (j *judge) add(kind string, health Health, began time.Time, text, advice string) {
	if began.IsZero() {
		began = j.since(kind)
	}
	if began.IsZero() && j.Facts != nil {
		began = j.Facts.Dated
	}
	if began.IsZero() || began.After(j.Now) {
		began = j.Now
	}
	j.reasons = append(j.reasons, Reason{
		Kind: kind, Health: health, Box: j.Member.ID.Box, Text: text, Advice: advice, Since: began.UTC().Truncate(time.Second),
	})
}

// grade is red when bad, amber when poor.
func grade(poor, bad bool) (Health, bool) {
	if bad {
		return Red, true
	}
	return Amber, poor
}

func (j *judge) revoked() {
	if t := j.Tried; !t.IsZero() && j.Now.Sub(t) < triedRecent {
		j.add(KindRevoked, Amber, j.since(KindRevoked),
			fmt.Sprintf("The box was revoked on %s and still tries to come in.", day(j.Member.Revoked)),
			"Switch it off or join it anew; if nobody knows where it is, its key is in strange hands.")
	}
}

func (j *judge) certificate() {
	end := j.Member.CertificateEnd
	if end.IsZero() {
		return
	}
	left := end.Sub(j.Now)
	switch {
	case left <= 0:
		j.add(KindCertificate, Red, end, fmt.Sprintf("Its certificate ended %s ago.", spell(-left)),
			"Connect the box: within 180 days of the end it renews by itself. After that join it anew.")
	case left < certificateSoon:
		j.add(KindCertificate, Amber, end.Add(-certificateSoon), fmt.Sprintf("Its certificate ends in %s.", spell(left)),
			"A box renews at half of its seven days. Look at its log for why it has not.")
	}
}

// mute tells of a box that joined and has not said anything since.
func (j *judge) mute() {
	joined := j.Member.Joined
	last := joined
	if j.Listening.After(last) {
		last = j.Listening
	}
	if !joined.IsZero() && j.Now.Sub(last) >= silentRed {
		j.add(KindSilent, Red, joined, fmt.Sprintf("It joined %s ago and nothing was heard since.", spell(j.Now.Sub(joined))),
			"See that the service runs at the box (systemctl status signalbox) and reaches the cloud: signalbox status tells.")
	}
}

// link tells of silence. An idle box sends every five minutes, which is no
// silence while it is connected.
func (j *judge) link() {
	last := j.Facts.Heard
	if j.Listening.After(last) {
		last = j.Listening
	}
	quiet, slack := j.Now.Sub(last), silentAmber
	if j.Online {
		slack += idleEvery
	}
	if health, wrong := grade(quiet >= slack, quiet >= silentRed); wrong {
		text := fmt.Sprintf("Nothing was heard for %s.", spell(j.Now.Sub(j.Facts.Heard)))
		advice := "Look at the site's power and internet connection. The site itself goes on working; what it counts meanwhile comes later."
		if j.Online {
			advice = "It is connected all the same: its log says why it sends nothing."
		}
		j.add(KindSilent, health, j.Facts.Heard, text, advice)
	}
	if j.Facts.Link == "post" {
		j.add(KindPost, Amber, time.Time{}, "It reports by POST: no WebSocket gets through.",
			"Let the proxy or firewall of the site pass WebSocket to this cloud. Until then commands and the live view come late.")
	}
}

func (j *judge) queue() {
	frames, used, limit := j.Facts.Gauge(wire.UpstreamQueueFrames), j.Facts.Gauge(wire.UpstreamQueueBytes), j.Facts.Gauge(wire.UpstreamQueueLimitBytes)
	switch {
	case limit > 0 && used*10 >= limit*8:
		j.add(KindQueueFull, Red, time.Time{}, fmt.Sprintf("Its queue for the cloud is at %d %% of its limit: %d frames.", used*100/limit, frames),
			"Restore the link, or old minutes are merged into hours. Totals are kept in any case.")
	case frames > queueWaiting && j.Online && frames >= j.Trends.QueueBefore:
		j.add(KindQueue, Amber, time.Time{}, fmt.Sprintf("%d frames wait for the cloud, %d half an hour ago.", frames, j.Trends.QueueBefore),
			"The link is slower than what the box has to say. Raise the cap of the link, or look for losses on it.")
	}
	if n := j.Trends.MergedDay; n > 0 {
		j.add(KindMerged, Amber, time.Time{}, fmt.Sprintf("%d frames were merged in the last 24 h.", n),
			"It was cut off for longer than its queue holds minutes. Totals are right; charts of that time are coarser.")
	}
}

func (j *judge) policy() {
	f, m := j.Facts, j.Member
	drift := f.Policy != m.Wanted
	switch {
	case drift && f.PolicyFault != "":
		j.add(KindPolicy, Red, m.WantedSince, fmt.Sprintf("Revision %d of the policy is not in force: %s", m.Wanted, f.PolicyFault),
			"Change the policy, or update the box to a version that knows it.")
	case drift && j.Online && j.Now.Sub(m.WantedSince) > driftGrace:
		j.add(KindPolicy, Amber, m.WantedSince.Add(driftGrace), fmt.Sprintf("Revision %d of the policy is wanted, %s in force.", m.Wanted, revision(f.Policy)),
			"The box is connected and should have followed; its log says why it has not.")
	case drift && j.Now.Sub(m.WantedSince) > driftGrace:
		j.add(KindPolicy, Amber, m.WantedSince.Add(driftGrace), fmt.Sprintf("Revision %d of the policy is wanted, %s in force.", m.Wanted, revision(f.Policy)),
			"It follows when it is back.")
	}
}

func revision(n uint64) string {
	if n == 0 {
		return "none is"
	}
	return fmt.Sprintf("%d is", n)
}

func (j *judge) alerts() {
	for _, a := range j.Facts.Alerts {
		health, _ := grade(true, a.Grave)
		kind := a.Kind
		if wire.CheckName(kind) != nil {
			kind = "other" // of a box that says nonsense; the kind becomes a key
		}
		j.add(alertPrefix+kind, health, a.Since, a.Text, "The box says so itself; its console and its log tell more.")
	}
}

// spell says a span in words that change seldom.
func spell(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d/time.Second))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d/time.Minute))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d/time.Hour))
	default:
		return fmt.Sprintf("%d days", int(d/(24*time.Hour)))
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// rank orders by need.
func rank(h Health) int {
	switch h {
	case Red:
		return 0
	case Amber:
		return 1
	case Waiting:
		return 2
	default:
		return 3
	}
}
