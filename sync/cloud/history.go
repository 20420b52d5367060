package cloud

import (
	"time"

	"signalbox/sync/cloud/dashboard"
	"signalbox/sync/cloud/projection"
	"signalbox/sync/wire"
)

// history is the projection's file as the dashboard asks for it.
type history struct{ *projection.Projection }

func (h history) Points(id wire.BoxID, metric wire.MetricID, from, to time.Time) ([]dashboard.Value, error) {
	points, err := h.Projection.Points(id, from, to)
	if err != nil {
		return nil, err
	}
	var values []dashboard.Value
	for i := range points {
		if v, ok := points[i].Value(metric); ok {
			values = append(values, dashboard.Value{Start: points[i].Start, Value: v})
		}
	}
	return values, nil
}

func (h history) Hours(id wire.BoxID, metric wire.MetricID, from, to time.Time) ([]dashboard.Value, error) {
	hours, err := h.Projection.Hours(id, metric, from, to)
	if err != nil {
		return nil, err
	}
	values := make([]dashboard.Value, 0, len(hours))
	for _, hour := range hours {
		v := dashboard.Value{Start: hour.Start, Value: int64(min(hour.Added, 1<<63-1))}
		if hour.Known {
			v.Value = hour.Gauge.High
		}
		values = append(values, v)
	}
	return values, nil
}

func (h history) Distribution(ids []wire.BoxID, metric wire.MetricID, from, to time.Time) (dashboard.Quality, error) {
	d, err := h.Projection.Distribution(ids, metric, from, to)
	if err != nil || d == nil || d.Count() == 0 {
		return dashboard.Quality{}, err
	}
	return dashboard.Quality{Count: d.Count(), P50: d.Quantile(0.5), P90: d.Quantile(0.9), P99: d.Quantile(0.99)}, nil
}

func (h history) Devices(ids []wire.BoxID, from, to time.Time) (uint64, error) {
	return h.UniqueDevices(ids, from, to)
}

func (h history) Events(ids []wire.BoxID, n int) ([]dashboard.Event, error) {
	events, err := h.Projection.Events(ids, n)
	if err != nil {
		return nil, err
	}
	told := make([]dashboard.Event, len(events))
	for i, e := range events {
		told[i] = dashboard.Event{At: e.At, Box: e.Box.Box, Kind: string(e.Kind), Raised: e.Raised, Text: sentenceOf(e.Kind)}
	}
	return told, nil
}

func (h history) Rooms(id wire.BoxID) ([]dashboard.RoomRow, error) {
	rooms, err := h.Projection.Rooms(id)
	if err != nil {
		return nil, err
	}
	rows := make([]dashboard.RoomRow, len(rooms))
	for i, r := range rooms {
		rows[i] = dashboard.RoomRow{Box: id.Box, ID: r.ID, Members: int(r.Members), Created: r.Created}
	}
	return rows, nil
}
