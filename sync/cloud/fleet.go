package cloud

import (
	"cmp"
	"context"
	"strings"
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/projection"
	"signalbox/sync/cloud/projector"
	"signalbox/sync/wire"
)

// fleet is the projection as the dashboard sees it.
type fleet struct {
	projection *projection.Projection
	projector  *projector.Projector
}

// behindLag is how many messages of the stream may wait for the projection to
// count as current: those of a moment.
const behindLag = 1000

func (f fleet) Position() (seq uint64, current bool) {
	st := f.projector.Stats()
	return st.Position.Seq, st.Lag < behindLag
}

func (f fleet) Boxes() []*dashboard.Facts {
	views := f.projection.Overview()
	all := make([]*dashboard.Facts, len(views))
	for i, v := range views {
		all[i] = factsOf(v)
	}
	return all
}

func (f fleet) Box(id wire.BoxID) *dashboard.Facts {
	if v := f.projection.Box(id); v != nil {
		return factsOf(v)
	}
	return nil
}

func (f fleet) Watch() dashboard.Feed { return feed{f.projection.Subscribe()} }

type feed struct{ *projection.Feed }

func (f feed) Next(ctx context.Context) (changed []wire.BoxID, all bool, err error) {
	c, err := f.Feed.Next(ctx)
	return c.Boxes, c.Resync, err
}

func factsOf(v *projection.BoxView) *dashboard.Facts {
	f := &dashboard.Facts{ID: v.ID, Heard: v.Heard, Dated: v.Dated, Strip: func(now time.Time) string { return stripText(v.Strip(now)) }}
	if i := v.Info; i != nil {
		f.Version, f.Arch, f.Level, f.Name, f.Link = i.GetVersion(), i.GetArch(), i.GetLevel(), i.GetName(), i.GetLink()
		f.Started, f.CertificateEnd, f.Backup = momentOf(i.GetStartedMs()), momentOf(i.GetCertEndMs()), momentOf(i.GetBackupMs())
		f.Policy, f.PolicyFault = i.GetPolicy(), i.GetPolicyFault()
	}
	for _, g := range v.Gauges {
		f.Gauges = append(f.Gauges, dashboard.Metered{ID: g.ID, Value: g.Last})
	}
	for _, c := range v.Totals {
		f.Totals = append(f.Totals, dashboard.Counted{ID: c.ID, Value: c.Value})
	}
	for _, a := range v.Alerts {
		f.Alerts = append(f.Alerts, dashboard.Alert{
			Kind: string(a.Kind), Text: sentenceOf(a.Kind), Grave: projection.Grave(a.Kind), Since: a.Since, Value: a.Value,
		})
	}
	for _, r := range v.Refused {
		f.Refused += r.Count
		if r.Last().After(f.RefusedLast) {
			f.RefusedReason, f.RefusedLast = r.Reason, r.Last()
		}
	}
	return f
}

// sentenceOf is what people read of an alert, of a kind of a later version too.
func sentenceOf(kind wire.AlertKind) string {
	return cmp.Or(wire.AlertKinds[kind], "The box reports "+string(kind)+".")
}

func momentOf(ms int64) time.Time {
	if ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// stripText writes cells as the dashboard's type Strip describes.
func stripText(cells []projection.Cell) string {
	var b strings.Builder
	b.Grow(len(cells))
	for _, c := range cells {
		letter := "-gar"[c.State()&3]
		if c&projection.CellLate != 0 && letter != '-' {
			letter -= 'a' - 'A'
		}
		b.WriteByte(letter)
	}
	return b.String()
}
