package dashboard

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/sync/wire"
)

// getMetrics writes the node's own metrics and those of every box. The latter
// are written straight from the board: 2,000 boxes have 100,000 of them, for
// which collectors would make as many objects at each scrape.
func (d *Dashboard) getMetrics(c *call) error {
	d.scrape.Lock()
	defer d.scrape.Unlock()
	var b bytes.Buffer
	if err := jsonapi.AppendMetrics(&b, d.metrics.gatherer); err != nil {
		return err
	}
	if s := d.board.current.Load(); s != nil {
		s.metrics(&b)
	}
	jsonapi.WriteMetrics(c.w, c.r, b.Bytes())
	return nil
}

// family writes one metric of all sites or boxes.
type family struct {
	b    *bytes.Buffer
	name string
}

func newFamily(b *bytes.Buffer, name, kind, help string) family {
	b.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
	return family{b, name}
}

// site writes a value. Names of sites and boxes need no escaping (wire.CheckName).
func (f family) site(e *entry, value float64) {
	f.b.WriteString(f.name + `{site="` + e.row.Site + `"} `)
	f.end(value)
}

func (f family) box(e *entry, i int, more string, value float64) {
	f.b.WriteString(f.name + `{site="` + e.row.Site + `",box="` + e.row.Boxes[i].Box + `"` + more + `} `)
	f.end(value)
}

func (f family) end(value float64) {
	if value == math.Trunc(value) && math.Abs(value) < 1<<53 {
		f.b.Write(strconv.AppendInt(f.b.AvailableBuffer(), int64(value), 10))
	} else {
		f.b.Write(strconv.AppendFloat(f.b.AvailableBuffer(), value, 'g', -1, 64))
	}
	f.b.WriteByte('\n')
}

// metrics writes what the board knows, for Prometheus.
func (s *snapshot) metrics(b *bytes.Buffer) {
	f := newFamily(b, "signalbox_site_health", "gauge", "State of a site: 0 well, 1 waiting for its first box, 2 look at it, 3 needs help.")
	for _, e := range s.order {
		f.site(e, float64(3-rank(e.row.Health)))
	}
	f = newFamily(b, "signalbox_site_problems", "gauge", "Open problems of a site.")
	for _, e := range s.order {
		f.site(e, float64(len(e.row.Why)))
	}
	f = newFamily(b, "signalbox_site_devices_today", "gauge", "Different devices since midnight UTC, an estimate.")
	for _, e := range s.order {
		f.site(e, float64(e.row.Devices))
	}
	s.boxMetrics(b)
	for _, m := range wire.Metrics {
		s.wireMetric(b, m)
	}
}

func (s *snapshot) boxMetrics(b *bytes.Buffer) {
	each := func(name, help string, value func(*BoxRow) (float64, bool)) {
		f := newFamily(b, "signalbox_site_"+name, "gauge", help)
		for _, e := range s.order {
			for i := range e.row.Boxes {
				if v, ok := value(&e.row.Boxes[i]); ok {
					f.box(e, i, "", v)
				}
			}
		}
	}
	stamp := func(t time.Time) (float64, bool) { return float64(t.Unix()), !t.IsZero() }
	each("box_online", "Whether a box is connected to the cloud.", func(r *BoxRow) (float64, bool) {
		if r.Online {
			return 1, true
		}
		return 0, true
	})
	each("box_seen_timestamp_seconds", "When the cloud last heard of a box.", func(r *BoxRow) (float64, bool) { return stamp(r.Seen) })
	each("box_certificate_end_timestamp_seconds", "When a box's certificate ends.", func(r *BoxRow) (float64, bool) { return stamp(r.CertificateEnd) })
	each("box_backup_timestamp_seconds", "When a box last made a backup.", func(r *BoxRow) (float64, bool) { return stamp(r.LastBackup) })
	each("box_policy_revision", "Revision of the policy in force.", func(r *BoxRow) (float64, bool) { return float64(r.Policy), true })
	each("box_policy_wanted_revision", "Revision of the policy that is wanted.", func(r *BoxRow) (float64, bool) { return float64(r.PolicyWanted), true })
	each("box_batches_refused", "Batches of a box that were not accepted.", func(r *BoxRow) (float64, bool) { return float64(r.Refused), true })
	f := newFamily(b, "signalbox_site_box_info", "gauge", "1, with what a box runs.")
	for _, e := range s.order {
		for i := range e.row.Boxes {
			r := &e.row.Boxes[i]
			f.box(e, i, `,version="`+escape(r.Version)+`",arch="`+escape(r.Arch)+`"`, 1)
		}
	}
}

// wireMetric writes one metric that boxes tell of themselves.
func (s *snapshot) wireMetric(b *bytes.Buffer, m wire.Metric) {
	name, kind := "signalbox_site_"+strings.ReplaceAll(m.Name, ".", "_"), "gauge"
	switch m.Kind {
	case wire.Counter:
		name, kind = name+"_total", "counter"
	case wire.Level:
	default:
		return
	}
	f := newFamily(b, name, kind, m.Name+" as the box tells it.")
	for _, e := range s.order {
		for i, facts := range e.facts {
			if facts == nil || !e.row.Boxes[i].Revoked.IsZero() {
				continue
			}
			if m.Kind == wire.Level {
				if v, ok := facts.gauge(m.ID); ok {
					f.box(e, i, "", float64(v))
				}
			} else if v, ok := facts.total(m.ID); ok {
				f.box(e, i, "", float64(v))
			}
		}
	}
}

// escape is for the value of a label: boxes choose what it says.
func escape(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(text)
}
