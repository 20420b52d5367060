package wire_test

import (
	"testing"
	"time"

	"signalbox/sync/wire"
)

func TestDate(t *testing.T) {
	stream := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	wall := func(at time.Time) int64 { return at.UnixMilli() }
	for name, c := range map[string]struct {
		body  *wire.Body
		frame *wire.Frame
		want  time.Time
	}{
		"this boot": {
			&wire.Body{Boot: 1, MonoMs: 90_000}, &wire.Frame{Boot: 1, MonoMs: 30_000, EndMs: wall(stream)},
			stream.Add(-time.Minute),
		},
		"this boot, no clock": {
			&wire.Body{Boot: 1, MonoMs: 90_000}, &wire.Frame{Boot: 1, MonoMs: 30_000, EndMs: 12_000},
			stream.Add(-time.Minute),
		},
		"this boot, clock in 2031": {
			&wire.Body{Boot: 1, MonoMs: 90_000}, &wire.Frame{Boot: 1, MonoMs: 90_000, EndMs: wall(stream.AddDate(5, 0, 0))},
			stream,
		},
		"a boot before": {
			&wire.Body{Boot: 2, MonoMs: 90_000}, &wire.Frame{Boot: 1, MonoMs: 999_000, EndMs: wall(stream.AddDate(0, -1, 0))},
			stream.AddDate(0, -1, 0),
		},
		"a boot before, no clock": {
			&wire.Body{Boot: 2, MonoMs: 90_000}, &wire.Frame{Boot: 1, MonoMs: 999_000, EndMs: 3_600_000},
			stream,
		},
		"a boot before, clock ahead": {
			&wire.Body{Boot: 2, MonoMs: 90_000}, &wire.Frame{Boot: 1, MonoMs: 999_000, EndMs: wall(stream) + 1},
			stream,
		},
		"a boot before, the firmware's year": {
			&wire.Body{Boot: 2}, &wire.Frame{Boot: 1, EndMs: time.Date(2023, 12, 31, 23, 59, 59, 0, time.UTC).UnixMilli()},
			stream,
		},
		"a boot before, first moment that is believed": {
			&wire.Body{Boot: 2}, &wire.Frame{Boot: 1, EndMs: time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()},
			time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC),
		},
		"later than the body": { // Decode refuses it; no date in the future all the same
			&wire.Body{Boot: 1, MonoMs: 10}, &wire.Frame{Boot: 1, MonoMs: 50, EndMs: wall(stream) + 40},
			stream,
		},
	} {
		if got := wire.Date(stream, c.body, c.frame); !got.Equal(c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestDateSketch(t *testing.T) {
	end := time.Date(2026, 5, 4, 12, 20, 0, 0, time.UTC)
	for name, wrong := range map[string]time.Duration{"right": 0, "three minutes ahead": 3 * time.Minute, "in 1970": -end.Sub(time.UnixMilli(1_200_000))} {
		clock := end.Add(wrong)
		f := &wire.Frame{StartMs: clock.Add(-time.Minute).UnixMilli(), EndMs: clock.UnixMilli()}
		s := &wire.Sketch{StartMs: clock.Truncate(time.Hour).UnixMilli(), SpanS: wire.HourS}
		if got := wire.DateSketch(end, f, s); !got.Equal(end.Truncate(time.Hour)) {
			t.Errorf("%s: the hour is %v", name, got)
		}
		if got := wire.DateStart(end, f); !got.Equal(end.Add(-time.Minute)) {
			t.Errorf("%s: it began at %v", name, got)
		}
	}
}
