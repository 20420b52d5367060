package dashboard

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"signalbox/internal/jsonapi"
	"signalbox/sync/wire"
)

// spans are what a chart may show, with the length of its steps.
var spans = map[string]struct{ length, step time.Duration }{
	"24h": {24 * time.Hour, 5 * time.Minute},
	"7d":  {7 * 24 * time.Hour, time.Hour},
	"90d": {90 * 24 * time.Hour, 6 * time.Hour},
	"2y":  {2 * 365 * 24 * time.Hour, 24 * time.Hour},
}

// maxLines bounds the metrics of one request.
const maxLines = 12

// pointMetrics are those of which five minutes are kept.
var pointMetrics = []wire.MetricID{
	wire.SessionsOnline, wire.RoomsOpen, wire.RoomsMembers, wire.RelayAllocations, wire.RelayBits,
	wire.UpstreamQueueFrames, wire.BoxCPUPermille, wire.BoxRSSBytes, wire.BoxDiskFreeBytes,
}

var seriesQuery = []jsonapi.Query{
	{Name: "metrics", Kind: "string", About: "Names of metrics with commas between, at most 12. Of a counter a step shows what was added, of others the peak."},
	{Name: "span", Kind: "string", About: "24h (steps of 5 min, only the metrics of the site's page), 7d (1 h), 90d (6 h) or 2y (1 day); 24h unless given."},
	{Name: "box", Kind: "string", About: "One box; all together unless given."},
}

func (d *Dashboard) getSeries(c *call) (Series, error) {
	query, err := jsonapi.ParseQuery(c.r, seriesQuery)
	if err != nil {
		return Series{}, err
	}
	_, e, err := d.site(c)
	if err != nil {
		return Series{}, err
	}
	ids, err := chosen(e, query["box"])
	if err != nil {
		return Series{}, err
	}
	name := cmp.Or(query["span"], "24h")
	span, ok := spans[name]
	if !ok {
		return Series{}, jsonapi.Wrong("span", "span: got %.20q, want one of %s", name, strings.Join(slices.Sorted(maps.Keys(spans)), ", "))
	}
	metrics, err := metricsOf(query["metrics"], name == "24h")
	if err != nil {
		return Series{}, err
	}
	to := time.Now().Truncate(span.step).Add(span.step)
	a := axis{from: to.Add(-span.length), to: to, step: span.step, points: name == "24h"}
	return d.plot(a, metrics, ids)
}

func chosen(e *entry, box string) ([]wire.BoxID, error) {
	ids := e.ids()
	if box == "" {
		return ids, nil
	}
	i := slices.IndexFunc(ids, func(id wire.BoxID) bool { return id.Box == box })
	if i < 0 {
		return nil, boxNotFound(e.row.Site, box)
	}
	return ids[i : i+1], nil
}

// metricsOf reads a list of names.
func metricsOf(list string, points bool) ([]wire.Metric, error) {
	names := strings.Split(list, ",")
	if list == "" || len(names) > maxLines {
		return nil, jsonapi.Wrong("metrics", "metrics: want 1 to %d names with commas between", maxLines)
	}
	var found []wire.Metric
	for _, name := range names {
		i := slices.IndexFunc(wire.Metrics, func(m wire.Metric) bool { return m.Name == name })
		if i < 0 || wire.Metrics[i].Kind > wire.Level {
			return nil, jsonapi.Wrong("metrics", "metrics: got %.40q, which is no counter or gauge", name)
		}
		if points && !slices.Contains(pointMetrics, wire.Metrics[i].ID) {
			return nil, jsonapi.Wrong("metrics", "metrics: %s is kept by the hour; ask for a span of 7d, 90d or 2y", name)
		}
		found = append(found, wire.Metrics[i])
	}
	return found, nil
}

// axis is the time axis of a chart.
type axis struct {
	from, to time.Time
	step     time.Duration
	points   bool
}

func (d *Dashboard) plot(a axis, metrics []wire.Metric, ids []wire.BoxID) (Series, error) {
	n := int(a.to.Sub(a.from) / a.step)
	s := Series{StepSeconds: int(a.step / time.Second), Times: make([]int64, n), Lines: make([]Line, 0, len(metrics))}
	for i := range s.Times {
		s.Times[i] = a.from.Add(time.Duration(i) * a.step).Unix()
	}
	for _, m := range metrics {
		line := Line{Metric: m.Name, Unit: unitOf(m), Values: make([]*int64, n)}
		for _, id := range ids {
			if err := d.add(line.Values, a, m, id); err != nil {
				return Series{}, err
			}
		}
		s.Lines = append(s.Lines, line)
	}
	return s, nil
}

// add brings one box into a line.
func (d *Dashboard) add(line []*int64, a axis, m wire.Metric, id wire.BoxID) error {
	read := d.cfg.History.Hours
	if a.points {
		read = d.cfg.History.Points
	}
	values, err := read(id, m.ID, a.from, a.to)
	if err != nil {
		return err
	}
	// What several hours of a box come to within a step, and then boxes together.
	own := make([]*int64, len(line))
	for _, v := range values {
		if i := int(v.Start.Sub(a.from) / a.step); i >= 0 && i < len(own) {
			own[i] = together(own[i], v.Value, m.Kind == wire.Counter, lowest(m.ID))
		}
	}
	for i, v := range own {
		if v != nil {
			line[i] = together(line[i], *v, summed(m), lowest(m.ID))
		}
	}
	return nil
}

func together(have *int64, v int64, sum, low bool) *int64 {
	switch {
	case have == nil:
	case sum:
		v += *have
	case low:
		v = min(v, *have)
	default:
		v = max(v, *have)
	}
	return &v
}

func lowest(id wire.MetricID) bool { return id == wire.BoxDiskFreeBytes }

// summed tells whether boxes of a site add up. Of what describes a machine the
// worst one counts.
func summed(m wire.Metric) bool {
	return m.Kind == wire.Counter || m.Group != "box" || m.ID == wire.UpstreamQueueFrames
}

func unitOf(m wire.Metric) string {
	for suffix, unit := range map[string]string{"_bytes": "bytes", "bytes": "bytes", "_bps": "bit/s", ".bps": "bit/s", "_permille": "permille", "_ms": "ms", "_s": "s", "_mc": "m°C"} {
		if strings.HasSuffix(m.Name, suffix) {
			return unit
		}
	}
	return ""
}

func metricOf(id wire.MetricID) (wire.Metric, bool) {
	i, ok := slices.BinarySearchFunc(wire.Metrics, id, func(m wire.Metric, id wire.MetricID) int { return cmp.Compare(m.ID, id) })
	if !ok {
		return wire.Metric{}, false
	}
	return wire.Metrics[i], true
}

var qualityQuery = []jsonapi.Query{{Name: "hours", Kind: "integer", About: "How far to look back, 1 to 17520; 24 unless given."}}

func (d *Dashboard) getQuality(c *call) (QualityList, error) {
	query, err := jsonapi.ParseQuery(c.r, qualityQuery)
	if err != nil {
		return QualityList{}, err
	}
	hours, err := number(query, "hours", 24, 1, 2*365*24)
	if err != nil {
		return QualityList{}, err
	}
	_, e, err := d.site(c)
	if err != nil {
		return QualityList{}, err
	}
	now := time.Now()
	list := QualityList{Quality: []Quality{}}
	for _, m := range wire.Metrics {
		if m.Kind != wire.Distribution {
			continue
		}
		q, err := d.cfg.History.Distribution(e.ids(), m.ID, now.Add(-time.Duration(hours)*time.Hour), now)
		if err != nil {
			return QualityList{}, err
		}
		q.Metric = m.Name
		list.Quality = append(list.Quality, q)
	}
	return list, nil
}
