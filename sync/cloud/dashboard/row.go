package dashboard

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"signalbox/internal/order"
	"signalbox/sync/wire"
)

// entry is a site on the board. It does not change any more.
type entry struct {
	row      SiteRow
	text     []byte // row as JSON
	need     int    // see byNeed
	created  time.Time
	members  []Member
	facts    []*Facts // of the row's boxes; nil for one that never sent
	counters []Counted
	changed  time.Time
}

// same reports whether nobody would see a difference.
func (e *entry) same(other *entry) bool {
	return bytes.Equal(e.text, other.text) && slices.Equal(e.counters, other.counters)
}

// ids are the boxes of the row.
func (e *entry) ids() []wire.BoxID {
	ids := make([]wire.BoxID, len(e.members))
	for i, m := range e.members {
		ids[i] = m.ID
	}
	return ids
}

// build looks at a site anew.
func (b *board) build(site Site, around Around) *entry {
	e := &entry{created: site.Created, members: b.cfg.Registry.Members(site.Name)}
	order.By(e.members, func(a, b Member) int { return strings.Compare(a.ID.Box, b.ID.Box) })
	e.row = SiteRow{Site: site.Name, Title: site.Title, Health: Waiting, Why: []Reason{}, Boxes: make([]BoxRow, 0, len(e.members))}
	counters := map[wire.MetricID]uint64{}
	before := b.sites[site.Name]
	for _, m := range e.members {
		s := State{Member: m, Facts: b.cfg.Fleet.Box(m.ID), Online: b.cfg.Presence.Online(m.ID)}
		if !m.Revoked.IsZero() {
			s.Tried, s.Online = b.cfg.Tried(m.ID), false
		} else if s.Facts != nil {
			s.Trends = b.trends.of(m.ID)
		}
		why := Judge(s, around, func(kind string) time.Time { return b.since(before, m.ID, kind) })
		b.attach(m.ID, why)
		box := boxRow(s, around.Now, why)
		if g, ok := b.goings.get(m.ID.String()); ok && g.Online == box.Online {
			box.OnlineSince = g.Since
		}
		e.row.Boxes = append(e.row.Boxes, box)
		e.facts = append(e.facts, s.Facts)
		e.row.add(&box)
		e.row.Why = append(e.row.Why, why...)
		if s.Facts != nil {
			for _, c := range s.Facts.Totals {
				counters[c.ID] += c.Value
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(counters)) {
		e.counters = append(e.counters, Counted{id, counters[id]})
	}
	order.StableBy(e.row.Why, func(a, b Reason) int {
		return cmp.Or(cmp.Compare(rank(a.Health), rank(b.Health)), a.Since.Compare(b.Since))
	})
	e.row.Acked = len(e.row.Why) > 0 && !slices.ContainsFunc(e.row.Why, func(r Reason) bool { return r.Acked == nil })
	e.row.Devices = b.trends.devices(site.Name, counters[wire.SessionsOpened])
	e.row.Strip = siteStrip(e.facts, around.Now)
	e.need = 2 * rank(e.row.Health)
	if e.row.Acked && e.row.Health != Green {
		e.need++
	}
	e.text, _ = json.Marshal(e.row) // texts, numbers and times can be encoded
	return e
}

// since is when a problem was first seen: as all nodes agree, or as this one
// remembers.
func (b *board) since(before *entry, id wire.BoxID, kind string) time.Time {
	if o, ok := b.opened.get(problemKey(id, kind)); ok && o.Ended.IsZero() {
		return o.Since
	}
	if before != nil {
		for i := range before.row.Why {
			if w := &before.row.Why[i]; w.Box == id.Box && w.Kind == kind {
				return w.Since
			}
		}
	}
	return time.Time{}
}

// attach puts the acknowledgements to the problems they are for: one from
// before the problem began was for another.
func (b *board) attach(id wire.BoxID, why []Reason) {
	for i := range why {
		if ack, ok := b.acks.get(problemKey(id, why[i].Kind)); ok && !ack.At.Before(why[i].Since) {
			why[i].Acked = &ack
		}
	}
}

func boxRow(s State, now time.Time, why []Reason) BoxRow {
	m := s.Member
	r := BoxRow{
		Box: m.ID.Box, Name: m.Name, Version: m.Version, Online: s.Online, PolicyWanted: m.Wanted,
		CertificateEnd: m.CertificateEnd, Revoked: m.Revoked, Why: slices.Clone(why), Health: Waiting,
	}
	if r.Why == nil {
		r.Why = []Reason{}
	}
	if !m.CertificateEnd.IsZero() {
		r.CertificateDays = max(0, int(m.CertificateEnd.Sub(now)/(24*time.Hour)))
	}
	if f := s.Facts; f != nil {
		if m.Revoked.IsZero() {
			r.Health = Green
		}
		r.fill(f)
		r.WrittenBytesDay = s.Trends.WrittenDay
	}
	if len(why) > 0 {
		r.Health = why[0].Health
	}
	return r
}

// fill takes in what the newest frame says.
func (r *BoxRow) fill(f *Facts) {
	r.Seen, r.Started, r.LastBackup = f.Heard, f.Started, f.Backup
	r.Name, r.Version, r.Arch = cmp.Or(f.Name, r.Name), cmp.Or(f.Version, r.Version), f.Arch
	r.Link, r.Level = f.Link, f.Level
	r.Policy, r.PolicyFault = f.Policy, f.PolicyFault
	if r.CertificateEnd.IsZero() {
		r.CertificateEnd = f.CertificateEnd
	}
	for id, into := range map[wire.MetricID]*int64{
		wire.UpstreamQueueFrames: &r.QueueFrames, wire.UpstreamQueueBytes: &r.QueueBytes, wire.UpstreamQueueLimitBytes: &r.QueueLimitBytes,
		wire.BoxDiskFreeBytes: &r.DiskFreeBytes, wire.BoxDiskTotalBytes: &r.DiskTotalBytes, wire.BoxClockSkewMs: &r.ClockSkewMS,
		wire.SessionsOnline: &r.Sessions, wire.RoomsOpen: &r.Rooms, wire.RoomsMembers: &r.Members, wire.RelayAllocations: &r.Allocations,
		wire.RelayBits: &r.RelayBits, wire.BoxCPUPermille: &r.CPUPermille, wire.BoxRSSBytes: &r.RSSBytes,
	} {
		*into = f.Gauge(id)
	}
	if ms := f.Gauge(wire.StoreCloudBackupMs); ms > 0 {
		r.CloudBackup = time.UnixMilli(ms).UTC()
	}
	r.Refused = f.Refused
}

// add counts a box towards its site. What a box that is gone last said of its
// devices is not what there is now.
func (s *SiteRow) add(box *BoxRow) {
	if box.Seen.After(s.Seen) {
		s.Seen = box.Seen
	}
	if !box.Revoked.IsZero() && len(box.Why) == 0 {
		return
	}
	if rank(box.Health) < rank(s.Health) || s.Health == Waiting && box.Health == Green {
		s.Health = box.Health
	}
	if !box.Revoked.IsZero() {
		return
	}
	s.Sessions += box.Sessions
	s.Rooms += box.Rooms
	s.Members += box.Members
	s.RelayBits += box.RelayBits
}

// siteStrip shows of each five minutes the worst that one of the boxes says.
func siteStrip(facts []*Facts, now time.Time) Strip {
	s := Strip{End: now.UTC().Truncate(5 * time.Minute)}
	var cells []byte
	for _, f := range facts {
		if f == nil || f.Strip == nil {
			continue
		}
		one := f.Strip(now)
		if cells == nil {
			cells = []byte(one)
			continue
		}
		for i := range min(len(cells), len(one)) {
			cells[i] = worseCell(cells[i], one[i])
		}
	}
	s.Cells = string(cells)
	return s
}

func worseCell(a, b byte) byte {
	const order = "-gGaArR" // of two that are equally bad, what was told later stays marked
	if strings.IndexByte(order, b) > strings.IndexByte(order, a) {
		return b
	}
	return a
}
