package dashboard_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/wire"
)

func TestJudge(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	id := boxID("plant", "b1")
	set := func(s *dashboard.State, values ...int64) {
		for i := 0; i < len(values); i += 2 {
			metric := wire.MetricID(values[i])
			s.Facts.Gauges = slices.DeleteFunc(s.Facts.Gauges, func(g dashboard.Metered) bool { return g.ID == metric })
			s.Facts.Gauges = append(s.Facts.Gauges, dashboard.Metered{ID: metric, Value: values[i+1]})
		}
		slices.SortFunc(s.Facts.Gauges, func(a, b dashboard.Metered) int { return int(a.ID) - int(b.ID) })
	}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for _, test := range []struct {
		name   string
		change func(s *dashboard.State, a *dashboard.Around)
		want   string // kind health, with commas between
		text   string
		since  time.Time // of the first; zero is not looked at
	}{
		{"well", func(*dashboard.State, *dashboard.Around) {}, "", "", time.Time{}},
		{"three frames missed", func(s *dashboard.State, _ *dashboard.Around) { s.Online, s.Facts.Heard = false, ago(3*time.Minute) }, "silent amber", "3 min", ago(3 * time.Minute)},
		{"two frames missed", func(s *dashboard.State, _ *dashboard.Around) { s.Online, s.Facts.Heard = false, ago(2*time.Minute) }, "", "", time.Time{}},
		{"ten minutes silent", func(s *dashboard.State, _ *dashboard.Around) { s.Online, s.Facts.Heard = false, ago(10*time.Minute) }, "silent red", "10 min", ago(10 * time.Minute)},
		{"idle and connected", func(s *dashboard.State, _ *dashboard.Around) { s.Facts.Heard = ago(6 * time.Minute) }, "", "", time.Time{}},
		{"silent and connected", func(s *dashboard.State, _ *dashboard.Around) { s.Facts.Heard = ago(9 * time.Minute) }, "silent amber", "9 min", time.Time{}},
		{"the cloud itself was down", func(s *dashboard.State, a *dashboard.Around) {
			s.Online, s.Facts.Heard, a.Listening = false, ago(time.Hour), ago(time.Minute)
		}, "", "", time.Time{}},
		{"joined and mute", func(s *dashboard.State, _ *dashboard.Around) { s.Facts = nil }, "silent red", "joined", ago(30 * 24 * time.Hour)},
		{"joined a moment ago", func(s *dashboard.State, _ *dashboard.Around) { s.Facts, s.Member.Joined = nil, ago(time.Minute) }, "", "", time.Time{}},
		{"by POST", func(s *dashboard.State, _ *dashboard.Around) { s.Facts.Link = "post" }, "post amber", "POST", time.Time{}},
		{"queue grows", func(s *dashboard.State, _ *dashboard.Around) {
			set(s, int64(wire.UpstreamQueueFrames), 40)
			s.Trends.QueueBefore = 20
		}, "queue amber", "40 frames wait for the cloud, 20", time.Time{}},
		{"queue shrinks", func(s *dashboard.State, _ *dashboard.Around) {
			set(s, int64(wire.UpstreamQueueFrames), 40)
			s.Trends.QueueBefore = 2000
		}, "", "", time.Time{}},
		{"queue near its limit", func(s *dashboard.State, _ *dashboard.Around) {
			set(s, int64(wire.UpstreamQueueFrames), 9000, int64(wire.UpstreamQueueBytes), 56e6, int64(wire.UpstreamQueueLimitBytes), 64e6)
		}, "queue-full red", "87 %", time.Time{}},
		{"merged", func(s *dashboard.State, _ *dashboard.Around) { s.Trends.MergedDay = 600 }, "merged amber", "600", time.Time{}},
		{"drift", func(s *dashboard.State, _ *dashboard.Around) {
			s.Member.Wanted, s.Member.WantedSince = 7, ago(time.Hour)
		}, "policy amber", "Revision 7", ago(50 * time.Minute)},
		{"drift of a moment", func(s *dashboard.State, _ *dashboard.Around) {
			s.Member.Wanted, s.Member.WantedSince = 7, ago(time.Minute)
		}, "", "", time.Time{}},
		{"policy refused", func(s *dashboard.State, _ *dashboard.Around) {
			s.Member.Wanted, s.Member.WantedSince, s.Facts.PolicyFault = 7, ago(time.Minute), "It has a key that this version does not know."
		}, "policy red", "does not know", ago(time.Minute)},
		{"certificate near its end", func(s *dashboard.State, _ *dashboard.Around) { s.Member.CertificateEnd = now.Add(30 * time.Hour) }, "certificate amber", "30 h", ago(18 * time.Hour)},
		{"certificate over", func(s *dashboard.State, _ *dashboard.Around) { s.Member.CertificateEnd = ago(3 * time.Hour) }, "certificate red", "3 h ago", ago(3 * time.Hour)},
		{"revoked", func(s *dashboard.State, _ *dashboard.Around) {
			s.Member.Revoked, s.Facts.Heard = ago(time.Hour), ago(time.Hour)
		}, "", "", time.Time{}},
		{"revoked and tries", func(s *dashboard.State, _ *dashboard.Around) {
			s.Member.Revoked, s.Tried = ago(48*time.Hour), ago(time.Minute)
		}, "revoked-tries amber", "2026-02-27", time.Time{}},
		{"disk low", func(s *dashboard.State, _ *dashboard.Around) { set(s, int64(wire.BoxDiskFreeBytes), 5e9) }, "disk amber", "5.0 GB of 100.0 GB left, 5 %", time.Time{}},
		{"disk full", func(s *dashboard.State, _ *dashboard.Around) { set(s, int64(wire.BoxDiskFreeBytes), 1e9) }, "disk red", "1 %", time.Time{}},
		{"disk full in two days", func(s *dashboard.State, _ *dashboard.Around) { s.Trends.FreeSlope = -50e9 / (48 * 3600) }, "disk-soon amber", "2 days", time.Time{}},
		{"disk full today", func(s *dashboard.State, _ *dashboard.Around) { s.Trends.FreeSlope = -50e9 / (5 * 3600) }, "disk-soon red", "5 h", time.Time{}},
		{"disk full in a year", func(s *dashboard.State, _ *dashboard.Around) { s.Trends.FreeSlope = -1 }, "", "", time.Time{}},
		{"store nearly full", func(s *dashboard.State, _ *dashboard.Around) {
			set(s, int64(wire.StoreBytes), 90e6, int64(wire.StoreLimitBytes), 100e6)
		}, "store amber", "90 %", time.Time{}},
		{"memory at its limit", func(s *dashboard.State, _ *dashboard.Around) {
			set(s, int64(wire.BoxRSSBytes), 99e6, int64(wire.BoxMemoryLimitBytes), 100e6)
		}, "memory red", "99 %", time.Time{}},
		{"files", func(s *dashboard.State, _ *dashboard.Around) {
			set(s, int64(wire.BoxFDs), 900, int64(wire.BoxFDLimit), 1024)
		}, "files amber", "900 of 1024", time.Time{}},
		{"relay", func(s *dashboard.State, _ *dashboard.Around) {
			set(s, int64(wire.RelayBits), 99e6, int64(wire.RelayLimitBits), 100e6)
		}, "relay red", "99.0 Mbit/s of 100.0", time.Time{}},
		{"clock", func(s *dashboard.State, _ *dashboard.Around) { set(s, int64(wire.BoxClockSkewMs), -6500) }, "clock amber", "6.5 s behind", time.Time{}},
		{"clock far off", func(s *dashboard.State, _ *dashboard.Around) { set(s, int64(wire.BoxClockSkewMs), 400_000) }, "clock red", "400.0 s ahead", time.Time{}},
		{"clock well", func(s *dashboard.State, _ *dashboard.Around) { set(s, int64(wire.BoxClockSkewMs), 5000) }, "", "", time.Time{}},
		{"old backup", func(s *dashboard.State, _ *dashboard.Around) { s.Facts.Backup = ago(5 * 24 * time.Hour) }, "backup amber", "5 days", ago(2 * 24 * time.Hour)},
		{"no backup", func(s *dashboard.State, _ *dashboard.Around) { s.Facts.Backup = time.Time{} }, "backup amber", "no backup", ago(27 * 24 * time.Hour)},
		{"no backup, but new", func(s *dashboard.State, _ *dashboard.Around) {
			s.Facts.Backup, s.Member.Joined = time.Time{}, ago(time.Hour)
		}, "", "", time.Time{}},
		{"parts", func(s *dashboard.State, _ *dashboard.Around) { set(s, int64(wire.BoxUnhealthyParts), 2) }, "parts red", "2 of its parts", time.Time{}},
		{"refused", func(s *dashboard.State, _ *dashboard.Around) {
			s.Facts.Refused, s.Facts.RefusedReason, s.Facts.RefusedLast = 4, "signature", ago(time.Minute)
		}, "refused amber", "signature", time.Time{}},
		{"refused long ago", func(s *dashboard.State, _ *dashboard.Around) {
			s.Facts.Refused, s.Facts.RefusedLast = 4, ago(2*time.Hour)
		}, "", "", time.Time{}},
		{"restarts", func(s *dashboard.State, _ *dashboard.Around) { s.Trends.StartsHours = 5 }, "restarts amber", "5 times", time.Time{}},
		{"old version", func(_ *dashboard.State, a *dashboard.Around) { a.Newest = "1.10.0" }, "version amber", "1.10.0", time.Time{}},
		{"newer version", func(_ *dashboard.State, a *dashboard.Around) { a.Newest = "v1.1.9-3-gabcdef" }, "", "", time.Time{}},
		{"alerts, the worst first", func(s *dashboard.State, _ *dashboard.Around) {
			s.Facts.Alerts = []dashboard.Alert{
				{Kind: "backup", Text: "The box has no recent backup.", Since: ago(2 * time.Hour)},
				{Kind: "outbox-failing", Text: "The outbox cannot be written.", Grave: true, Since: ago(time.Hour)},
				{Kind: "x.>\n", Text: "?", Since: ago(time.Minute)},
			}
		}, "alert-outbox-failing red, alert-backup amber, alert-other amber", "outbox", ago(time.Hour)},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := dashboard.State{
				Member: dashboard.Member{ID: id, Joined: ago(30 * 24 * time.Hour), CertificateEnd: now.Add(5 * 24 * time.Hour)},
				Facts:  healthy(id, ago(30*time.Second)), Online: true,
			}
			s.Facts.Backup = ago(time.Hour)
			around := dashboard.Around{Now: now, Listening: ago(90 * 24 * time.Hour), Newest: "1.2.0"}
			test.change(&s, &around)
			reasons := dashboard.Judge(s, around, func(string) time.Time { return time.Time{} })
			var got []string
			for _, r := range reasons {
				got = append(got, r.Kind+" "+string(r.Health))
				if r.Advice == "" || r.Since.IsZero() || r.Since.After(now) || r.Box != "b1" {
					t.Errorf("%+v lacks advice, a time or its box", r)
				}
			}
			if strings.Join(got, ", ") != test.want {
				t.Fatalf("Judge = %s, want %s", strings.Join(got, ", "), test.want)
			}
			if test.text != "" && !strings.Contains(reasons[0].Text, test.text) {
				t.Errorf("text %q, want %q in it", reasons[0].Text, test.text)
			}
			if !test.since.IsZero() && !reasons[0].Since.Equal(test.since) {
				t.Errorf("since %v, want %v", reasons[0].Since, test.since)
			}
			// What began stays dated as it was first seen, or as the facts say.
			around.Now = now.Add(20 * time.Second)
			kept := map[string]time.Time{}
			for _, r := range reasons {
				kept[r.Kind] = r.Since
			}
			if s.Facts != nil {
				s.Facts.Dated = around.Now
			}
			for _, r := range dashboard.Judge(s, around, func(kind string) time.Time { return kept[kind] }) {
				if !r.Since.Equal(kept[r.Kind]) {
					t.Errorf("%s: since %v, and %v later", r.Kind, kept[r.Kind], r.Since)
				}
			}
		})
	}
}
